/**
 * The sites of a simulated street: a view of a city, one for each device.
 *
 * Promise: the same city gives the same sites, each with random numbers of its own.
 */
import type { City } from "../../city/city.ts";
import { generateCity } from "../../city/generate.ts";
import { seededRandom } from "../../city/random.ts";
import { cityAlmanac } from "../../city/sun.ts";
import type { Profile, Site } from "../../profiles/profile.ts";
import { STREETLIGHT } from "../../profiles/streetlight.ts";

export function sitesOf(city: City, profileOf: (name: string) => Profile = () => STREETLIGHT): Site[] {
  const almanacOf = cityAlmanac(city);
  return city.lights.map((light, index) => {
    const profile = profileOf(light.name);
    const random = seededRandom(city.seed + 1 + index);
    const { name, lamp, meter, meterInitial } = light;
    const equipment = profile.equip({ lamp, meter, meterInitial, almanac: almanacOf(light) }, random);
    return { ...equipment, name, profile, random };
  });
}

/** The sites of a city drawn from a seed. @param seed any integer */
export function buildStreet(lights: number, seed: number): Site[] {
  return sitesOf(generateCity({ lights, seed }));
}
