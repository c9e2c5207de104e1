/**
 * Strict reading of JSON objects: every member named, typed and bounded, none unknown.
 *
 * Promise: what passes has exactly the shape's members; what fails is reported by path, with what was
 * expected and found. Small enough to run on Espruino, where no schema library does.
 */
import { isCounter } from "../core/units.ts";

/** Returns null when the value fits, else `path: expected …, found …`. */
export type Check = (value: unknown, path: string) => string | null;

export type Shape = Readonly<Record<string, Check>>;

export const counter: Check = (value, path) =>
  isCounter(value) ? null : `${path}: expected an integer in 0..2^48-1, found ${show(value)}`;

export const flag: Check = (value, path) =>
  typeof value === "boolean" ? null : `${path}: expected true or false, found ${show(value)}`;

/** An integer in a range. */
export function integer(min: number, max: number): Check {
  return (value, path) =>
    typeof value === "number" && Math.floor(value) === value && value >= min && value <= max
      ? null
      : `${path}: expected an integer in ${min}..${max}, found ${show(value)}`;
}

/** A string of at most so many characters. */
export function text(lengthMax: number): Check {
  return (value, path) =>
    typeof value === "string" && value.length <= lengthMax
      ? null
      : `${path}: expected a string of at most ${lengthMax} characters, found ${show(value)}`;
}

/** 0x and so many lower- or upper-case hex digits. */
export function hex(digits: number): Check {
  return (value, path) =>
    typeof value === "string" && value.length === digits + 2 && isHex(value)
      ? null
      : `${path}: expected 0x and ${digits} hex digits, found ${show(value)}`;
}

/** A cumulative or single amount as x402 writes it: a decimal string. */
export const decimal: Check = (value, path) => {
  const whole = typeof value === "string" && value.length > 0 && value.length <= 15;
  if (whole && isDigits(value as string) && isCounter(Number(value))) return null;
  return `${path}: expected a decimal string below 2^48, found ${show(value)}`;
};

export function oneOf(words: readonly string[]): Check {
  return (value, path) =>
    typeof value === "string" && words.indexOf(value) >= 0
      ? null
      : `${path}: expected one of ${words.join(", ")}, found ${show(value)}`;
}

/** The value null, or what the other check accepts. */
export function orNull(check: Check): Check {
  return (value, path) => (value === null ? null : check(value, path));
}

/** Any JSON value: for x402 objects that travel unchanged and are checked by their own schema. */
export const anything: Check = (value, path) =>
  value === undefined ? `${path}: expected a value, found nothing` : null;

/** Any JSON object, likewise unjudged. */
export const members: Check = (value, path) =>
  isObject(value) ? null : `${path}: expected an object, found ${show(value)}`;

/** An object with these members and no other; those in `optional` may be missing. */
export function object(shape: Shape, optional?: Shape): Check {
  const required = Object.keys(shape);
  const extra = optional || {};
  const known = required.concat(Object.keys(extra));
  return (value, path) => {
    if (!isObject(value)) return `${path}: expected an object, found ${show(value)}`;
    for (const name of Object.keys(value)) {
      // Looked up by list: an object would answer for "constructor" and its like.
      if (known.indexOf(name) < 0) return `${path}.${shortened(name)}: no such member is known`;
      const check = required.indexOf(name) < 0 ? extra[name]! : shape[name]!;
      const error = check(value[name], `${path}.${name}`);
      if (error !== null) return error;
    }
    for (const name of required) {
      if (value[name] === undefined) return `${path}.${name}: expected, found nothing`;
    }
    return null;
  };
}

/** Parses text and checks it. */
export function readJson(json: string, check: Check): { value: unknown; error: string | null } {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (_) {
    return { value: null, error: `expected JSON, found ${show(json.slice(0, 40))}` };
  }
  const error = check(value, "message");
  return { value: error === null ? value : null, error };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A bounded piece of what was found. What it contains is not walked: it may be as wide and deep as it likes. */
function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(shortened(value));
  if (typeof value !== "object" || value === null) return value === undefined ? "nothing" : String(value);
  return Array.isArray(value) ? "an array" : "an object";
}

function shortened(shown: string): string {
  return shown.length > 60 ? `${shown.slice(0, 57)}...` : shown;
}

function isDigits(value: string): boolean {
  for (let i = 0; i < value.length; i++) if ("0123456789".indexOf(value.charAt(i)) < 0) return false;
  return true;
}

function isHex(value: string): boolean {
  if (value.slice(0, 2) !== "0x") return false;
  for (let i = 2; i < value.length; i++) {
    if ("0123456789abcdefABCDEF".indexOf(value.charAt(i)) < 0) return false;
  }
  return true;
}
