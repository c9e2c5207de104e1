// Uncaught errors, in a process of its own: reported and counted; a rejection and a lost connection are survived, the
// rest ends it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";

const GUARDED = new URL("./guarded-process.ts", import.meta.url).pathname;

/** Everything that the process said, and how it ended, when it meets such a thing. */
async function meeting(what: string) {
  const child = spawn(process.execPath, ["--import", "tsx", GUARDED, what], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [out, err] = ["", ""];
  child.stdout.on("data", (piece) => {
    out += piece;
  });
  child.stderr.on("data", (piece) => {
    err += piece;
  });
  const [code] = await once(child, "close");
  return { code, lines: out.trim().split("\n"), err };
}

test.each([
  ["rejection", "an unhandled rejection"],
  ["reset", "a network error without a listener"],
])("an uncaught %s is reported, counted and survived", async (what, words) => {
  const { code, lines, err } = await meeting(what);
  expect(lines).toEqual([`survived: ${words}: ${what}`, "still here, 1 failure"]);
  expect([code, err]).toEqual([0, ""]);
});

test.each(["exception", "EPIPE"])("an uncaught %s is reported, and ends the process", async (what) => {
  const { code, lines } = await meeting(what);
  expect(lines).toEqual([`ends: ${what}, 1 failure`]);
  expect(code).toBe(7);
});
