/**
 * How much credit a simulated light keeps before it buys again.
 *
 * Promise: below the mark there is still light for the time an answer takes, and for what a coarse meter
 * does not show yet.
 */

/** A light buys when seven tenths of a purchase are left: the rest is the time an answer may take. */
const LEAST_PERMILLE = 700;

/** The nearest purchase on a menu of 1, 2, 5, 10 brings down to the square root of 2.5 times less than wanted. */
const SHORTFALL = 1.6;

/**
 * Thousandths of a purchase. A meter that counts in whole steps may take a whole step off the credit at
 * once: the mark is not below one, whatever the seller's menu makes of what is wanted.
 * @param wantedUnits what one purchase should bring, mWh, at least 1
 */
export function lowMarkPermille(resolutionMilliwattHours: number, wantedUnits: number): number {
  return Math.max(LEAST_PERMILLE, Math.ceil((1000 * SHORTFALL * resolutionMilliwattHours) / wantedUnits));
}
