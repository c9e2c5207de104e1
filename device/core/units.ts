/**
 * Checked arithmetic on the counters of device/GLOSSARY.md.
 *
 * Promise: every counter is an integer in 0..2^48-1, so it fits six bytes on the wire and a double
 * holds it exactly; one that would rise beyond stops there instead of rounding.
 * This folder runs on Espruino too: plain objects, no BigInt, Map, Set, spread of arrays or async.
 */

/** Largest value of a counter: 2^48 - 1 atomic units or metered units. */
export const COUNTER_MAX = 281474976710655;

/** Metered units in which tariffs are quoted: a price is in atomic units per million units (mWh: per kWh). */
export const PRICED_UNITS = 1000000;

/** Highest price that a GRANT has room for, atomic units per million units. */
export const PRICE_MAX = 4294967295;

/** Largest quantum whose energy is reckoned exactly, atomic units: 2^53 / 10^6. */
export const QUANTUM_MAX = 9007199254;

const MS_PER_HOUR = 3600000;

/** True for an integer in 0..2^48-1. */
export function isCounter(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= COUNTER_MAX && Math.floor(value) === value;
}

/** A counter raised, or held at its largest value: what a peer claims must never make a device throw. */
export function raiseCounter(counter: number, by: number): number {
  return Math.min(COUNTER_MAX, counter + by);
}

/**
 * Units bought by one quantum, rounded down in the seller's favour by less than one unit.
 * @param quantumAtomic money spent, atomic units, at most QUANTUM_MAX
 * @param pricePerMillionUnits atomic units per million units, at least 1
 */
export function unitsForQuantum(quantumAtomic: number, pricePerMillionUnits: number): number {
  if (!(quantumAtomic <= QUANTUM_MAX) || !(pricePerMillionUnits >= 1)) {
    throw new Error(
      "price out of range: expected a quantum up to 9007199254 and a price of at least 1, found " +
        quantumAtomic +
        " at " +
        pricePerMillionUnits,
    );
  }
  return Math.floor((quantumAtomic * PRICED_UNITS) / pricePerMillionUnits);
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
