/**
 * The bench's arithmetic: medians with their spread, ratios round by round, percentiles.
 *
 * Promise: a figure is never one sample without its spread; a ratio is of two samples of the same round, so what
 * else the machine did then weighs on both.
 */

/** Of the rounds of one measurement. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Throws on no sample at all, and on one that is no number. */
export function spreadOf(samples: readonly number[]): Spread {
  const sorted = samples.toSorted((left, right) => left - right);
  if (sorted.length === 0 || sorted.some((sample) => !Number.isFinite(sample))) {
    throw new Error(`bench: expected one finite sample or more, found [${samples.join(", ")}]`);
  }
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

/** Left over right, round by round. Throws when one has more rounds than the other. */
export function ratioOf(left: readonly number[], right: readonly number[]): Spread {
  if (left.length !== right.length) {
    throw new Error(`bench: expected as many rounds on both sides, found ${left.length} and ${right.length}`);
  }
  return spreadOf(left.map((sample, round) => sample / right[round]!));
}

/** Nearest rank. @param share 0..1; NaN of no samples */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN;
}
