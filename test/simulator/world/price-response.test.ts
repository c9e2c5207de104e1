// A fleet that answers prices beside the same fleet at a flat price: both buy by real vouchers, nobody misses a deadline, and
// the feeder's limit is learned from what was metered.

import { expect, test } from "vitest";
import { Watt402Error } from "#payment/watt402-error";
import { readScenario } from "#simulator/scenario/scenario";
import { flatTariff } from "#simulator/seller/sale/tariff";
import { DailyTask } from "#simulator/world/market/daily-task";
import { congestedTariff, Feeder } from "#simulator/world/market/feeder";
import { runPriceResponse } from "#simulator/world/run/price-response";
import { planWorldEvening } from "#simulator/world/run/scenario-plan";

const DAY = 86_400;
const MIDNIGHT = 1_800_057_600;
const WORLD = { seed: 1, nights: 1, faults: "none", signing: "stand-in" } as const;

test("loads that wait pay less than at a flat price, have their energy in time, and the counters of all worlds reconcile", async () => {
  const flags = { scenario: "price-response", lights: 10, minutes: 1_440 };
  const plan = planWorldEvening({ flags, nights: 1 });
  const { market, outcomes } = await runPriceResponse({ ...WORLD, lights: 10 }, plan, plan.scenario.market!);
  expect(outcomes).toHaveLength(3);
  for (const { violation, money } of outcomes) {
    expect(violation).toBeNull();
    expect(money.charged).toBe(money.settled);
  }
  const { flat, answering } = market;
  // Of the flat price that the fleet itself makes revenue neutral, what is left differs by what was bought and not used.
  expect(flat.chargedAtomic / flat.costAtomic).toBeCloseTo(1, 1);
  expect(market.costRatio).toBeLessThan(0.85);
  expect(answering.peakKilowatts).toBeLessThan(0.7 * flat.peakKilowatts);
  expect(answering.service).toMatchObject({ tasks: flat.service.tasks, byDeadline: 1, worstTask: 1 });
  expect(flat.service.tasks).toBeGreaterThan(1);
  expect(market.serviceRatio).toBeGreaterThan(0.99);
  expect(answering.lightAbove).toBeLessThan(flat.lightAbove);
}, 120_000);

test("a day's task is scored by what was delivered of it until its deadline, and no later", () => {
  let delivered = 500;
  const day = { milliwatts: 1_000, milliwattHours: 100, fromMinute: 18 * 60, spreadMinutes: 0 } as const;
  const task = new DailyTask({ kind: "waits", ...day, readyByMinute: 6 * 60 }, 10, () => delivered);
  const at = (hours: number) => task.now(MIDNIGHT + hours * 3_600);
  // Under way when the world begins: it runs, and is not scored.
  expect(at(3)).toEqual({ unitsLeft: 100, deadlineSeconds: MIDNIGHT + 6 * 3_600 });
  expect(at(7)).toBeNull();
  expect(at(18)).toBeNull();
  expect(at(18.25)).toEqual({ unitsLeft: 100, deadlineSeconds: MIDNIGHT + DAY + 6 * 3_600 });
  delivered += 60;
  expect(at(25)!.unitsLeft).toBe(40);
  expect(at(30)).toBeNull();
  delivered += 40;
  expect(at(31)).toBeNull();
  expect(task.score).toEqual({ required: 100, delivered: 60, tasks: 1, worst: 0.6 });
  expect(at(18.25 + 24)!.unitsLeft).toBe(100);
  delivered += 200;
  expect(at(19 + 24)).toBeNull();
  expect(at(30 + 24)).toBeNull();
  expect(task.score).toEqual({ required: 200, delivered: 160, tasks: 2, worst: 0.6 });
});

test("a quarter is dearer where the feeder was above its limit in it, by half of what it was above, then by what comes", () => {
  const feeder = new Feeder(1_000);
  const tariff = congestedTariff(flatTariff(100), feeder, 1_000);
  expect(tariff.priceAt(MIDNIGHT)).toBe(100);
  feeder.drawn(MIDNIGHT, 1_400);
  expect([0, 899, 900].map((later) => tariff.priceAt(MIDNIGHT + DAY + later))).toEqual([500, 500, 100]);
  feeder.drawn(MIDNIGHT + DAY, 1_000);
  expect(tariff.priceAt(MIDNIGHT)).toBe(300);
  feeder.drawn(MIDNIGHT + DAY, 0);
  expect(tariff.priceAt(MIDNIGHT)).toBe(100);
  expect(tariff.validUntilSeconds(MIDNIGHT + 1)).toBe(MIDNIGHT + 900);
});

test("a market without loads that answer, or one that dims and waits at once, is refused with its place", () => {
  const head = 'title = "t"\nstory = "s"\n';
  const market = "[market]\nfeeder_kilowatts = 40\n";
  const waits = 'waits = { kilowatts = 1, energy_kwh = 1, from = "16:30", ready_by = "06:00" }\n';
  const group = `[[group]]\nname = "cars"\nshare = 0.5\n${waits}`;
  const read = (toml: string) => readScenario(head + toml, "m.toml", "m");
  expect(() => read(market)).toThrow("m.toml: market: expected a group with dims or waits");
  expect(() => read(`${market}${group}dims = { least_percent = 40 }\n`)).toThrow(
    "m.toml: group 1: expected dims or waits, found both",
  );
  expect(() => read(`${market}${group.replace("16:30", "25:00")}`)).toThrow(Watt402Error);
  expect(read(market + group).groups[0]!.flexibility).toMatchObject({ fromMinute: 990, readyByMinute: 360 });
});
