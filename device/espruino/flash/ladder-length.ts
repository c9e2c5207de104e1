/**
 * How many rungs a night needs.
 *
 * Promise: pure arithmetic, the same in the flashing tool, on the board and in the table of what a board can
 * carry. A rung's money is fixed; what it buys follows the price, so a higher price needs more rungs.
 */
import { energyMilliwattHours, unitsForQuantum } from "#core/units";

/** Rungs beyond the night's energy: the one bought ahead at the low mark, and the one begun at dusk. */
const SPARE_RUNGS = 2;

export interface Night {
  /** Longest time the lamp is expected to be lit, milliseconds. */
  readonly longestMs: number;
  /** The lamp at full light, milliwatts. */
  readonly ratedMilliwatts: number;
  readonly quantumAtomic: number;
  /** Atomic units per million units (mWh: per kWh). */
  readonly pricePerMillionUnits: number;
}

/** Rungs for one night at full light, at least 1. */
export function ladderLength(night: Night): number {
  const units = unitsForQuantum(night.quantumAtomic, night.pricePerMillionUnits);
  const energy = energyMilliwattHours(night.ratedMilliwatts, night.longestMs);
  return SPARE_RUNGS + Math.ceil(energy / Math.max(1, units));
}

/** Time that so many rungs keep the lamp lit at full light, whole minutes. */
export function minutesOfLight(rungs: number, night: Night): number {
  const units = unitsForQuantum(night.quantumAtomic, night.pricePerMillionUnits);
  return Math.floor((60 * rungs * units) / Math.max(1, night.ratedMilliwatts));
}
