/**
 * The limit that keeps a charge point within what is paid: a power and the time for which it holds.
 *
 * Promise: power times duration never exceeds the energy that is left of what is paid, so a charger that obeys its limit
 * and hears nothing more stops before it delivers unpaid energy. The power goes down with the credit: what is left lasts
 * for the horizon, in which the next report and the next purchase arrive, or flows at the least power that a car takes.
 */
import { energyMilliwattHours, msUntilUsed } from "#core/units";

export interface Limit {
  readonly milliwatts: number;
  /** Whole seconds from the moment it is set; 0 beside 0 milliwatts. */
  readonly durationSeconds: number;
}

export interface LimitRange {
  /** Below this a car does not charge (IEC 61851: 6 A). */
  readonly minMilliwatts: number;
  readonly maxMilliwatts: number;
  /** Steps in which the charge point takes its limits, milliwatts. */
  readonly stepMilliwatts: number;
  /** A limit that ends sooner is not worth the way: no car has followed it by then. */
  readonly leastSeconds: number;
}

export const NO_POWER: Limit = { milliwatts: 0, durationSeconds: 0 };

/** Longest duration of a limit, seconds: with much paid ahead it is renewed once an hour. */
export const DURATION_MAX_SECONDS = 3600;

/**
 * @param paidMilliwattHours what is paid and cannot have been delivered yet
 * @param horizonMs see smallest-quantum.ts
 */
export function paidLimit(paidMilliwattHours: number, horizonMs: number, range: LimitRange): Limit {
  if (paidMilliwattHours <= 0) return NO_POWER;
  const { minMilliwatts, maxMilliwatts, stepMilliwatts, leastSeconds } = range;
  const lasting = (paidMilliwattHours * 3_600_000) / horizonMs;
  const stepped = Math.floor(Math.min(maxMilliwatts, lasting) / stepMilliwatts) * stepMilliwatts;
  const milliwatts = Math.max(minMilliwatts, stepped);
  const untilUsed = energyBefore(paidMilliwattHours, milliwatts);
  const durationSeconds = Math.min(DURATION_MAX_SECONDS, untilUsed);
  return durationSeconds < leastSeconds ? NO_POWER : { milliwatts, durationSeconds };
}

/** Whole seconds for which a power may flow without exceeding an energy. */
function energyBefore(milliwattHours: number, milliwatts: number): number {
  const seconds = Math.floor(msUntilUsed(milliwattHours, milliwatts) / 1000);
  return energyMilliwattHours(milliwatts, seconds * 1000) > milliwattHours ? seconds - 1 : seconds;
}
