/**
 * Every guard is missed when it is gone, in the worlds that `--seeds 200 --lights 8 --faults all` runs, or two machines of
 * its profile.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openWorkshop, type Workshop } from "./mutants.ts";
import { MUTATIONS } from "./mutations.ts";

const SEEDS_MAX = 200;

describe("a guard that is taken out is missed", () => {
  let workshop: Workshop;
  beforeAll(async () => {
    workshop = await openWorkshop();
  });
  afterAll(() => workshop.close());

  for (const mutation of MUTATIONS) {
    it(`${mutation.name}: ${mutation.breaks.join(" or ")}`, { timeout: 600_000 }, async () => {
      const runNight = await workshop.night(mutation);
      const seeds = [mutation.seed, ...Array.from({ length: SEEDS_MAX }, (_, index) => index + 1)];
      for (const seed of seeds) {
        const { profile } = mutation;
        const lights = profile === undefined ? 8 : 2;
        const options = { seed, lights, nights: 1, faults: "all", signing: "stand-in", profile } as const;
        const { violation } = await runNight(options);
        if (violation === null) continue;
        expect(mutation.breaks, violation.told).toContain(violation.invariant);
        return;
      }
      expect.fail(`no world of ${SEEDS_MAX} missed it`);
    });
  }

  it("takes a guard from every invariant", () => {
    const broken = new Set(MUTATIONS.flatMap(({ breaks }) => breaks.slice(0, 1)));
    expect([...broken].sort()).toEqual(["E1", "E2", "L1", "M1", "M2", "M3", "M4", "P1", "S1", "T1"]);
  });
});
