/**
 * The shapes that configuration files are made of, and the words for what does not fit them.
 *
 * Promise: a fault is one line that names the key by its path, what was expected and what was found; an
 * unknown key is a fault.
 */
import { z } from "zod";
import { cut, shown } from "./shown.ts";

/** Of a key's path in an error, characters. */
const PATH_MAX = 120;

export function integer(min: number, max: number) {
  const error = `an integer in ${min}..${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}
export function number(min: number, max: number) {
  const error = `a number in ${min}..${max}`;
  return z.number({ error }).min(min, { error }).max(max, { error });
}
export function text(lengthMax: number) {
  const error = `a string of 1..${lengthMax} plain characters`;
  return z.string({ error }).regex(new RegExp(`^[ -~]{1,${lengthMax}}$`), { error });
}
export function pattern(form: RegExp, error: string) {
  return z.string({ error }).regex(form, { error });
}
export const address = pattern(/^0x[0-9a-fA-F]{40}$/, "0x and 40 hex digits").transform((found) =>
  found.toLowerCase(),
);
export function choice<const Word extends string>(words: readonly Word[]) {
  return z.enum(words, { error: `one of ${words.map((word) => `"${word}"`).join(", ")}` });
}
export function table<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.strictObject(shape, {
    error: (issue) => (issue.code === "unrecognized_keys" ? undefined : "a table"),
  });
}
export function list<Item extends z.ZodType>(item: Item, least: number) {
  const error = `a list of at least ${least}`;
  return z.array(item, { error }).min(least, { error });
}

/**
 * Every fault of a document, a line each.
 * @param raw the document as it was read
 * @param prefix goes before each key path: a file's name, or the path of the table that is checked
 */
export function faultsOf(error: z.core.$ZodError, raw: unknown, prefix: string): string[] {
  return error.issues.flatMap((issue) => linesOf(issue, raw, prefix));
}

function linesOf(issue: z.core.$ZodIssue, raw: unknown, prefix: string): string[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map(
      (key) =>
        `${prefix}${cut(keyPath([...issue.path, key]), PATH_MAX)}: expected no such key; check its spelling`,
    );
  }
  return [
    `${prefix}${cut(keyPath(issue.path), PATH_MAX)}: expected ${issue.message}, found ${shown(valueAt(raw, issue.path))}`,
  ];
}

function keyPath(keys: readonly PropertyKey[]): string {
  return keys.map(String).join(".");
}

function valueAt(raw: unknown, keys: readonly PropertyKey[]): unknown {
  let value = raw;
  for (const key of keys) value = (value as Record<PropertyKey, unknown> | undefined)?.[key];
  return value;
}
