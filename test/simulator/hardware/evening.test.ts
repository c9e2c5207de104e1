/** What keeps an evening with boards from beginning. */
import { afterEach, expect, test } from "vitest";
import { planRun } from "#simulator/run-plan";
import { endRuns } from "../evening.ts";

afterEach(endRuns);

const BATCH = { scheme: "batch-settlement" } as const;

test.each<[Parameters<typeof planRun>[0], string]>([
  [{ ...BATCH, espruino: 3, lights: 2 }, "expected at most the fleet's 2 lights, found 3"],
  [{ scheme: "exact", espruino: 1 }, "expected --scheme batch-settlement, found exact"],
  [{ ...BATCH, espruino: 1, minutes: 1201 }, "expected one night, at most 1200 minutes, found 1201"],
  [{ ...BATCH, espruino: 1, broker: "mqtts://b.example" }, "expected --broker mqtt://, found mqtts://"],
  [{ ...BATCH, espruino: 1, scenario: "cheaters" }, "expected a scenario without cheats"],
])("what a board cannot do is refused before anything is started: %j", (flags, complaint) => {
  expect(() => planRun(flags)).toThrow(`--espruino: ${complaint}`);
  expect(() => planRun({ ...BATCH, espruino: 1, lights: 2 }).release()).not.toThrow();
});
