import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LampModel, METER_TYPES } from "#simulator/city/lamp-model";
import { type FeederLight, readFeeders } from "#simulator/fleet/reconciliation/feeders";

const LAMP = { ratedMilliwatts: 60_000, startUpPermille: 1_000, startUpMs: 0, powerFactorPermille: 950 };
const HOUR_MS = 3_600_000;

/** One hour at full light behind a meter; what is bypassed is bypassed all the time. */
function burn(meter: (typeof METER_TYPES)[number], initial: number, bypassedPermille: number): FeederLight {
  let nowMs = 0;
  const model = new LampModel(LAMP, meter, initial, () => nowMs);
  let first = 0;
  let last = 0;
  model.read((reading) => {
    first = reading!.raw;
  });
  model.bypass(bypassedPermille);
  model.set(100);
  nowMs = HOUR_MS;
  model.read((reading) => {
    last = reading!.raw;
  });
  return {
    feeder: "Ash Lane",
    drawnMilliwattHours: model.deliveredUnits(),
    registeredMilliwattHours: last - first,
    resolutionMilliwattHours: meter.resolutionUnits,
  };
}

describe("a wire around the meter", () => {
  it("is seen by the feeder and not by the meter, to the share that it leads", () => {
    const share = fc.integer({ min: 0, max: 1_000 });
    fc.assert(
      fc.property(share, (permille) => {
        const light = burn(METER_TYPES[0]!, 0, permille);
        expect(light.drawnMilliwattHours).toBeCloseTo(60_000, 6);
        expect(Math.abs(light.registeredMilliwattHours - 60 * (1_000 - permille))).toBeLessThanOrEqual(1);
      }),
    );
  });

  it("shows as lower power on the meter too, from the moment it is laid", () => {
    let nowMs = 0;
    const model = new LampModel(LAMP, METER_TYPES[0]!, 0, () => nowMs);
    model.set(100);
    nowMs = HOUR_MS;
    model.bypass(700);
    nowMs = 2 * HOUR_MS;
    let power = 0;
    model.read((reading) => {
      power = reading!.powerMilliwatts;
    });
    expect(power).toBe(18_000);
    expect(model.meteredUnits()).toBeCloseTo(78_000, 6);
    expect(model.deliveredUnits()).toBeCloseTo(120_000, 6);
  });
});

describe("a feeder's meter", () => {
  const meter = fc.constantFrom(...METER_TYPES);
  const honest = fc.array(fc.tuple(meter, fc.integer({ min: 0, max: 5_000_000 })), {
    minLength: 1,
    maxLength: 40,
  });

  it("suspects no honest street, whatever meters hang on it and wherever their counters stand", () => {
    fc.assert(
      fc.property(honest, (lights) => {
        const [feeder] = readFeeders(lights.map(([type, initial]) => burn(type, initial, 0)));
        expect(feeder!.suspected).toBe(false);
      }),
      { numRuns: 1_000 },
    );
  });

  it("finds one light among forty that draws 70 % past its meter for an hour", () => {
    fc.assert(
      fc.property(honest, meter, (lights, type) => {
        const street = lights.slice(0, 39).map(([other, initial]) => burn(other, initial, 0));
        const [feeder] = readFeeders([...street, burn(type, 0, 700)]);
        expect(feeder!.suspected).toBe(true);
        expect(Math.abs(feeder!.missingMilliwattHours - 42_000)).toBeLessThan(
          feeder!.toleranceMilliwattHours + type.resolutionUnits,
        );
      }),
      { numRuns: 300 },
    );
  });

  it("adds up feeder by feeder, most missing first", () => {
    const one = burn(METER_TYPES[0]!, 0, 0);
    const feeders = readFeeders([
      one,
      { ...one, feeder: "Elm Row", registeredMilliwattHours: one.drawnMilliwattHours - 9_000 },
      one,
    ]);
    expect(feeders.map(({ name, lights, suspected }) => [name, lights, suspected])).toEqual([
      ["Elm Row", 1, true],
      ["Ash Lane", 2, false],
    ]);
    expect(feeders[0]!.missingMilliwattHours).toBe(9_000);
  });
});
