import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { energyMilliwattHours } from "#core/units";
import { deadlineOf, wantsMore, wishFault } from "#hardware/charger/limits/charge-wish";
import {
  allowedBetween,
  type Flow,
  flowAt,
  limitFlow,
  newFlow,
  reportFlow,
} from "#hardware/charger/limits/flow";
import { judgeReport, OBEDIENT, type Obedience } from "#hardware/charger/limits/obedience";
import { NO_POWER, paidLimit } from "#hardware/charger/limits/paid-limit";
import { horizonMs, quantumFault, smallestQuantum } from "#hardware/charger/limits/smallest-quantum";

const RANGE = {
  minMilliwatts: 4_554_000,
  maxMilliwatts: 12_144_000,
  stepMilliwatts: 75_900,
  leastSeconds: 5,
};
const TIMES = {
  maxMilliwatts: RANGE.maxMilliwatts,
  reportMs: 10_000,
  stopLatencyMs: 5000,
  linkLatencyMs: 2000,
};
const LAG_MS = TIMES.stopLatencyMs;
const QUANTUM = smallestQuantum(TIMES);

describe("the limit for what is paid", () => {
  it("never lets more flow than is paid, keeps to the charger's range, and grows with what is paid", () => {
    const paid = fc.integer({ min: -100_000, max: 50_000_000 });
    fc.assert(
      fc.property(paid, fc.nat({ max: 1_000_000 }), (less, more) => {
        const limit = paidLimit(less, horizonMs(TIMES), RANGE);
        expect(energyMilliwattHours(limit.milliwatts, limit.durationSeconds * 1000)).toBeLessThanOrEqual(
          Math.max(0, less),
        );
        if (limit.milliwatts > 0) {
          expect(limit.milliwatts).toBeGreaterThanOrEqual(RANGE.minMilliwatts);
          expect(limit.milliwatts).toBeLessThanOrEqual(RANGE.maxMilliwatts);
          expect(limit.durationSeconds).toBeGreaterThanOrEqual(RANGE.leastSeconds);
        }
        const greater = paidLimit(less + more, horizonMs(TIMES), RANGE);
        expect(greater.milliwatts).toBeGreaterThanOrEqual(limit.milliwatts);
      }),
    );
    expect(paidLimit(QUANTUM, horizonMs(TIMES), RANGE).milliwatts).toBeGreaterThan(
      0.99 * RANGE.maxMilliwatts,
    );
    expect(paidLimit(0, horizonMs(TIMES), RANGE)).toEqual(NO_POWER);
  });

  it("wants a purchase of at least full power for the time in which nothing is known, and names the sum", () => {
    expect(QUANTUM).toBe(Math.ceil((12_144_000 * 17) / 3600));
    expect(quantumFault(QUANTUM, TIMES)).toBeNull();
    expect(quantumFault(QUANTUM - 1, TIMES)).toBe(
      "expected a purchase of at least 57347 mWh: 12144 W x (report 10 s + stop latency 5 s + link latency 2 s), found " +
        "57346 mWh; raise meter.wanted_units, or report more often",
    );
  });
});

/** One thing that happens to a charger, after a while. */
type Step =
  | {
      readonly type: "limit";
      readonly afterMs: number;
      readonly milliwatts: number;
      readonly seconds: number;
    }
  | { readonly type: "report"; readonly afterMs: number; readonly ageMs: number; readonly taken: number }
  | { readonly type: "grant"; readonly afterMs: number; readonly units: number };

