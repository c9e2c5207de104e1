/**
 * How a load that may wait spreads what it has to use over the prices ahead; and how far a light dims by them.
 *
 * Promise: what is scheduled is what was asked for, or all that fits before the deadline; no step has more than the load's
 * power. Of two steps the cheaper one never has less. Loads that hear the same prices do not all take the same cheapest hour:
 * the dearer a step, the less power it has, with no edge between on and off.
 */
import type { PriceStep } from "./price-series.ts";

/** Units to be used by a time, by a load of a certain power. */
export interface Need {
  readonly units: number;
  /** Unix seconds. */
  readonly deadlineSeconds: number;
  /** At full power. */
  readonly unitsPerHour: number;
}

export interface LoadStep {
  readonly startSeconds: number;
  readonly endSeconds: number;
  /** At most the need's. */
  readonly unitsPerHour: number;
}

/** Looks for the marginal price, over the mean: each halves the span, and 50 leave less than a millionth of any load. */
const HALVINGS = 50;
const SLOPE_MIN = 1e-6;

const SECONDS_PER_HOUR = 3_600;

/**
 * @param steps prices from now on, one after the other; time behind the last one counts as dear as the dearest
 * @param spread 0: the cheapest steps at full power; else a step that is so much of the mean price dearer than one with full
 * power has none
 */
export function loadSchedule(
  steps: readonly PriceStep[],
  nowSeconds: number,
  need: Need,
  spread: number,
): LoadStep[] {
  const { deadlineSeconds, unitsPerHour: most } = need;
  const priced = until(steps, nowSeconds, deadlineSeconds);
  // By all that is known, not by what is left before the deadline: a plan made again an hour later is the same plan.
  const mean = meanOf(priced.length > steps.length ? priced : steps);
  const rank = ({ pricePerMillionUnits }: PriceStep) => pricePerMillionUnits / mean;
  const ranks = priced.map(rank);
  // The rank at which a step has no power any more lies so far above the one with full power.
  const slope = Math.max(SLOPE_MIN, spread);
  const powerAt = (marginal: number, step: PriceStep) =>
    most * Math.min(1, Math.max(0, (marginal - rank(step)) / slope));
  const unitsAt = (marginal: number) =>
    priced.reduce((sum, step) => sum + powerAt(marginal, step) * hoursOf(step), 0);
  let [low, high] = [Math.min(...ranks), Math.max(...ranks) + slope];
  for (let halving = 0; halving < HALVINGS; halving++) {
    const middle = (low + high) / 2;
    if (unitsAt(middle) < need.units) low = middle;
    else high = middle;
  }
  return priced.map((step) => ({
    startSeconds: step.startSeconds,
    endSeconds: step.endSeconds,
    unitsPerHour: powerAt(high, step),
  }));
}

/** The steps up to a deadline, which lies ahead. */
function until(steps: readonly PriceStep[], nowSeconds: number, deadlineSeconds: number): PriceStep[] {
  const known = steps
    .filter(({ startSeconds }) => startSeconds < deadlineSeconds)
    .map((step) => ({ ...step, endSeconds: Math.min(step.endSeconds, deadlineSeconds) }));
  const knownUntil = known.at(-1)?.endSeconds ?? nowSeconds;
  if (knownUntil >= deadlineSeconds) return known;
  const dearest = Math.max(0, ...known.map(({ pricePerMillionUnits }) => pricePerMillionUnits));
  return [...known, { startSeconds: knownUntil, endSeconds: deadlineSeconds, pricePerMillionUnits: dearest }];
}

/** Of a million units, over time. */
function meanOf(steps: readonly PriceStep[]): number {
  const hours = steps.reduce((sum, step) => sum + hoursOf(step), 0);
  const sum = steps.reduce((total, step) => total + step.pricePerMillionUnits * hoursOf(step), 0);
  return Math.max(1, sum / hours);
}

function hoursOf({ startSeconds, endSeconds }: PriceStep): number {
  return (endSeconds - startSeconds) / SECONDS_PER_HOUR;
}

/** How dear the present price is among those ahead: 0 the cheapest, 1 the dearest, 0 where all are alike. */
export function dearness(steps: readonly PriceStep[]): number {
  const prices = steps.map(({ pricePerMillionUnits }) => pricePerMillionUnits);
  const [least, most] = [Math.min(...prices), Math.max(...prices)];
  return prices.length === 0 || most === least ? 0 : (prices[0]! - least) / (most - least);
}
