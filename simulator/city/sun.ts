/**
 * When a city's lamps shine: the sun's twilight, the day's clouds, the lamp's own switch, and its dimming plan.
 *
 * Promise: every light has a plan on every day at every latitude. In a polar night a lamp follows its
 * dimming plan all day, on a polar day it is dark all day.
 */

import type { PlanStep } from "#core/events";
import type { Almanac } from "#core/ports";
import { type Twilight, twilightOn } from "#node/almanac";
import { Watt402Error } from "#payment/watt402-error";
import type { City, CityLight, DimmingPlan } from "./city.ts";
import { cloudAt, OVERCAST_MINUTES } from "./weather.ts";

const MINUTES_PER_DAY = 1440;
const SECONDS_PER_DAY = 86_400;

/** Plans of all the lights of a city, day by day. */
export function cityAlmanac(city: City): (light: CityLight) => Almanac {
  const offsetOn = offsetMinutes(city.timeZone);
  return (light) => ({
    plan(wallSeconds) {
      const twilight = twilightUnderClouds(city, light, wallSeconds);
      return planFor(twilight, light.dimming, offsetOn(wallSeconds));
    },
  });
}

/**
 * One day's plan in minutes of the UTC day, by the sun and a dimming plan.
 * @param utcOffsetMinutes what the local clock is ahead of UTC on that day, -720..840
 */
export function planFor(twilight: Twilight, dimming: DimmingPlan, utcOffsetMinutes: number): PlanStep[] {
  if (twilight.kind === "day") return [{ minuteOfDay: 0, levelPercent: 0 }];
  const minutes = new Set(dimming.steps.map(({ localMinute }) => inDay(localMinute - utcOffsetMinutes)));
  if (twilight.kind === "crosses") minutes.add(twilight.duskMinute).add(twilight.dawnMinute);
  const steps = [...minutes]
    .sort((left, right) => left - right)
    .map((minuteOfDay) => ({
      minuteOfDay,
      levelPercent: isNight(twilight, minuteOfDay)
        ? dimmedTo(dimming, inDay(minuteOfDay + utcOffsetMinutes))
        : 0,
    }));
  const changes = steps.filter(
    ({ levelPercent }, index) => levelPercent !== steps.at(index - 1)!.levelPercent,
  );
  return changes.length > 0 ? changes : [steps[0]!];
}

/** Twilight as this lamp's switch sees it: earlier dusk and later dawn under clouds. */
export function twilightUnderClouds(city: City, light: CityLight, wallSeconds: number): Twilight {
  const { latitude, longitude, switchEarlyMinutes } = light;
  const clear = twilightOn(latitude, longitude, wallSeconds);
  if (clear.kind !== "crosses") return clear;
  const midnight = Math.floor(wallSeconds / SECONDS_PER_DAY) * SECONDS_PER_DAY;
  const early = (minute: number) =>
    Math.round(OVERCAST_MINUTES * cloudAt(city.seed, midnight + 60 * minute)) + switchEarlyMinutes;
  const duskEarly = early(clear.duskMinute);
  const dawnLate = early(clear.dawnMinute);
  const dayMinutes = inDay(clear.duskMinute - clear.dawnMinute);
  // The last days before a polar night are shorter than what clouds take from them.
  if (dayMinutes - duskEarly - dawnLate <= 0) return { kind: "night" };
  if (dayMinutes - duskEarly - dawnLate >= MINUTES_PER_DAY) return { kind: "day" };
  return {
    kind: "crosses",
    duskMinute: inDay(clear.duskMinute - duskEarly),
    dawnMinute: inDay(clear.dawnMinute + dawnLate),
  };
}

/** The local clock's lead over UTC at noon of a day, minutes. Throws on an unknown zone. */
export function offsetMinutes(timeZone: string): (wallSeconds: number) => number {
  const format = zoneFormat(timeZone);
  let day = Number.NaN;
  let offset = 0;
  return (wallSeconds) => {
    const asked = Math.floor(wallSeconds / SECONDS_PER_DAY);
    if (asked === day) return offset;
    day = asked;
    const parts = format.formatToParts((day + 0.5) * SECONDS_PER_DAY * 1000);
    const name = parts.find(({ type }) => type === "timeZoneName")?.value ?? "GMT";
    const [, sign, hours, minutes] = /^GMT([+-])(\d\d):(\d\d)/.exec(name) ?? ["", "+", "0", "0"];
    offset = (sign === "-" ? -1 : 1) * (60 * Number(hours) + Number(minutes));
    return offset;
  };
}

function zoneFormat(timeZone: string): Intl.DateTimeFormat {
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone, timeZoneName: "longOffset" });
  } catch {
    throw new Watt402Error(
      "value-invalid",
      `time zone: expected an IANA name such as "Europe/Berlin", found "${timeZone}"`,
    );
  }
}

/** The zone of a place without a named one: by its longitude, without summer time. */
export function nauticalZone(longitude: number): string {
  const hours = Math.round(longitude / 15);
  if (hours === 0) return "Etc/GMT";
  // POSIX counts westward.
  return `Etc/GMT${hours > 0 ? "-" : "+"}${Math.abs(hours)}`;
}

function isNight(twilight: Twilight, minute: number): boolean {
  if (twilight.kind !== "crosses") return twilight.kind === "night";
  const nightMinutes = inDay(twilight.dawnMinute - twilight.duskMinute);
  return inDay(minute - twilight.duskMinute) < nightMinutes;
}

function dimmedTo({ steps }: DimmingPlan, localMinute: number): number {
  let level = steps.at(-1)!.levelPercent;
  for (const step of steps) if (step.localMinute <= localMinute) level = step.levelPercent;
  return level;
}

function inDay(minute: number): number {
  return ((minute % MINUTES_PER_DAY) + MINUTES_PER_DAY) % MINUTES_PER_DAY;
}
