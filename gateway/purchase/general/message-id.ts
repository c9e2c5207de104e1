/**
 * The id of a general message that is malformed, so that its refusal names the message.
 *
 * Promise: an id that is found is one that a good message could have carried, at the top of the text, whatever is
 * wrong with the rest; "" where none can be read. The text is looked at once, as far as its first inner bracket.
 */
import { parseJson } from "#protocol/nesting";

/** As in device/protocol/messages.ts. */
const ID_MAX = 64;

/**
 * Nothing nested precedes it, so that no inner object's id is taken for the message's. No two parts can match
 * the same text, so nothing is looked at again and again.
 */
const ID =
  /^\s*\{(?:\s*"(?:[^"\\]|\\.)*"\s*:(?:\s*"(?:[^"\\]|\\.)*"\s*|[^"{}[\],]*),)*?\s*"id"\s*:\s*("(?:[^"\\]|\\.)*")/;

/** @param text a message as it came, of bounded length */
export function idIn(text: string): string {
  const found = ID.exec(text)?.[1];
  if (found === undefined) return "";
  try {
    const id = parseJson(found) as string;
    return id.length <= ID_MAX ? id : "";
  } catch {
    // A control character, or an escape that is none.
    return "";
  }
}
