/**
 * The lamp's plan for a day: the same steps every day, or dusk and dawn at the lamp's place.
 *
 * Promise: every place and every day has a plan. Where the sun does not cross the edge of civil twilight
 * that day, the lamp is at its night level all day or at its day level all day, by the sun's height at noon.
 */
import { getPosition, getTimes } from "suncalc";
import type { PlanStep } from "#core/events";
import type { Almanac } from "#core/ports";
import type { SunPlan } from "./config/device-config.ts";

/** Civil twilight: the sun's altitude, degrees, below which streets need light. */
const TWILIGHT_DEGREES = -6;

const MS_PER_DAY = 86_400_000;
const MS_PER_MINUTE = 60_000;

/** The same plan every day. */
export function fixedAlmanac(steps: readonly PlanStep[]): Almanac {
  return { plan: () => steps };
}

/** Night level from civil dusk to civil dawn. */
export function sunAlmanac(sun: SunPlan): Almanac {
  return { plan: (wallSeconds) => sunPlan(sun, wallSeconds) };
}

/** Civil twilight's ends in minutes of the UTC day; or, where the sun crosses no edge that day, what it is all day. */
export type Twilight =
  | { readonly kind: "crosses"; readonly dawnMinute: number; readonly duskMinute: number }
  | { readonly kind: "day" }
  | { readonly kind: "night" };

/** Twilight of the UTC day that a Unix time falls in, at a place in WGS 84 degrees. */
export function twilightOn(latitude: number, longitude: number, wallSeconds: number): Twilight {
  const noon = new Date((Math.floor((wallSeconds * 1000) / MS_PER_DAY) + 0.5) * MS_PER_DAY);
  const { dawn, dusk, solarNoon } = getTimes(noon, latitude, longitude);
  if (dawn === null || dusk === null) {
    const isDay = getPosition(solarNoon, latitude, longitude).altitude > TWILIGHT_DEGREES;
    return { kind: isDay ? "day" : "night" };
  }
  return { kind: "crosses", dawnMinute: minuteOf(dawn), duskMinute: minuteOf(dusk) };
}

function sunPlan(sun: SunPlan, wallSeconds: number): PlanStep[] {
  const { nightPercent, dayPercent } = sun;
  const twilight = twilightOn(sun.latitude, sun.longitude, wallSeconds);
  if (twilight.kind !== "crosses") {
    return [{ minuteOfDay: 0, levelPercent: twilight.kind === "day" ? dayPercent : nightPercent }];
  }
  const steps = [
    { minuteOfDay: twilight.dawnMinute, levelPercent: dayPercent },
    { minuteOfDay: twilight.duskMinute, levelPercent: nightPercent },
  ];
  return steps.sort((left, right) => left.minuteOfDay - right.minuteOfDay);
}

function minuteOf(time: Date): number {
  return Math.floor((time.getTime() % MS_PER_DAY) / MS_PER_MINUTE);
}