const afterMs = fc.integer({ min: 0, max: 30_000 });
const steps = fc.array(
  fc.oneof<fc.Arbitrary<Step>[]>(
    fc.record({
      type: fc.constant("limit" as const),
      afterMs,
      milliwatts: fc.integer({ min: 0, max: RANGE.maxMilliwatts }),
      seconds: fc.integer({ min: 1, max: 40 }),
    }),
    fc.record({
      type: fc.constant("report" as const),
      afterMs,
      // At once, or all that was queued during an outage.
      ageMs: fc.oneof(fc.integer({ min: 0, max: 2000 }), fc.integer({ min: 0, max: 200_000 })),
      taken: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    fc.record({
      type: fc.constant("grant" as const),
      afterMs,
      units: fc.integer({ min: 0, max: 2 * QUANTUM }),
    }),
  ),
  { maxLength: 60 },
);

/** A charger that obeys: it takes a share of its limit, and follows one that falls at the last moment. */
class Obeying {
  nowMs = 0;
  delivered = 0;
  taken = 1;
  limits: { fromMs: number; milliwatts: number; endsAtMs: number }[] = [];
  readonly past: { atMs: number; delivered: number }[] = [];

  power(atMs: number): number {
    const at = (ms: number) => {
      const latest = this.limits.filter(({ fromMs }) => fromMs <= ms).at(-1);
      return latest === undefined || latest.endsAtMs <= ms ? 0 : latest.milliwatts;
    };
    return this.taken * Math.max(at(atMs), at(atMs - LAG_MS + 1));
  }
  run(toMs: number): void {
    for (; this.nowMs < toMs; this.nowMs = Math.min(toMs, this.nowMs + 100)) {
      this.delivered += energyMilliwattHours(this.power(this.nowMs), Math.min(toMs - this.nowMs, 100));
      this.past.push({ atMs: this.nowMs, delivered: this.delivered });
    }
  }
  deliveredAt(atMs: number): number {
    return this.past.filter((one) => one.atMs <= atMs).at(-1)?.delivered ?? 0;
  }
}

describe("what can have flowed", () => {
  it("is never less than what a charger that obeys delivers, which is never found to disobey", () => {
    fc.assert(
      fc.property(steps, (all) => {
        const charger = new Obeying();
        let flow: Flow = newFlow(0, 0, 0);
        let obedience: Obedience = OBEDIENT;
        let [total, shownAtMs] = [0, 0];
        for (const step of all) {
          charger.run(charger.nowMs + step.afterMs);
          const { nowMs } = charger;
          if (step.type === "limit") {
            const endsAtMs = nowMs + step.seconds * 1000;
            charger.limits.push({ fromMs: nowMs, milliwatts: step.milliwatts, endsAtMs });
            flow = limitFlow(flow, nowMs, step.milliwatts, endsAtMs, LAG_MS);
          } else if (step.type === "report") {
            const shown = Math.floor(Math.max(total, charger.deliveredAt(nowMs - step.ageMs)));
            const atMs = Math.max(shownAtMs, nowMs - step.ageMs);
            const before = flowAt(flow, nowMs, LAG_MS);
            obedience = judgeReport(
              obedience,
              shown - total,
              allowedBetween(before, shownAtMs, atMs),
              QUANTUM,
            );
            shownAtMs = atMs;
            const measuredMilliwatts = charger.power(nowMs - step.ageMs);
            flow = reportFlow(
              flow,
              nowMs,
              { total: shown, atMs: nowMs - step.ageMs, measuredMilliwatts },
              LAG_MS,
            );
            total = shown;
            charger.taken = step.taken;
          }
          flow = flowAt(flow, nowMs, LAG_MS);
          // The charger's own steps of a tenth of a second, and whole milliwatt-hours.
          expect(flow.most + 400).toBeGreaterThanOrEqual(charger.delivered);
        }
        expect(obedience.disobeys).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  it("keeps a charger that obeys within one purchase of what is paid, whenever and whatever it reports", () => {
    fc.assert(
      fc.property(steps, (all) => {
        const charger = new Obeying();
        let flow: Flow = newFlow(0, 0, 0);
        let [total, paid] = [0, 0];
        for (const step of all) {
          charger.run(charger.nowMs + step.afterMs);
          const { nowMs } = charger;
          if (step.type === "grant") paid += step.units;
          if (step.type === "report") {
            const shown = Math.floor(Math.max(total, charger.deliveredAt(nowMs - step.ageMs)));
            const measuredMilliwatts = charger.power(nowMs - step.ageMs);
            flow = reportFlow(
              flow,
              nowMs,
              { total: shown, atMs: nowMs - step.ageMs, measuredMilliwatts },
              LAG_MS,
            );
            total = shown;
          }
          flow = flowAt(flow, nowMs, LAG_MS);
          if (step.type === "limit") {
            const limit = paidLimit(paid - flow.most, horizonMs(TIMES), RANGE);
            const endsAtMs = nowMs + limit.durationSeconds * 1000;
            charger.limits.push({ fromMs: nowMs, milliwatts: limit.milliwatts, endsAtMs });
            flow = limitFlow(flow, nowMs, limit.milliwatts, endsAtMs, LAG_MS);
          }
          expect(charger.delivered - paid).toBeLessThanOrEqual(QUANTUM);
        }
        // The link is gone: it stops by itself.
        charger.run(charger.nowMs + 3_700_000 * Math.sign(paid) * 0.02);
        expect(charger.delivered - paid).toBeLessThanOrEqual(QUANTUM);
      }),
      { numRuns: 60 },
    );
  });
});

describe("a charger that breaks its limits", () => {
  it("disobeys after two reports in a row, or at once by a whole purchase, and its excess is told", () => {
    const once = judgeReport(OBEDIENT, 60_000, 30_000, 57_000);
    expect(once).toMatchObject({ excessMilliwattHours: 30_000, strikes: 1, disobeys: false });
    expect(judgeReport(once, 30_000, 30_000, 57_000)).toMatchObject({ strikes: 0, disobeys: false });
    expect(judgeReport(once, 60_000, 30_000, 57_000)).toMatchObject({
      excessMilliwattHours: 60_000,
      strikes: 2,
      disobeys: true,
    });
    // A little at each of many reports adds up.
    let often = OBEDIENT;
    for (let report = 0; report < 4; report++) often = judgeReport(often, 30_000, 17_000, 57_000);
    expect(often.disobeys).toBe(true);
    expect(judgeReport(OBEDIENT, 80_000, 0, 57_000).disobeys).toBe(true);
    // Once and for all.
    expect(judgeReport({ ...once, disobeys: true }, 0, 0, 57_000).disobeys).toBe(true);
  });
});

describe("a car's wish", () => {
  const wish = { energyMilliwattHours: 20e6, readyByMinute: 390 };
  const evening = Date.UTC(2026, 10, 20, 22) / 1000;

  it("is for the next time that its clock shows, and said at once when the charger cannot meet it", () => {
    const deadline = deadlineOf(wish, evening);
    expect(deadline).toBe(Date.UTC(2026, 10, 21, 6, 30) / 1000);
    expect(wishFault(wish, deadline, 0, evening, 11_040_000)).toBeNull();
    expect(wishFault(wish, deadline, 0, deadline! - 3600, 11_040_000)).toBe(
      "wish: expected 20 kWh by 06:30 UTC, found at most 11.04 kWh at 11040 W; it is charged as far as it goes",
    );
    expect(wantsMore(wish, 19_999_999)).toBe(true);
    expect(wantsMore(wish, 20e6)).toBe(false);
  });
});
