/**
 * The one reader of JSON that came from outside: how deep it may nest is decided before it is parsed.
 *
 * Promise: what is parsed here nests at most NESTING_MAX deep, so that whatever walks it afterwards, a schema,
 * a serialiser, a comparison, ends within its stack; the text is looked at once and nothing is allocated for that.
 * An Espruino board reads only what its own gateway sealed, which read it here first.
 */

/** Objects and arrays inside one another, the outermost counted. The deepest x402 object known has six. */
export const NESTING_MAX = 32;

/** Why a text is not parsed. */
export const TOO_DEEP = `expected JSON nested at most ${NESTING_MAX} deep, found deeper`;

const QUOTE = 34;
const OPENS_ARRAY = 91;
const BACKSLASH = 92;
const CLOSES_ARRAY = 93;
const OPENS_OBJECT = 123;
const CLOSES_OBJECT = 125;

/** False when a JSON text nests deeper than is ever read. Of a text that is no JSON it says nothing. */
export function isShallow(json: string): boolean {
  if (json.length <= NESTING_MAX) return true;
  let depth = 0;
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i);
    if (code === QUOTE) i = endOfString(json, i);
    else if (code === OPENS_ARRAY || code === OPENS_OBJECT) {
      depth += 1;
      if (depth > NESTING_MAX) return false;
    } else if (code === CLOSES_ARRAY || code === CLOSES_OBJECT) depth -= 1;
  }
  return true;
}

/** Where the string that opens at `from` closes: at the text's end when it never does, which no parser accepts. */
function endOfString(json: string, from: number): number {
  let at = from + 1;
  while (at < json.length) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) return at;
    at += code === BACKSLASH ? 2 : 1;
  }
  return at;
}

/** JSON.parse for what comes from outside. Throws on what is no JSON, as that does, and on what nests too deep. */
export function parseJson(json: string): unknown {
  if (!isShallow(json)) throw new Error(TOO_DEEP);
  return JSON.parse(json);
}
