/** The lamp against an integral that is reckoned another way: millisecond by millisecond. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Reading } from "#core/events";
import { LampModel, type LampType, METER_TYPES, type MeterType } from "#simulator/city/lamp-model";

const LAMP: LampType = {
  ratedMilliwatts: 60_000,
  startUpPermille: 1_150,
  startUpMs: 1_500,
  powerFactorPermille: 950,
};
const FINE: MeterType = { name: "fine", resolutionUnits: 1, rollOverAt: 0 };

function lampAt(lamp = LAMP, meter = FINE, initial = 0) {
  let nowMs = 0;
  const model = new LampModel(lamp, meter, initial, () => nowMs);
  return {
    model,
    pass: (ms: number) => {
      nowMs += ms;
    },
    read: () => {
      let taken: Reading | null = null;
      model.read((reading) => {
        taken = reading;
      });
      return taken as unknown as Reading;
    },
  };
}

test("energy is the integral of power over every change of level and every start", () => {
  const steps = fc.array(
    fc.record({ level: fc.constantFrom(0, 0, 30, 60, 100), forMs: fc.integer({ min: 0, max: 4_000 }) }),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(steps, fc.boolean(), (plan, looksOften) => {
      const { model, pass } = lampAt();
      let milliwattMs = 0;
      let litForMs = 0;
      let before = 0;
      for (const { level, forMs } of plan) {
        model.set(level);
        if (before === 0) litForMs = 0;
        before = level;
        for (let ms = 0; ms < forMs; ms++) {
          const starting = litForMs < LAMP.startUpMs;
          milliwattMs += LAMP.ratedMilliwatts * (level / 100) * (starting ? 1.15 : 1);
          litForMs++;
          pass(1);
          if (looksOften && ms % 7 === 0) model.deliveredUnits();
        }
      }
      expect(model.deliveredUnits()).toBeCloseTo(milliwattMs / 3_600_000, 6);
    }),
    { numRuns: 60 },
  );
});

test("power shows the start-up surge, then the steady load, then nothing", () => {
  const { model, pass, read } = lampAt();
  expect(read().powerMilliwatts).toBe(0);
  model.set(50);
  expect(read().powerMilliwatts).toBe(34_500);
  pass(1_499);
  expect(read().powerMilliwatts).toBe(34_500);
  pass(1);
  expect(read().powerMilliwatts).toBe(30_000);
  model.set(0);
  expect(read().powerMilliwatts).toBe(0);
});

test("a meter shows whole steps of its resolution, never more than was drawn", () => {
  for (const meter of METER_TYPES) {
    const { model, pass, read } = lampAt(LAMP, meter, 4_321);
    model.set(100);
    for (let second = 0; second < 200; second++) {
      pass(1_000);
      const { raw } = read();
      const drawn = 4_321 + model.deliveredUnits();
      expect(raw % meter.resolutionUnits).toBe(0);
      expect(raw).toBeLessThanOrEqual(drawn);
      expect(drawn - raw).toBeLessThan(meter.resolutionUnits);
    }
  }
});

test("a counter at its end begins again at zero and goes on counting", () => {
  const meter: MeterType = { name: "wraps", resolutionUnits: 10, rollOverAt: 10_000 };
  const { model, pass, read } = lampAt({ ...LAMP, startUpPermille: 1_000 }, meter, 9_990);
  model.set(100);
  expect(read().raw).toBe(9_990);
  // 60 W for 1.2 s are 20 mWh.
  pass(1_200);
  expect(read().raw).toBe(10);
  expect(model.deliveredUnits()).toBeCloseTo(20, 9);
});
