/**
 * What no honest meter of one lamp can show.
 *
 * Promise: a value outside is refused with its remedy, and never metered.
 */

/** Measured power above this many times the supply's is impossible; start-up currents pass below it. */
export const POWER_FACTOR_MAX = 2;

/** Noise around zero that meters show without load, milliwatts. */
const BACKWARDS_MIN_MILLIWATTS = 2000;

/** Why this power cannot be; null when it can. */
export function powerFault(powerMilliwatts: number, powerMaxMilliwatts: number): string | null {
  const watts = Math.round(powerMilliwatts) / 1000;
  if (!Number.isFinite(powerMilliwatts)) return "power: expected a number, found none";
  if (powerMilliwatts > POWER_FACTOR_MAX * powerMaxMilliwatts) {
    return (
      `power: expected at most ${(POWER_FACTOR_MAX * powerMaxMilliwatts) / 1000} W, found ${watts} W; ` +
      "check the meter's scale, or meter.power_max_milliwatts"
    );
  }
  if (powerMilliwatts < -BACKWARDS_MIN_MILLIWATTS) {
    return `power: expected none to flow back, found ${watts} W; swap the meter's line in and line out, or turn its transformer`;
  }
  return null;
}

/** Why a measured value cannot be; null when it can. Bounds in the unit that is shown. */
export function rangeFault(
  what: string,
  value: number,
  low: number,
  high: number,
  unit: string,
): string | null {
  if (value >= low && value <= high) return null;
  return (
    `${what}: expected ${low}..${high} ${unit}, found ${Number(value.toPrecision(4))} ${unit}; ` +
    "the value is refused: check wiring and calibration"
  );
}
