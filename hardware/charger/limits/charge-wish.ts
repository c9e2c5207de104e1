/**
 * What a car wants: energy by a time, or as much as it takes.
 *
 * Promise: a wish that cannot be met at the charger's power is said as soon as it is known, with what will be there by
 * then; it is charged as far as it goes.
 */
import { energyMilliwattHours } from "#core/units";

export interface ChargeWish {
  /** From plugging in, milliwatt-hours; null: as much as the car takes. */
  readonly energyMilliwattHours: number | null;
  /** Minute of the UTC day by which it should be there, 0..1439; null: without a time. */
  readonly readyByMinute: number | null;
}

export const NO_WISH: ChargeWish = { energyMilliwattHours: null, readyByMinute: null };

const MINUTES_PER_DAY = 1440;

/** The next time that the clock shows the wish's minute, Unix seconds; null without one. */
export function deadlineOf(wish: ChargeWish, wallSeconds: number): number | null {
  if (wish.readyByMinute === null) return null;
  const minute = Math.floor(wallSeconds / 60);
  const ahead = (wish.readyByMinute - (minute % MINUTES_PER_DAY) + MINUTES_PER_DAY) % MINUTES_PER_DAY;
  return (minute + (ahead === 0 ? MINUTES_PER_DAY : ahead)) * 60;
}

/** True while the car may take more. @param deliveredMilliwattHours since it was plugged in */
export function wantsMore(wish: ChargeWish, deliveredMilliwattHours: number): boolean {
  return wish.energyMilliwattHours === null || deliveredMilliwattHours < wish.energyMilliwattHours;
}

/** Why the wish cannot be met, in one line; null when it can, or has no time. */
export function wishFault(
  { energyMilliwattHours: wished }: ChargeWish,
  deadlineSeconds: number | null,
  deliveredMilliwattHours: number,
  wallSeconds: number,
  maxMilliwatts: number,
): string | null {
  if (wished === null || deadlineSeconds === null) return null;
  const leftMs = Math.max(0, deadlineSeconds - wallSeconds) * 1000;
  const most = deliveredMilliwattHours + energyMilliwattHours(maxMilliwatts, leftMs);
  if (most >= wished) return null;
  const kilowattHours = (value: number) => Number((value / 1e6).toFixed(2));
  const by = new Date(deadlineSeconds * 1000).toISOString().slice(11, 16);
  return (
    `wish: expected ${kilowattHours(wished)} kWh by ${by} UTC, found at most ${kilowattHours(most)} kWh at ` +
    `${maxMilliwatts / 1000} W; it is charged as far as it goes`
  );
}
