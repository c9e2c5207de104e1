import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { plannedLevel } from "#core/lamp";
import { fixedAlmanac, sunAlmanac } from "#node/almanac";

const PLACE = { longitude: 13.405, nightPercent: 100, dayPercent: 0 };
const seconds = (month: number, day: number, hour = 12) => Date.UTC(2026, month - 1, day, hour) / 1000;

describe("an almanac by the sun", () => {
  it("lights Berlin from civil dusk to civil dawn, as the tables say within five minutes", () => {
    const { plan } = sunAlmanac({ ...PLACE, latitude: 52.52 });
    const [dawn, dusk] = plan(seconds(3, 20));
    // 2026-03-20: civil dawn 04:38 UTC, civil dusk 17:51 UTC.
    expect(Math.abs(dawn!.minuteOfDay - (4 * 60 + 38))).toBeLessThanOrEqual(5);
    expect(Math.abs(dusk!.minuteOfDay - (17 * 60 + 51))).toBeLessThanOrEqual(5);
    expect([dawn!.levelPercent, dusk!.levelPercent]).toEqual([0, 100]);
  });

  it("lights Svalbard all day in December and never in June", () => {
    const { plan } = sunAlmanac({ ...PLACE, latitude: 78.2 });
    expect(plan(seconds(12, 21))).toEqual([{ minuteOfDay: 0, levelPercent: 100 }]);
    expect(plan(seconds(6, 21))).toEqual([{ minuteOfDay: 0, levelPercent: 0 }]);
  });

  it("is dark at local noon and lit at local midnight on every meridian", () => {
    for (let longitude = -180; longitude <= 180; longitude += 15) {
      const { plan } = sunAlmanac({ ...PLACE, latitude: 30, longitude });
      const noon = seconds(9, 22) - longitude * 240;
      expect(plannedLevel(plan(noon), noon)).toBe(0);
      expect(plannedLevel(plan(noon + 43_200), noon + 43_200)).toBe(100);
    }
  });

  it("has a sorted plan for every place on every day", () => {
    const place = fc.record({
      latitude: fc.double({ min: -90, max: 90, noNaN: true }),
      longitude: fc.double({ min: -180, max: 180, noNaN: true }),
    });
    fc.assert(
      fc.property(place, fc.integer({ min: seconds(1, 1), max: seconds(12, 31) }), (at, wallSeconds) => {
        const plan = sunAlmanac({ ...at, nightPercent: 80, dayPercent: 5 }).plan(wallSeconds);
        expect(plan.length).toBeGreaterThanOrEqual(1);
        for (const step of plan) {
          expect(Number.isInteger(step.minuteOfDay) && step.minuteOfDay >= 0 && step.minuteOfDay < 1440).toBe(
            true,
          );
        }
        const minutes = plan.map((step) => step.minuteOfDay);
        expect(minutes).toEqual([...minutes].sort((left, right) => left - right));
      }),
    );
  });
});

describe("a fixed almanac", () => {
  it("has the same plan every day", () => {
    const steps = [{ minuteOfDay: 60, levelPercent: 30 }];
    expect(fixedAlmanac(steps).plan(0)).toBe(steps);
    expect(fixedAlmanac(steps).plan(1e9)).toBe(steps);
  });
});
