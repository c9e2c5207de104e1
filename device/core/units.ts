/**
 * Checked arithmetic on the counters of DESIGN section 2.
 *
 * Promise: every counter is an integer in 0..2^48-1, so it fits six bytes on the wire and a double
 * holds it exactly; a computation that would leave that range throws instead of rounding.
 * This folder runs on Espruino too: plain objects, no BigInt, Map, Set, spread of arrays or async.
 */

/** Largest value of a counter: 2^48 - 1 atomic units or metered units. */
export const COUNTER_MAX = 281474976710655;

const SAFE_MAX = 9007199254740991;

/** Metered units in which tariffs are quoted: a price is in atomic units per million units (mWh: per kWh). */
export const PRICED_UNITS = 1000000;

const MS_PER_HOUR = 3600000;

/** True for an integer in 0..2^48-1. */
export function isCounter(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= COUNTER_MAX && Math.floor(value) === value;
}

/** The sum of two counters. Throws when it leaves the counter range. */
export function addCounters(left: number, right: number): number {
  const sum = left + right;
  if (!isCounter(sum)) {
    throw new Error(`counter out of range: expected 0..2^48-1, found ${left} + ${right}`);
  }
  return sum;
}

/**
 * Units bought by one quantum, rounded down in the seller's favour by less than one unit.
 * @param quantumAtomic money spent, atomic units, at most 2^53 / 10^6
 * @param pricePerMillionUnits atomic units per million units, at least 1
 */
export function unitsForQuantum(quantumAtomic: number, pricePerMillionUnits: number): number {
  const scaled = quantumAtomic * PRICED_UNITS;
  if (!(scaled <= SAFE_MAX) || !(pricePerMillionUnits >= 1)) {
    throw new Error(
      "price out of range: expected a quantum up to 9007199254 and a price of at least 1, found " +
        quantumAtomic +
        " at " +
        pricePerMillionUnits,
    );
  }
  return Math.floor(scaled / pricePerMillionUnits);
}

/**
 * Time until an amount of energy is used up at constant power, milliseconds, rounded up.
 * Without load it never is: Infinity.
 */
export function msUntilUsed(energyMilliwattHours: number, powerMilliwatts: number): number {
  if (energyMilliwattHours <= 0) return 0;
  if (powerMilliwatts <= 0) return Infinity;
  return Math.ceil((energyMilliwattHours * MS_PER_HOUR) / powerMilliwatts);
}

/** Energy of a constant power over a time, milliwatt-hours, not rounded. */
export function energyMilliwattHours(powerMilliwatts: number, durationMs: number): number {
  return (powerMilliwatts * durationMs) / MS_PER_HOUR;
}
