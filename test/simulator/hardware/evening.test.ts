/** Evenings in which some of the lights run the board's own bundle, as an operator sees them. */
import { afterEach, expect, test } from "vitest";
import { planRun } from "#simulator/run-plan";
import { endRuns, expectSound, RUN_MS, run } from "../evening.ts";
import { documentOf } from "../process.ts";

afterEach(endRuns);

test(
  "a board among Node lights signs its night by day, buys from its ladder, and all agree to the last atomic unit",
  async () => {
    const started = run("--espruino", "1", "--lights", "4", "--minutes", "5");
    const result = await documentOf(started);
    expect(await started.ended).toBe(0);
    expectSound(result, 4);
    const { lights, purchases, rungsSigned, rungsInStore } = result.boards!;
    expect(lights).toBe(1);
    // One purchase lasts half a minute or less; its night began within half a minute of the others'.
    expect(purchases).toBeGreaterThanOrEqual(7);
    // All its rungs are its own signatures: those bought with, those left, and at most one without an answer.
    expect(rungsSigned).toBeGreaterThanOrEqual(purchases + rungsInStore);
    expect(rungsSigned).toBeLessThanOrEqual(purchases + rungsInStore + 1);
    expect(result.payments.made).toBeGreaterThan(purchases);
    expect(result.feeders.suspected).toEqual([]);
  },
  RUN_MS,
);

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
