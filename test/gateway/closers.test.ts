// What a gateway opened is closed in the reverse order, whatever fails or hangs on the way.

import { expect, test } from "vitest";
import { Closers } from "#gateway/closers";

function newClosers() {
  const notes: string[] = [];
  const closed: string[] = [];
  const closers = new Closers((_level, text, fields) => notes.push(`${text} ${String(fields.part)}`));
  return { closers, closed, notes };
}

test("parts are closed once, the last one first, each after the one that stands on it has ended", async () => {
  const { closers, closed } = newClosers();
  for (const part of ["ledger", "broker", "sessions"]) {
    closers.add(part, async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      closed.push(part);
    });
  }
  await Promise.all([closers.close(), closers.close()]);
  await closers.close();
  expect(closed).toEqual(["sessions", "broker", "ledger"]);
});

test("a part that fails or hangs keeps no other open, and a failure is logged with the part's name", async () => {
  const { closers, closed, notes } = newClosers();
  closers.add("ledger", () => closed.push("ledger"));
  closers.add("broker", () => Promise.reject(new Error("gone")));
  closers.add("http", () => {
    throw new Error("closed before");
  });
  closers.add("sessions", () => new Promise(() => {}), 10);
  await closers.close();
  expect(closed).toEqual(["ledger"]);
  expect(notes.map((note) => note.split(" ").at(-1))).toEqual(["http", "broker"]);
});
