/**
 * The lamp's plan for a day: the same steps every day, or dusk and dawn where the lamp stands.
 *
 * Promise: every place and every day has a plan. Where the sun does not cross the edge of civil twilight
 * that day, the lamp is at its night level all day or at its day level all day, by the sun's height at noon.
 */
import { getPosition, getTimes } from "suncalc";
import type { PlanStep } from "#core/events";
import type { Almanac } from "#core/ports";
import type { SunPlan } from "./config.ts";

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

function sunPlan(sun: SunPlan, wallSeconds: number): PlanStep[] {
  const { latitude, longitude, nightPercent, dayPercent } = sun;
  const noon = new Date((Math.floor((wallSeconds * 1000) / MS_PER_DAY) + 0.5) * MS_PER_DAY);
  const { dawn, dusk, solarNoon } = getTimes(noon, latitude, longitude);
  if (dawn === null || dusk === null) {
    const isDay = getPosition(solarNoon, latitude, longitude).altitude > TWILIGHT_DEGREES;
    return [{ minuteOfDay: 0, levelPercent: isDay ? dayPercent : nightPercent }];
  }
  const steps = [
    { minuteOfDay: minuteOf(dawn), levelPercent: dayPercent },
    { minuteOfDay: minuteOf(dusk), levelPercent: nightPercent },
  ];
  return steps.sort((left, right) => left.minuteOfDay - right.minuteOfDay);
}

function minuteOf(time: Date): number {
  return Math.floor((time.getTime() % MS_PER_DAY) / MS_PER_MINUTE);
}
