/** Evenings in which some of the lights run the board's own bundle, as an operator sees them. */
import { afterEach, expect, test } from "vitest";
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
