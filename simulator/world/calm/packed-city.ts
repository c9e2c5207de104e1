/**
 * A city in typed arrays: what worker threads share of a million lights.
 *
 * Promise: unpacking a light gives what the generator made, but for names that no calm night needs.
 */
import type { City, CityLight, DimmingPlan } from "../../city/city.ts";
import { METER_TYPES } from "../../fleet/lamp-model.ts";

/** Cloned to workers as it is; the numbers are shared. */
export interface PackedCity {
  readonly seed: number;
  readonly latitude: number;
  readonly longitude: number;
  readonly timeZone: string;
  readonly lights: number;
  readonly dimmings: readonly DimmingPlan[];
  readonly numbers: SharedArrayBuffer;
}

/** Numbers of one light, in this order. */
const FIELDS = 10;

export function packCity(city: City): PackedCity {
  const { seed, latitude, longitude, timeZone } = city;
  const numbers = new SharedArrayBuffer(city.lights.length * FIELDS * Float64Array.BYTES_PER_ELEMENT);
  const view = new Float64Array(numbers);
  const dimmings: DimmingPlan[] = [];
  const indexOf = new Map<DimmingPlan, number>();
  for (const [nth, light] of city.lights.entries()) {
    let dimming = indexOf.get(light.dimming);
    if (dimming === undefined) {
      dimming = dimmings.push(light.dimming) - 1;
      indexOf.set(light.dimming, dimming);
    }
    const { lamp } = light;
    view.set(
      [
        lamp.ratedMilliwatts,
        lamp.startUpPermille,
        lamp.startUpMs,
        lamp.powerFactorPermille,
        METER_TYPES.indexOf(light.meter),
        light.meterInitial,
        light.latitude,
        light.longitude,
        light.switchEarlyMinutes,
        dimming,
      ],
      nth * FIELDS,
    );
  }
  return { seed, latitude, longitude, timeZone, lights: city.lights.length, dimmings, numbers };
}

/** @param nth 0..lights-1 */
export function unpackLight(city: PackedCity, nth: number): CityLight {
  const view = new Float64Array(city.numbers, nth * FIELDS * Float64Array.BYTES_PER_ELEMENT, FIELDS);
  return {
    name: `light-${nth + 1}`,
    street: "",
    feeder: "",
    roadClass: "residential",
    lamp: {
      ratedMilliwatts: view[0]!,
      startUpPermille: view[1]!,
      startUpMs: view[2]!,
      powerFactorPermille: view[3]!,
    },
    meter: METER_TYPES[view[4]!]!,
    meterInitial: view[5]!,
    latitude: view[6]!,
    longitude: view[7]!,
    switchEarlyMinutes: view[8]!,
    dimming: city.dimmings[view[9]!]!,
  };
}
