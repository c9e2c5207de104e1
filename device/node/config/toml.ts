/**
 * The one reader of TOML that people write.
 *
 * Promise: what is read nests at most as deep as JSON from outside may (protocol/nesting.ts), by brackets, by dotted keys or
 * by headers, so that whatever walks it ends within its stack; no key is one that an object of JavaScript answers for by
 * itself; a fault is one line with its place.
 */

import { parse, TomlError, type TomlTable } from "smol-toml";
import { Watt402Error } from "#payment/watt402-error";
import { NESTING_MAX } from "#protocol/nesting";
import { cut } from "./shown.ts";

const TOO_DEEP = `expected TOML nested at most ${NESTING_MAX} deep, found deeper`;

/** Of the parser's words, characters. */
const REASON_MAX = 120;

/**
 * @param name how errors name the document
 * @throws one line
 */
export function parseToml(toml: string, name: string): TomlTable {
  const document = parsed(toml, name);
  const deep = tooDeep(document);
  if (deep !== null) throw new Watt402Error("file-invalid", `${name}: ${cut(deep)}: ${TOO_DEEP}`);
  return document;
}

function parsed(toml: string, name: string): TomlTable {
  try {
    return parse(toml, { maxDepth: NESTING_MAX, unsafeKeyBehaviour: "throw" });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [first] = error.message.split("\n");
    const reason = cut(first!.replace(/^Invalid TOML document: /, ""), REASON_MAX);
    const what = reason.includes("excessively nested") ? TOO_DEEP : `expected TOML, found: ${reason}`;
    throw new Watt402Error("file-invalid", `${name}: line ${error.line}, column ${error.column}: ${what}`);
  }
}

/** The path of something that lies too deep; null when nothing does. Level by level: no stack grows with the depth. */
function tooDeep(document: TomlTable): string | null {
  let level: { readonly path: string; readonly value: object }[] = [{ path: "", value: document }];
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > NESTING_MAX) return level[0]!.path.slice(1);
    level = level.flatMap(({ path, value }) =>
      Object.entries(value).flatMap(([key, member]) =>
        typeof member === "object" && member !== null
          ? [{ path: cut(`${path}.${key}`, 80), value: member }]
          : [],
      ),
    );
  }
  return null;
}
