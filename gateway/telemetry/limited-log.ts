/**
 * A log that a fleet cannot flood: the same line, again and again, becomes one with a count.
 *
 * Promise: the first of its kind is logged at once; until the span is over the rest are counted, and the
 * next one says how many were left out. Texts are the program's own; what strangers can put into a reason makes
 * at most a few lines of each text, however they vary it. Fields are cut to a bounded length.
 */
import type { Logger } from "../purchase/ports.ts";

const SPAN_MS = 10_000;
const KINDS_MAX = 1_000;

/** Reasons of one text that are logged within a span, each once. */
const REASONS_MAX = 5;

const SHOWN_CHARACTERS_MAX = 1_000;

/** @param nowMs monotonic milliseconds */
export function limitNotes(note: Logger, nowMs: () => number): Logger {
  const kinds = new Map<string, { untilMs: number; leftOut: number }>();
  const texts = new Map<string, { untilMs: number; logged: number }>();

  /** False when enough of a text was logged already. */
  function mayLog(text: string): boolean {
    const known = texts.get(text);
    if (known === undefined || nowMs() >= known.untilMs) {
      if (texts.size >= KINDS_MAX) texts.clear();
      texts.set(text, { untilMs: nowMs() + SPAN_MS, logged: 1 });
      return true;
    }
    known.logged += 1;
    return known.logged <= REASONS_MAX;
  }

  return (level, text, fields) => {
    // Two reasons, and two sellers, are two kinds; what a reason says of one device or amount is not.
    const kind = `${text} ${String(fields.seller ?? "")} ${reasonOf(fields.reason)}`;
    const known = kinds.get(kind);
    if (known && nowMs() < known.untilMs) {
      known.leftOut += 1;
      return;
    }
    if (!mayLog(`${text} ${String(fields.seller ?? "")}`)) return;
    if (kinds.size >= KINDS_MAX) kinds.clear();
    kinds.set(kind, { untilMs: nowMs() + SPAN_MS, leftOut: 0 });
    const shown = bounded(fields);
    note(level, text, known && known.leftOut > 0 ? { ...shown, leftOut: known.leftOut } : shown);
  };
}

function bounded(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const isLong = (value: unknown) => typeof value === "string" && value.length > SHOWN_CHARACTERS_MAX;
  if (!Object.values(fields).some(isLong)) return fields;
  const cut = (value: unknown) => (isLong(value) ? String(value).slice(0, SHOWN_CHARACTERS_MAX) : value);
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, cut(value)]));
}

function reasonOf(reason: unknown): string {
  return String(reason ?? "")
    .slice(0, 120)
    .replace(/0x[0-9a-fA-F]+|[0-9]+/g, "#");
}
