/**
 * What an error shows of what was found.
 *
 * Promise: it is a bounded piece, and one error has a bounded number of lines, however much was found and wrong.
 */

/** Longest piece of what was found that an error shows, characters. */
const SHOWN_MAX = 60;

/** Most lines of one error. */
const LINES_MAX = 50;

/** A bounded piece of what was found, in quotes or as JSON has it. */
export function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  // A string is cut before it is quoted, so that one of megabytes costs nothing.
  const quoted = JSON.stringify(typeof value === "string" ? value.slice(0, SHOWN_MAX + 1) : value);
  return quoted.length > SHOWN_MAX ? `${quoted.slice(0, SHOWN_MAX - 3)}...` : quoted;
}

/** A name or a sentence out of a file, cut where it goes on too long. */
export function cut(text: string, lengthMax: number = SHOWN_MAX): string {
  return text.length > lengthMax ? `${text.slice(0, lengthMax - 3)}...` : text;
}

/** The faults of one file as one text: the first ones, and how many more there are. */
export function faultText(lines: readonly string[]): string {
  if (lines.length <= LINES_MAX) return lines.join("\n");
  return [...lines.slice(0, LINES_MAX), `and ${lines.length - LINES_MAX} faults more`].join("\n");
}
