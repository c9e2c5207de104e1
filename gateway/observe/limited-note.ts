/**
 * A log that a fleet cannot flood: the same line, again and again, becomes one with a count.
 *
 * Promise: the first of its kind is told at once; until the span is over the rest are counted, and the
 * next one tells how many were left out. Kinds are the fixed texts of the program, so memory is bounded.
 */
import type { Note } from "../purchase/ports.ts";

const SPAN_MS = 10_000;
const KINDS_MAX = 1_000;

/** @param nowMs monotonic milliseconds */
export function limitNotes(note: Note, nowMs: () => number): Note {
  const kinds = new Map<string, { untilMs: number; leftOut: number }>();
  return (level, text, fields) => {
    // Two reasons, and two sellers, are two kinds; what a reason says of one device or amount is not.
    const kind = `${text} ${String(fields.seller ?? "")} ${reasonOf(fields.reason)}`;
    const known = kinds.get(kind);
    if (known && nowMs() < known.untilMs) {
      known.leftOut += 1;
      return;
    }
    if (kinds.size >= KINDS_MAX) kinds.clear();
    kinds.set(kind, { untilMs: nowMs() + SPAN_MS, leftOut: 0 });
    note(level, text, known && known.leftOut > 0 ? { ...fields, leftOut: known.leftOut } : fields);
  };
}

function reasonOf(reason: unknown): string {
  return String(reason ?? "")
    .slice(0, 120)
    .replace(/0x[0-9a-fA-F]+|[0-9]+/g, "#");
}
