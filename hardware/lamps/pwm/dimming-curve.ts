/**
 * From a light level to what a dimmer's input must be given.
 *
 * Promise: level 0 is always 0; between two points of the curve it is a straight line; below the first
 * point the light stays at the first point's output, for what is less a driver cannot hold without flicker.
 */

import { Watt402Error } from "#payment/watt402-error";

/** One point of a calibration: at this level, this output (per cent of duty, or volts). */
export interface CurvePoint {
  readonly levelPercent: number;
  readonly output: number;
}

/** Throws when two points have the same level or a higher level has less output. */
export function sortedCurve(path: string, points: readonly CurvePoint[]): readonly CurvePoint[] {
  const sorted = [...points].sort((left, right) => left.levelPercent - right.levelPercent);
  for (const [i, point] of sorted.entries()) {
    const before = sorted[i - 1];
    if (before === undefined) continue;
    if (point.levelPercent === before.levelPercent || point.output < before.output) {
      throw new Watt402Error(
        "config-invalid",
        `${path}: expected output to rise with the level, ` +
          `found ${before.output} at ${before.levelPercent} % and ${point.output} at ${point.levelPercent} %`,
      );
    }
  }
  return sorted;
}

/** @param points sorted, at least one @param levelPercent 0..100 */
export function outputAt(points: readonly CurvePoint[], levelPercent: number): number {
  if (levelPercent <= 0) return 0;
  const above = points.findIndex((point) => point.levelPercent >= levelPercent);
  if (above === -1) return points[points.length - 1]!.output;
  const high = points[above]!;
  const low = points[above - 1];
  if (low === undefined) return high.output;
  const share = (levelPercent - low.levelPercent) / (high.levelPercent - low.levelPercent);
  return low.output + share * (high.output - low.output);
}
