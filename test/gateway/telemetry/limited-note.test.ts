// The log under strangers' hands: however they vary what they send, it stays a few lines.

import { expect, test } from "vitest";
import { limitNotes } from "#gateway/telemetry/limited-log";

test("a thousand reasons of an attacker's making are a handful of lines in ten seconds, none of them long", () => {
  let nowMs = 0;
  const lines: string[] = [];
  const note = limitNotes(
    (_level, text, fields) => lines.push(`${text} ${JSON.stringify(fields)}`),
    () => nowMs,
  );
  for (let sent = 0; sent < 4_000; sent += 1) {
    nowMs = sent * 10;
    const letters = [...String(sent)].map((digit) => "abcdefghij"[Number(digit)]).join("");
    note("warn", "a hello proves no device", {
      device: letters,
      reason: `found ${letters} ${"x".repeat(5_000)}`,
    });
  }
  expect(lines.length).toBeGreaterThanOrEqual(4);
  expect(lines.length).toBeLessThanOrEqual(5 * 5);
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThan(2_500);
  const before = lines.length;
  note("warn", "something else", { reason: "of the program's own" });
  expect(lines.length).toBe(before + 1);
});
