/**
 * The sites of a simulated street: a view of a city, one for each light.
 *
 * Promise: the same city gives the same sites, each with random numbers of its own.
 */
import type { Almanac } from "#core/ports";
import type { City } from "../../city/city.ts";
import { generateCity } from "../../city/generate.ts";
import type { LampType, MeterType } from "../../city/lamp-model.ts";
import { type Draw, seededRandom } from "../../city/random.ts";
import { cityAlmanac } from "../../city/sun.ts";

export interface Site {
  readonly name: string;
  readonly lamp: LampType;
  readonly meter: MeterType;
  /** mWh on the meter when the simulation begins. */
  readonly meterInitial: number;
  readonly almanac: Almanac;
  /** Uniform numbers of this site's own, for jitter. */
  readonly random: Draw;
}

export function sitesOf(city: City): Site[] {
  const almanacOf = cityAlmanac(city);
  return city.lights.map((light, index) => ({
    name: light.name,
    lamp: light.lamp,
    meter: light.meter,
    meterInitial: light.meterInitial,
    almanac: almanacOf(light),
    random: seededRandom(city.seed + 1 + index),
  }));
}

/** The sites of a city drawn from a seed. @param seed any integer */
export function buildStreet(lights: number, seed: number): Site[] {
  return sitesOf(generateCity({ lights, seed }));
}
