// Loads that answer prices: what is needed is there by its deadline, the cheap hours have the most of it, no light falls below
// its owner's least level.

import fc from "fast-check";
import { expect, test } from "vitest";
import { plannedLevel } from "#core/lamp";
import { dearness, loadSchedule } from "#market/load-schedule";
import { type PriceSeries, stepsFrom } from "#market/price-series";
import { deadlinePlan, dimmingPlan } from "#market/priced-plan";

/** A midnight of UTC. */
const FROM = 1_800_057_600;
const HOUR = 3_600;

function seriesOf(prices: readonly number[]): PriceSeries {
  return {
    unit: "mWh",
    timeZone: "UTC",
    fromSeconds: FROM,
    untilSeconds: FROM + prices.length * HOUR,
    price: prices.map((price, at): [number, number] => [FROM + at * HOUR, price]),
  };
}

const prices = fc.array(fc.integer({ min: 1, max: 4_000_000 }), { minLength: 1, maxLength: 48 });
const needs = fc.record({
  units: fc.integer({ min: 1, max: 200_000_000 }),
  deadlineSeconds: fc.integer({ min: FROM + 60, max: FROM + 60 * HOUR }),
  unitsPerHour: fc.integer({ min: 1_000, max: 22_000_000 }),
});

test("a schedule has what is needed, or all that fits before the deadline, within the load's power, the most where it is cheap", () => {
  fc.assert(
    fc.property(prices, needs, fc.constantFrom(0, 0.2, 0.5, 1), (asked, need, spread) => {
      const steps = stepsFrom(seriesOf(asked), FROM);
      const scheduled = loadSchedule(steps, FROM, need, spread);
      expect(scheduled.at(-1)!.endSeconds).toBe(need.deadlineSeconds);
      for (const { unitsPerHour } of scheduled) {
        expect(unitsPerHour).toBeGreaterThanOrEqual(0);
        expect(unitsPerHour).toBeLessThanOrEqual(need.unitsPerHour);
      }
      const sum = scheduled.reduce(
        (units, step) => units + (step.unitsPerHour * (step.endSeconds - step.startSeconds)) / HOUR,
        0,
      );
      const most = (need.unitsPerHour * (need.deadlineSeconds - FROM)) / HOUR;
      expect(sum).toBeLessThanOrEqual(most * (1 + 1e-9));
      expect(sum).toBeGreaterThanOrEqual(Math.min(need.units, most) * (1 - 1e-6));
      const known = scheduled.slice(0, steps.length);
      for (const [at, one] of known.entries()) {
        for (const [other, two] of known.entries()) {
          const isCheaper = steps[at]!.pricePerMillionUnits < steps[other]!.pricePerMillionUnits;
          if (isCheaper) expect(one.unitsPerHour).toBeGreaterThanOrEqual(two.unitsPerHour);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("of a night with two cheap hours a car takes the cheapest first, and a spread shares it with the next", () => {
  const steps = stepsFrom(seriesOf([500, 100, 110, 400]), FROM);
  const need = { units: 8_000, deadlineSeconds: FROM + 4 * HOUR, unitsPerHour: 11_000 };
  const shares = (spread: number) =>
    loadSchedule(steps, FROM, need, spread).map(({ unitsPerHour }) => Math.round(unitsPerHour / 100));
  expect(shares(0)).toEqual([0, 80, 0, 0]);
  const [none, cheapest, next, dear] = shares(0.5);
  expect([none, dear]).toEqual([0, 0]);
  expect(cheapest! + next!).toBe(80);
  expect(cheapest!).toBeGreaterThan(next!);
  expect(next!).toBeGreaterThan(30);
});

test("whatever the prices are, a load that is looked at each quarter of an hour has what it needs at its deadline, where there is time", () => {
  fc.assert(
    fc.property(prices, needs, fc.constantFrom(0, 0.375), (asked, need, least) => {
      const { units, deadlineSeconds, unitsPerHour } = need;
      let left = units;
      const power = { most: unitsPerHour, least: least * unitsPerHour };
      const plan = deadlinePlan(() => (left > 0 ? { unitsLeft: left, deadlineSeconds } : null), power);
      plan.heard(seriesOf(asked), FROM);
      for (let at = FROM; at < deadlineSeconds; at += 900) {
        plan.look(at);
        const hours = Math.min(900, deadlineSeconds - at) / HOUR;
        const level = plannedLevel(plan.plan(at), at);
        expect(level === 0 || level >= 100 * least).toBe(true);
        left -= (unitsPerHour * hours * level) / 100;
      }
      const most = (unitsPerHour * (deadlineSeconds - FROM)) / HOUR;
      expect(left).toBeLessThanOrEqual(Math.max(0, units - most) + units * 1e-6);
      expect(plannedLevel(plan.plan(deadlineSeconds), deadlineSeconds)).toBe(left > 0 ? 100 : 0);
    }),
    { numRuns: 300 },
  );
});

test("a light dims between its least level and its plan by how dear the hour is among those ahead, and not where no price is known", () => {
  const planned = [
    { minuteOfDay: 0, levelPercent: 80 },
    { minuteOfDay: 6 * 60, levelPercent: 0 },
  ];
  const plan = dimmingPlan({ plan: () => planned }, 40);
  let changes = 0;
  plan.onChange!(() => {
    changes += 1;
  });
  const levelAt = (hour: number) => plannedLevel(plan.plan(FROM + hour * HOUR), FROM + hour * HOUR);
  expect(levelAt(0)).toBe(80);
  plan.heard(seriesOf([300, 100, 200, 300]), FROM);
  expect(changes).toBe(1);
  expect([0, 1, 2].map(levelAt)).toEqual([32, 80, 80]);
  plan.heard(seriesOf([200, 100, 300, 300]), FROM);
  expect(levelAt(0)).toBe(56);
  // The last hour is the only one that is known, and behind it none is.
  expect([3, 4, 7].map(levelAt)).toEqual([80, 80, 0]);
  plan.look(FROM + HOUR);
  plan.look(FROM + HOUR + 1);
  expect(changes).toBe(3);
  expect(dearness([])).toBe(0);
});
