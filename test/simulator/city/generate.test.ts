import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { generateCity, MAX_CITY_LIGHTS } from "#simulator/city/generate";
import { geoJsonOf } from "#simulator/city/geojson";
import { cityFromGeoJson } from "#simulator/city/inventory";
import { sitesOf } from "#simulator/fleet/lights/street";

const METRES_PER_DEGREE = 111_320;

describe("a city drawn from a seed", () => {
  it("is the same for the same seed, and another for another", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 300 }), (seed, lights) => {
        expect(generateCity({ lights, seed })).toEqual(generateCity({ lights, seed }));
      }),
      { numRuns: 25 },
    );
    expect(geoJsonOf(generateCity({ lights: 50, seed: 1 }))).not.toBe(
      geoJsonOf(generateCity({ lights: 50, seed: 2 })),
    );
  });

  it("has as many lights as asked for, each with a name of its own, and is the middle of a larger one", () => {
    const large = generateCity({ lights: 2_000, seed: 9 });
    for (const lights of [1, 2, 25, 700]) {
      const city = generateCity({ lights, seed: 9 });
      expect(new Set(city.lights.map(({ name }) => name)).size).toBe(lights);
      expect(city.lights).toEqual(large.lights.slice(0, lights));
    }
  });

  it("mounts stronger lamps on wider roads, and dims one street by one plan", () => {
    const { lights } = generateCity({ lights: 5_000, seed: 3 });
    const watts = (roadClass: string) => {
      const found = lights.filter((light) => light.roadClass === roadClass);
      return found.reduce((sum, { lamp }) => sum + lamp.ratedMilliwatts / 1000, 0) / found.length;
    };
    expect(watts("residential")).toBeGreaterThan(28);
    expect(watts("residential")).toBeLessThan(51);
    expect(watts("secondary")).toBeGreaterThan(watts("residential"));
    expect(watts("main")).toBeGreaterThan(95);
    const plans = new Map<string, Set<string>>();
    for (const { street, dimming } of lights) {
      plans.set(street, (plans.get(street) ?? new Set()).add(dimming.name));
    }
    expect([...plans.values()].every((names) => names.size === 1)).toBe(true);
    expect(new Set(lights.map(({ dimming }) => dimming.name)).size).toBeGreaterThan(3);
  });

  it("stands lamps a street's width apart along streets, within a circle around the place", () => {
    const place = { latitude: -33.87, longitude: 151.21, timeZone: "Australia/Sydney" };
    const { lights } = generateCity({ lights: 1_000, seed: 4, place });
    const metres = lights.map(({ latitude, longitude }) => {
      const width = Math.cos((place.latitude * Math.PI) / 180);
      return Math.hypot(latitude - place.latitude, (longitude - place.longitude) * width) * METRES_PER_DEGREE;
    });
    // A square kilometre holds a thousand lamps or so.
    expect(Math.max(...metres)).toBeGreaterThan(400);
    expect(Math.max(...metres)).toBeLessThan(900);
    expect(new Set(lights.map(({ latitude, longitude }) => `${latitude} ${longitude}`)).size).toBe(1_000);
  });

  it("lies within the globe at sites and date line", () => {
    for (const [latitude, longitude] of [
      [90, 0],
      [-90, 10],
      [0, 180],
      [69.65, -180],
    ]) {
      const { lights } = generateCity({
        lights: 200,
        seed: 1,
        place: { latitude: latitude!, longitude: longitude! },
      });
      for (const light of lights) {
        expect(Math.abs(light.latitude)).toBeLessThanOrEqual(90);
        expect(Math.abs(light.longitude)).toBeLessThanOrEqual(180);
      }
    }
  });

  it("gives feeders no more lights than a cabinet has room for", () => {
    const load = new Map<string, number>();
    for (const { feeder } of generateCity({ lights: 20_000, seed: 2 }).lights) {
      load.set(feeder, (load.get(feeder) ?? 0) + 1);
    }
    expect(Math.max(...load.values())).toBe(40);
  });

  it("says what is out of range", () => {
    expect(() => generateCity({ lights: 0, seed: 1 })).toThrow(
      `city: expected 1 to ${MAX_CITY_LIGHTS} lights, found 0`,
    );
    const nowhere = { latitude: 91, longitude: 0 };
    expect(() => generateCity({ lights: 1, seed: 1, place: nowhere })).toThrow(/found 91, 0/);
  });

  it("is what stands on the fleet's sites", () => {
    const city = generateCity({ lights: 12, seed: 5 });
    const sites = sitesOf(city);
    expect(sites.map(({ name, lamp }) => ({ name, lamp }))).toEqual(
      city.lights.map(({ name, lamp }) => ({ name, lamp })),
    );
    expect(new Set(sites.map(({ random }) => random())).size).toBe(12);
  });

  it("survives being written as GeoJSON and read again", () => {
    const city = generateCity({ lights: 60, seed: 8 });
    const options = { file: "city.geojson", mapping: {}, seed: 1 };
    const reported = (lights: typeof city.lights) =>
      lights
        .map(({ name, street, feeder, latitude, longitude, lamp }) => ({
          ...{ name, street, feeder, latitude, longitude },
          watts: lamp.ratedMilliwatts,
        }))
        .toSorted((left, right) => left.name.localeCompare(right.name));
    expect(reported(cityFromGeoJson(geoJsonOf(city), options).lights)).toEqual(reported(city.lights));
  });
});
