// What machines other than lamps use is metered exactly, held to what is allowed, and sold by its own unit.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { Reading } from "#core/events";
import { unitsForQuantum } from "#core/units";
import { METER_TYPES } from "#simulator/city/lamp-model";
import { seededRandom } from "#simulator/city/random";
import { type Equipment, loadOf, type SimulatedLoad } from "#simulator/profiles/profile";
import { PROFILES, profileNamed, soldBy } from "#simulator/profiles/profiles";
import { STREETLIGHT } from "#simulator/profiles/streetlight";
import { readTariff } from "#simulator/seller/run-seller";
import { DEFAULT_MENU } from "#simulator/seller/sale/tariff";

const LAMP: Equipment = {
  lamp: { ratedMilliwatts: 60_000, startUpPermille: 1_100, startUpMs: 1_000, powerFactorPermille: 900 },
  meter: METER_TYPES[0]!,
  meterInitial: 0,
  almanac: { plan: () => [{ minuteOfDay: 0, levelPercent: 100 }] },
};

const MS_PER_HOUR = 3_600_000;

function opened(name: string, seed: number) {
  let nowMs = 0;
  const draw = seededRandom(seed);
  const profile = profileNamed(name);
  const site = profile.equip(LAMP, draw);
  const load = loadOf({ ...site, profile }, draw, () => nowMs);
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { site, load, pass };
}

function readingOf(load: SimulatedLoad): Reading {
  let read: Reading | null = null;
  load.read((reading) => {
    read = reading;
  });
  return read!;
}

const STEPS = fc.array(
  fc.record({ levelPercent: fc.integer({ min: 0, max: 100 }), ms: fc.integer({ min: 1, max: 300_000 }) }),
  { minLength: 1, maxLength: 20 },
);

/** Those that are no sockets' other end. */
const IN_MEMORY = PROFILES.filter(({ load }) => load !== null).map(({ name }) => name);

for (const name of IN_MEMORY) {
  test(`a ${name} never uses more than its level allows, and nothing at level 0`, () => {
    fc.assert(
      fc.property(STEPS, fc.nat(), (steps, seed) => {
        const { site, load, pass } = opened(name, seed);
        for (const { levelPercent, ms } of steps) {
          const before = load.deliveredUnits();
          load.set(levelPercent);
          pass(ms);
          const used = load.deliveredUnits() - before;
          const { ratedMilliwatts, startUpPermille, startUpMs } = site.lamp;
          const starting = ((startUpPermille - 1_000) / 1_000) * startUpMs;
          const most = (ratedMilliwatts * levelPercent * (ms + starting)) / 100 / MS_PER_HOUR;
          expect(used).toBeGreaterThanOrEqual(0);
          expect(used).toBeLessThanOrEqual(most + 1e-6);
        }
      }),
    );
  });

  test(`a ${name}'s meter shows what was used, rounded down to its step, however often it is read`, () => {
    fc.assert(
      fc.property(STEPS, fc.nat(), fc.integer({ min: 1, max: 7 }), (steps, seed, looks) => {
        const seldom = opened(name, seed);
        const often = opened(name, seed);
        for (const { levelPercent, ms } of steps) {
          for (const { load } of [seldom, often]) load.set(levelPercent);
          seldom.pass(ms);
          for (let look = 0; look < looks; look++) {
            often.pass(ms / looks);
            readingOf(often.load);
          }
        }
        expect(often.load.deliveredUnits()).toBeCloseTo(seldom.load.deliveredUnits(), 4);
        const { resolutionUnits } = seldom.site.meter;
        const shown = readingOf(seldom.load).raw - seldom.site.meterInitial;
        const used = seldom.load.deliveredUnits();
        expect(shown).toBeLessThanOrEqual(used + 1e-6);
        expect(shown).toBeGreaterThan(used - resolutionUnits - 1e-6);
      }),
    );
  });

  test(`a ${name} gets units for the smallest quantum at its price, and its owner accepts that price`, () => {
    const { tariff, priceCeiling } = profileNamed(name);
    const pricePerMillionUnits = readTariff(tariff, 1).priceAt(0);
    expect(unitsForQuantum(DEFAULT_MENU[0], pricePerMillionUnits)).toBeGreaterThan(0);
    expect(pricePerMillionUnits).toBeLessThanOrEqual(priceCeiling);
    expect(priceCeiling).toBeLessThan(2 ** 32);
  });
}

test("a throttled process does its work later, and loses none of it while its queue holds it", () => {
  const throttled = opened("compute", 7);
  const free = opened("compute", 7);
  for (const { load } of [throttled, free]) load.set(100);
  throttled.load.set(0);
  for (const { pass } of [throttled, free]) pass(30_000);
  expect(throttled.load.deliveredUnits()).toBe(0);
  expect(readingOf(throttled.load).powerMilliwatts).toBe(0);
  throttled.load.set(100);
  for (const { pass } of [throttled, free]) pass(600_000);
  expect(throttled.load.deliveredUnits()).toBeCloseTo(free.load.deliveredUnits(), 6);
});

test("each unit has one seller, and electricity goes by one meter's unit whatever draws it", () => {
  const units = soldBy(PROFILES).map(({ goods }) => goods.unit);
  expect(new Set(units).size).toBe(units.length);
  expect(soldBy([STREETLIGHT, STREETLIGHT])).toEqual([STREETLIGHT]);
});
