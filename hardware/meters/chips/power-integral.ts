/**
 * Energy from samples of power.
 *
 * Promise: each step counts the time that really passed; a gap in the samples is counted at the higher
 * power of its two ends, so that it never hides consumption, and is reported.
 */
import { energyMilliwattHours } from "#core/units";

/** Steps longer than so many sampling periods are gaps. */
const GAP_PERIODS = 5;

export interface Step {
  readonly milliwattHours: number;
  /** Length of the gap that this step filled, milliseconds; 0 when there was none. */
  readonly gapMs: number;
}

export class PowerIntegral {
  readonly #periodMs: number;
  #before: { readonly atMs: number; readonly powerMilliwatts: number } | null = null;

  /** @param periodMs intended time between samples */
  constructor(periodMs: number) {
    this.#periodMs = periodMs;
  }

  /** The energy since the sample before; none for the first. */
  take(powerMilliwatts: number, atMs: number): Step {
    const before = this.#before;
    this.#before = { atMs, powerMilliwatts };
    if (before === null) return { milliwattHours: 0, gapMs: 0 };
    const passedMs = atMs - before.atMs;
    const isGap = passedMs > GAP_PERIODS * this.#periodMs;
    const power = isGap
      ? Math.max(before.powerMilliwatts, powerMilliwatts)
      : (before.powerMilliwatts + powerMilliwatts) / 2;
    return {
      milliwattHours: energyMilliwattHours(Math.max(0, power), passedMs),
      gapMs: isGap ? passedMs : 0,
    };
  }
}
