import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { plannedLevel } from "#core/lamp";
import type { Twilight } from "#node/almanac";
import type { City, DimmingPlan } from "#simulator/city/city";
import { generateCity } from "#simulator/city/generate";
import { cityAlmanac, nauticalZone, offsetMinutes, planFor, twilightUnderClouds } from "#simulator/city/sun";
import { cloudAt, OVERCAST_MINUTES } from "#simulator/city/weather";

const FULL: DimmingPlan = { name: "full", steps: [{ localMinute: 0, levelPercent: 100 }] };
const HALF: DimmingPlan = {
  name: "half",
  steps: [
    { localMinute: 300, levelPercent: 100 },
    { localMinute: 1320, levelPercent: 50 },
  ],
};
const DAY = 86_400;
const day = (month: number, date: number) => Date.UTC(2026, month - 1, date) / 1000;

function at(latitude: number, longitude: number, seed = 1): City {
  return generateCity({ lights: 3, seed, place: { latitude, longitude } });
}

describe("a day's plan", () => {
  it("shines from dusk to dawn at the level of the local hour, and not by day", () => {
    const minute = fc.integer({ min: 0, max: 1439 });
    const step = fc.record({ localMinute: minute, levelPercent: fc.integer({ min: 0, max: 100 }) });
    const steps = fc
      .uniqueArray(step, { selector: (one) => one.localMinute, minLength: 1, maxLength: 6 })
      .map((unsorted) => unsorted.toSorted((left, right) => left.localMinute - right.localMinute));
    const offset = fc.integer({ min: -720, max: 840 });
    fc.assert(
      fc.property(minute, minute, steps, offset, minute, (duskMinute, dawnMinute, dim, ahead, asked) => {
        fc.pre(duskMinute !== dawnMinute);
        const plan = planFor({ kind: "crosses", duskMinute, dawnMinute }, { name: "x", steps: dim }, ahead);
        const isNight =
          duskMinute < dawnMinute
            ? asked >= duskMinute && asked < dawnMinute
            : asked >= duskMinute || asked < dawnMinute;
        const local = (((asked + ahead) % 1440) + 1440) % 1440;
        const dimmed = (dim.findLast(({ localMinute }) => localMinute <= local) ?? dim.at(-1)!).levelPercent;
        expect(plannedLevel(plan, asked * 60)).toBe(isNight ? dimmed : 0);
        const minutes = plan.map(({ minuteOfDay }) => minuteOfDay);
        expect(minutes).toEqual(minutes.toSorted((left, right) => left - right));
      }),
      { numRuns: 1_000 },
    );
  });

  it("is dark on a polar day, and dims through a polar night", () => {
    expect(planFor({ kind: "day" }, HALF, 60)).toEqual([{ minuteOfDay: 0, levelPercent: 0 }]);
    const plan = planFor({ kind: "night" }, HALF, 60);
    expect(plan).toEqual([
      { minuteOfDay: 240, levelPercent: 100 },
      { minuteOfDay: 1260, levelPercent: 50 },
    ]);
    expect(planFor({ kind: "night" }, FULL, 0)).toEqual([{ minuteOfDay: 0, levelPercent: 100 }]);
  });
});

