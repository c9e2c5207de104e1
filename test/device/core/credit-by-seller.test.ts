// A device that moves: each seller's units are used in its own region, paid once, and wait for the return.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { reportOf } from "#core/machine";
import { creditElsewhere, grantedByAll, NOWHERE } from "#host/credit-by-seller";
import { Journey, QUANTUM_UNITS, SELLERS } from "./journey.ts";

const MINUTE_MS = 60_000;

const SELLER = fc.integer({ min: 0, max: SELLERS - 1 });
const ANYWHERE = fc.option(SELLER, { freq: 8 });
const FATE = fc.oneof(
  fc.constant("lost" as const),
  fc.constant("doubled" as const),
  fc.integer({ min: 1, max: 40_000 }),
);

const STEP = fc.oneof(
  { weight: 6, arbitrary: fc.record({ move: ANYWHERE, knows: fc.boolean() }) },
  { weight: 6, arbitrary: fc.record({ ms: fc.integer({ min: 1, max: 90_000 }) }) },
  { weight: 3, arbitrary: fc.record({ fates: fc.array(FATE, { minLength: 1, maxLength: 6 }) }) },
  { weight: 2, arbitrary: fc.record({ link: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ cutTo: ANYWHERE }) },
);

type Step = typeof STEP extends fc.Arbitrary<infer One> ? One : never;

function take(journey: Journey, step: Step): void {
  if ("move" in step) journey.move(step.move, step.knows ? journey.nowMs + 45_000 : undefined);
  else if ("ms" in step) journey.run(step.ms);
  else if ("fates" in step) journey.fates = [...step.fates];
  else if ("link" in step) journey.link(step.link);
  else journey.powerCut(step.cutTo);
}

/** Drives through every region without faults, so that each seller's account is heard. */
function driveThrough(journey: Journey): void {
  journey.fates = [];
  journey.link(true);
  for (let seller = 0; seller < SELLERS; seller += 1) {
    journey.move(seller);
    journey.run(2 * MINUTE_MS);
    expect(journey.state.levelPercent).toBe(100);
  }
  journey.move(null);
  // What was doubled or late is heard by then.
  journey.run(MINUTE_MS);
}

describe("a device that moves between sellers", () => {
  it("uses no seller's units elsewhere, pays each once and loses none, in any order of moves and faults", () => {
    fc.assert(
      fc.property(fc.array(STEP, { minLength: 1, maxLength: 40 }), (steps) => {
        const journey = new Journey();
        for (const step of steps) take(journey, step);
        driveThrough(journey);
        const credits = journey.credits();
        for (const [seller, { channelId, granted, used, charged }] of journey.shops.entries()) {
          expect(Math.abs(granted - used - credits[seller]!)).toBeLessThanOrEqual(
            2 * steps.length + 2 * SELLERS,
          );
          // Each rung was charged once: as often as there are different ones up to it.
          const rungs = [...(journey.rungs.get(channelId) ?? [])].filter((rung) => rung <= charged);
          expect(rungs).toHaveLength(charged / 100);
        }
        const sum = journey.shops.reduce((all, { granted }) => all + granted, 0);
        expect(grantedByAll(journey.state.account)).toBe(sum);
      }),
      { numRuns: 150 },
    );
  });

  it("leaves at most one purchase behind where it knows when the region ends", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(SELLER, fc.integer({ min: 1_000, max: 100_000 })), { minLength: 2, maxLength: 12 }),
        (stays) => {
          const journey = new Journey();
          for (const [seller, ms] of stays) {
            journey.move(seller, journey.nowMs + ms);
            journey.run(ms);
          }
          journey.move(null);
          for (const units of journey.credits()) expect(units).toBeLessThanOrEqual(QUANTUM_UNITS);
        },
      ),
      { numRuns: 100 },
    );
  });

  it("finds what it left when it returns, over a power cut, before it buys there again", () => {
    const journey = new Journey();
    journey.run(5_000);
    const { granted, used } = journey.shops[0]!;
    journey.move(1);
    expect(journey.state.levelPercent).toBe(0);
    journey.run(MINUTE_MS);
    expect(journey.credits()[0]).toBeGreaterThan(granted - used - 2);
    journey.powerCut();
    journey.run(MINUTE_MS);
    const left = journey.credits()[0]!;
    journey.move(0);
    // The seller's offer is not here yet, and its seconds are.
    expect(journey.credits()[0]).toBe(left);
    expect(journey.state.levelPercent).toBe(100);
    journey.run(1_000);
    expect(journey.shops[0]!.granted).toBe(granted);
  });

  it("remembers the channel of every seller that its policy names, though the machine alone keeps four", () => {
    const journey = new Journey();
    for (let seller = 0; seller < SELLERS; seller += 1) {
      journey.move(seller);
      journey.run(MINUTE_MS);
    }
    expect(journey.state.former).toHaveLength(SELLERS - 1);
    journey.move(0);
    journey.run(1_000);
    expect(journey.state.channel).toMatchObject({ id: journey.shops[0]!.channelId, remembered: true });
  });

  it("signs nothing where nobody sells, and says so by name", () => {
    const journey = new Journey();
    journey.run(MINUTE_MS);
    journey.move(null);
    const paid = journey.shops[0]!.charged;
    journey.run(10 * MINUTE_MS);
    expect(reportOf(journey.state)).toMatchObject({ refusal: "no-seller-here", levelPercent: 0 });
    expect(journey.state.account!.payee).toBe(NOWHERE);
    expect(journey.shops[0]!.charged).toBe(paid);
    journey.move(0);
    journey.run(MINUTE_MS);
    expect(reportOf(journey.state)).toMatchObject({ refusal: null, levelPercent: 100 });
  });

  it("counts as lost what waits at a seller that its policy names no more, at most one purchase and a mark", () => {
    const journey = new Journey();
    journey.run(5_000);
    journey.move(1);
    journey.run(MINUTE_MS);
    const left = journey.credits()[0]!;
    expect(left).toBeGreaterThan(0);
    journey.nameOnly([1, 2]);
    journey.run(MINUTE_MS);
    expect(journey.state.account).toMatchObject({ lost: left });
    expect(creditElsewhere(journey.state.account)).toEqual([]);
  });
});
