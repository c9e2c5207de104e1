/**
 * Whether a charge point keeps the limits that it confirmed.
 *
 * Promise: what its register shows above what limits allow, and above a meter's error, adds up until the charger stays
 * below them again. Once that exceeds SLACK_MILLIWATT_HOURS it is excess, reported apart; a charger that shows excess in
 * STRIKES_MAX reports in a row, or more than a whole purchase of it, disobeys, and stays disobedient whatever it shows
 * afterwards.
 */

export interface Obedience {
  /** Delivered above confirmed limits since the charge point is known, milliwatt-hours. */
  readonly excessMilliwattHours: number;
  /** Above limits and tolerance and not made good yet, milliwatt-hours. */
  readonly over: number;
  readonly strikes: number;
  readonly disobeys: boolean;
}

export const OBEDIENT: Obedience = { excessMilliwattHours: 0, over: 0, strikes: 0, disobeys: false };

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
  const over = Math.max(0, before.over + used - (1 + TOLERANCE) * allowed);
  if (over <= SLACK_MILLIWATT_HOURS || used <= allowed) return { ...before, over, strikes: 0 };
  const strikes = before.strikes + 1;
  const excess = Math.round(strikes === 1 ? Math.max(over, used - allowed) : used - allowed);
  return {
    excessMilliwattHours: before.excessMilliwattHours + excess,
    over,
    strikes,
    disobeys: before.disobeys || strikes >= STRIKES_MAX || over > quantumUnits + SLACK_MILLIWATT_HOURS,
  };
}
