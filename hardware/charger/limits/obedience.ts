/**
 * Whether a charge point keeps the limits that it confirmed.
 *
 * Promise: energy above what its limits let flow is reported apart, to the milliwatt-hour; a charger that shows such
 * excess beyond tolerance in STRIKES_MAX reports in a row, or more than a whole purchase at once, disobeys, and stays
 * disobedient whatever it shows afterwards.
 */

export interface Obedience {
  /** Delivered above confirmed limits since the charge point is known, milliwatt-hours. */
  readonly excessMilliwattHours: number;
  readonly strikes: number;
  readonly disobeys: boolean;
}

export const OBEDIENT: Obedience = { excessMilliwattHours: 0, strikes: 0, disobeys: false };

/** Reports with excess in a row by which a charger disobeys. */
export const STRIKES_MAX = 2;

/** Of what may flow between two reports, so much is a meter's error: voltage, class B, a report a moment late. */
const TOLERANCE = 0.1;

/** Registers show whole watt-hours or hundredths of kilowatt-hours: two steps of the coarser. */
const SLACK_MILLIWATT_HOURS = 20_000;

/**
 * @param used shown by the register since the report before, milliwatt-hours
 * @param allowed the most that limits let flow meanwhile
 * @param quantumUnits of one purchase; Infinity while unknown
 */
export function judgeReport(
  before: Obedience,
  used: number,
  allowed: number,
  quantumUnits: number,
): Obedience {
  const excess = used - allowed;
  if (excess <= SLACK_MILLIWATT_HOURS + TOLERANCE * allowed) return { ...before, strikes: 0 };
  const strikes = before.strikes + 1;
  return {
    excessMilliwattHours: before.excessMilliwattHours + Math.round(excess),
    strikes,
    disobeys: before.disobeys || strikes >= STRIKES_MAX || excess > quantumUnits + SLACK_MILLIWATT_HOURS,
  };
}