describe("a city's almanac", () => {
  it("has a plan at every latitude on every day, with steps within the day", () => {
    const latitude = fc.double({ min: -90, max: 90, noNaN: true });
    const longitude = fc.double({ min: -180, max: 180, noNaN: true });
    fc.assert(
      fc.property(latitude, longitude, fc.integer({ min: 0, max: 730 }), (north, east, days) => {
        const city = at(north, east);
        const plan = cityAlmanac(city)(city.lights[0]!).plan(day(1, 1) + days * DAY);
        expect(plan.length).toBeGreaterThan(0);
        for (const { minuteOfDay, levelPercent } of plan) {
          expect(Number.isInteger(minuteOfDay) && minuteOfDay >= 0 && minuteOfDay < 1440).toBe(true);
          expect(levelPercent >= 0 && levelPercent <= 100).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("never lights Tromsø at midsummer and lights it at every hour at Longyearbyen's midwinter", () => {
    const tromso = at(69.65, 18.96);
    expect(cityAlmanac(tromso)(tromso.lights[0]!).plan(day(6, 21))).toEqual([
      { minuteOfDay: 0, levelPercent: 0 },
    ]);
    const longyearbyen = at(78.22, 15.65);
    const light = { ...longyearbyen.lights[0]!, dimming: HALF };
    const plan = cityAlmanac(longyearbyen)(light).plan(day(12, 21));
    for (let minute = 0; minute < 1440; minute += 10)
      expect(plannedLevel(plan, minute * 60)).toBeGreaterThan(0);
  });

  it("burns about as long in a year as tables say: Quito 4,075 h, Berlin 3,797 h, and a little for clouds", () => {
    const hours = (latitude: number, longitude: number) => {
      const city = at(latitude, longitude);
      const almanac = cityAlmanac(city)({ ...city.lights[0]!, dimming: FULL, switchEarlyMinutes: 0 });
      let minutes = 0;
      for (let date = 0; date < 365; date++) {
        const plan = almanac.plan(day(1, 1) + date * DAY);
        for (let minute = 0; minute < 1440; minute++) if (plannedLevel(plan, minute * 60) > 0) minutes++;
      }
      return minutes / 60;
    };
    // Clouds add up to 36 minutes a night, 110 h in a year at half cover.
    expect(hours(-0.18, -78.47) - 4_075).toBeGreaterThan(60);
    expect(hours(-0.18, -78.47) - 4_075).toBeLessThan(160);
    expect(hours(52.52, 13.405) - 3_797).toBeGreaterThan(60);
    expect(hours(52.52, 13.405) - 3_797).toBeLessThan(160);
  });

  it("switches earlier under clouds than under a clear sky, by no more than clouds can take", () => {
    const city = at(52.52, 13.405);
    const light = { ...city.lights[0]!, switchEarlyMinutes: 0 };
    const clear = (twilight: Twilight) => (twilight.kind === "crosses" ? twilight.duskMinute : Number.NaN);
    const early: number[] = [];
    for (let seed = 0; seed < 60; seed++) {
      early.push(clear(twilightUnderClouds({ ...city, seed }, light, day(3, 1))));
    }
    expect(Math.max(...early) - Math.min(...early)).toBeGreaterThan(OVERCAST_MINUTES / 2);
    expect(Math.max(...early) - Math.min(...early)).toBeLessThanOrEqual(OVERCAST_MINUTES);
  });

  it("takes a last short day for night when clouds are longer than it", () => {
    // Days before the polar night: civil twilight of a few minutes around noon.
    const city = at(77.9, 15.65);
    const light = city.lights[0]!;
    const kinds = new Set<string>();
    for (let date = 0; date < 365; date++)
      kinds.add(twilightUnderClouds(city, light, day(1, 1) + date * DAY).kind);
    expect(kinds).toEqual(new Set(["crosses", "day", "night"]));
  });
});

describe("the sky", () => {
  it("changes over hours: never by more than a hundredth in a minute", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 0, max: 2e9 }), (seed, seconds) => {
        const cover = cloudAt(seed, seconds);
        expect(cover >= 0 && cover <= 1).toBe(true);
        expect(Math.abs(cloudAt(seed, seconds + 60) - cover)).toBeLessThan(0.01);
      }),
    );
  });
});

describe("a city's clock", () => {
  it("follows summer time where the zone has it", () => {
    const berlin = offsetMinutes("Europe/Berlin");
    expect([berlin(day(1, 15)), berlin(day(7, 15))]).toEqual([60, 120]);
    expect(offsetMinutes("Asia/Kolkata")(day(1, 1))).toBe(330);
    expect(offsetMinutes("America/St_Johns")(day(1, 1))).toBe(-210);
  });

  it("goes by the longitude where no zone is named", () => {
    expect([nauticalZone(13.4), nauticalZone(-78.5), nauticalZone(2)]).toEqual([
      "Etc/GMT-1",
      "Etc/GMT+5",
      "Etc/GMT",
    ]);
    for (let longitude = -180; longitude <= 180; longitude += 5) {
      expect(Math.abs(offsetMinutes(nauticalZone(longitude))(0) - longitude * 4)).toBeLessThanOrEqual(30);
    }
    expect(() => offsetMinutes("Mars/Olympus")).toThrow(/IANA name such as "Europe\/Berlin"/);
  });
});
