/**
 * A session of a paid service (SaaS), the simplest profile: it costs by the second of being open.
 *
 * Promise: the meter counts the seconds in which the session was open, whatever was done in it.
 */
import { LampModel } from "../city/lamp-model.ts";
import type { Profile } from "./profile.ts";

const SECONDS_PER_HOUR = 3_600;
const MINUTES_PER_DAY = 1_440;

/** Longest time for which a session is open or closed in one piece, minutes. */
const OPEN_MINUTES = 20;
const CLOSED_MINUTES = 5;

export const SESSION: Profile = {
  name: "saas",
  goods: { unit: "s", resources: [{ path: "/v1/session", description: "seconds of an open session" }] },
  // Ten atomic units a second, which is $0.036 an hour.
  tariff: "flat:10000000",
  priceCeiling: 200_000_000,
  typicalUnitsPerHour: SECONDS_PER_HOUR,
  model: () => "simulated session",
  equip: (_lamp, draw) => ({
    lamp: {
      ratedMilliwatts: SECONDS_PER_HOUR,
      startUpPermille: 1_000,
      startUpMs: 0,
      powerFactorPermille: 1_000,
    },
    meter: { name: "session clock", resolutionUnits: 1, rollOverAt: 0 },
    meterInitial: 0,
    almanac: fixedPlan(draw),
  }),
  load: ({ lamp, meter, meterInitial }, _draw, nowMs) => new LampModel(lamp, meter, meterInitial, nowMs),
};

/** When somebody works: open and closed in turn, drawn once, the same every day. */
function fixedPlan(draw: () => number) {
  const steps: { minuteOfDay: number; levelPercent: number }[] = [];
  for (let minute = 0, isOpen = true; minute < MINUTES_PER_DAY; isOpen = !isOpen) {
    steps.push({ minuteOfDay: Math.floor(minute), levelPercent: isOpen ? 100 : 0 });
    minute += 1 + draw() * (isOpen ? OPEN_MINUTES : CLOSED_MINUTES);
  }
  return { plan: () => steps };
}
