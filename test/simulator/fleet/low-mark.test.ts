import { describe, expect, it } from "vitest";
import { METER_TYPES } from "#simulator/city/lamp-model";
import { lowMarkPermille } from "#simulator/fleet/lights/low-mark";
import { drawnTown } from "#simulator/world/fast/drawn-town";
import { termsOf } from "#simulator/world/fast/fast-city";
import { ROUND_TRIP_MS, runFastLight } from "#simulator/world/fast/fast-light";

const WATT_HOUR_METER = METER_TYPES.find(
  ({ resolutionUnits: resolutionMilliwattHours }) => resolutionMilliwattHours === 1_000,
)!;

/** Time without light in a night of a lamp that buys for so many seconds at a time, milliseconds. */
function starvedMs(meter: (typeof METER_TYPES)[number], watts: number, seconds: number, permille: number) {
  const town = drawnTown(1, 1);
  const site = town.siteAt(0);
  const ratedMilliwatts = 1_000 * watts;
  const wantedUnits = Math.round((ratedMilliwatts * seconds) / 3_600);
  const policy = { ...site.settings.policy, dailyBudgetAtomic: 50_000_000, quantumMaxAtomic: 10_000 };
  const drawn = {
    ...site,
    ...{ meter, wantedUnits },
    lamp: { ...site.lamp, ratedMilliwatts },
    settings: { ...site.settings, policy, ratedMilliwatts, lowMarkPermille: permille },
  };
  return runFastLight(drawn, termsOf(town, wantedUnits), null).starvedMs;
}

describe("the low mark", () => {
  it("keeps a lamp lit all night behind any meter, however little it buys at a time", () => {
    for (const meter of METER_TYPES) {
      for (const watts of [30, 60, 150]) {
        for (const seconds of [30, 60, 600]) {
          const wanted = Math.round((watts * seconds) / 3.6);
          const permille = lowMarkPermille(meter.resolutionUnits, wanted);
          const reported = `${meter.name}, ${watts} W, ${seconds} s`;
          // Until the first answer there was never any credit.
          expect(starvedMs(meter, watts, seconds, permille), reported).toBeLessThanOrEqual(ROUND_TRIP_MS);
        }
      }
    }
  });

  it("covers a coarse meter's whole step: without that, such a lamp goes dark again and again", () => {
    expect(starvedMs(WATT_HOUR_METER, 30, 60, 700)).toBeGreaterThan(10 * ROUND_TRIP_MS);
    expect(lowMarkPermille(1_000, 500)).toBe(3_200);
    expect(lowMarkPermille(1, 500)).toBe(700);
  });
});
