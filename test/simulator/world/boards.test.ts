/** Worlds whose lights are Espruino boards: journal and ladder in flash, written a word at a time, cut at any of them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runFaults } from "#simulator/world/run/fault-run";
import type { WorldOptions } from "#simulator/world/run/world-options";
import { type Mutation, openWorkshop, type Workshop } from "./mutants.ts";

const BOARD = { lights: 1, boards: 1, nights: 1, faults: "all", signing: "stand-in" } as const;
const SEEDS = 8;
const SEEDS_MAX = 60;

const MUTATIONS: readonly Mutation[] = [
  {
    name: "the page of the latest checkpoint is erased for the next one",
    file: "device/espruino/flash/flash-journal.ts",
    guard: "active = sequence === 0 ? 0 : 1 - active;",
    instead: "active = 0;",
    breaks: ["S1"],
    seed: 17,
  },
  {
    name: "rungs are signed ahead above the deposit",
    file: "device/espruino/flash/ladder-keeper.ts",
    guard: "Math.min(balance - charged, budget)",
    instead: "budget",
    breaks: ["M1"],
    seed: 1,
  },
  {
    name: "a torn slot is read as a rung",
    file: "device/espruino/flash/ladder-store.ts",
    guard: "for (const torn of segment.torn) if (torn <= position) position++;",
    instead: "",
    breaks: ["M1", "L1"],
    seed: 2,
  },
];

describe("lights on boards", () => {
  it(`keep every promise through ${SEEDS} nights of all faults, with power cuts in the middle of words`, async () => {
    let torn = 0;
    let purchases = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const outcome = await runFaults({ ...BOARD, seed });
      expect(outcome.violation, `seed ${seed}`).toBeNull();
      torn += outcome.fired.get("torn-tail") ?? 0;
      purchases += outcome.purchases;
    }
    expect(torn).toBeGreaterThan(20);
    expect(purchases).toBeGreaterThan(20 * SEEDS);
  }, 120_000);

  it("buy beside lights with disks, with real signatures too, and go the same way with either", async () => {
    const options: WorldOptions = { ...BOARD, seed: 5, lights: 4, boards: 2 };
    const standIn = await runFaults(options);
    expect(standIn.violation).toBeNull();
    expect(standIn.purchases).toBeGreaterThan(50);
    expect((await runFaults({ ...options, signing: "real" })).traceHash).toBe(standIn.traceHash);
    expect((await runFaults({ ...options, boards: 0 })).traceHash).not.toBe(standIn.traceHash);
  }, 120_000);

  describe("that miss a guard are found out", () => {
    let workshop: Workshop;
    beforeAll(async () => {
      workshop = await openWorkshop();
    });
    afterAll(() => workshop.close());

    for (const mutation of MUTATIONS) {
      it(`${mutation.name}: ${mutation.breaks.join(" or ")}`, { timeout: 300_000 }, async () => {
        const runWorld = await workshop.night(mutation);
        for (const seed of [mutation.seed, ...Array.from({ length: SEEDS_MAX }, (_, index) => index + 1)]) {
          const { violation } = await runWorld({ ...BOARD, seed });
          if (violation === null) continue;
          expect(mutation.breaks, violation.told).toContain(violation.invariant);
          return;
        }
        expect.fail(`no world of ${SEEDS_MAX} missed it`);
      });
    }
  });
});
