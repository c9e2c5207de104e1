/**
 * What a report needs of many lights: looked at through the night at even steps, summed as it goes.
 *
 * Promise: what is kept does not grow with the number of lights; two looks over different lights add up to
 * the look over all of them.
 */
import type { Sample } from "../../report/report-model.ts";
import type { Site } from "../surroundings/simulated-site.ts";
import type { FastSampler } from "./fast-light.ts";

/** Credit is kept by the minute of full light up to here; more counts as this. */
const MINUTES_MAX = 127;
const BINS = MINUTES_MAX + 1;

export interface SampleSums {
  readonly stepMs: number;
  readonly powerMilliwatts: Float64Array;
  readonly purchases: Float64Array;
  readonly chargedAtomic: Float64Array;
  readonly lit: Uint32Array;
  readonly starved: Uint32Array;
  /** Lights by their minutes of credit, BINS for each look. */
  readonly credit: Uint32Array;
  lights: number;
}

/** @param steps at least 1; there is one look more, at the very beginning */
export function newSampleSums(steps: number, endMs: number): SampleSums {
  const length = steps + 1;
  return {
    stepMs: endMs / steps,
    powerMilliwatts: new Float64Array(length),
    purchases: new Float64Array(length),
    chargedAtomic: new Float64Array(length),
    lit: new Uint32Array(length),
    starved: new Uint32Array(length),
    credit: new Uint32Array(length * BINS),
    lights: 0,
  };
}

export class CitySampler {
  readonly looks: SampleSums;

  constructor(steps: number, endMs: number) {
    this.looks = newSampleSums(steps, endMs);
  }

  /** The eye on one light; every look of it is added. */
  samplerOf({ lamp }: Site): FastSampler {
    const { looks } = this;
    const { ratedMilliwatts } = lamp;
    const length = looks.lit.length;
    looks.lights++;
    let at = 0;
    return {
      nextMs: () => (at < length ? at * looks.stepMs : Number.POSITIVE_INFINITY),
      sample(creditUnits, levelPercent, wantedPercent, purchases, chargedAtomic) {
        looks.powerMilliwatts[at]! += (ratedMilliwatts * levelPercent) / 100;
        looks.purchases[at]! += purchases;
        looks.chargedAtomic[at]! += chargedAtomic;
        if (levelPercent > 0) looks.lit[at]!++;
        else if (wantedPercent > 0) looks.starved[at]!++;
        const minutes = Math.min(MINUTES_MAX, Math.floor((creditUnits / ratedMilliwatts) * 60));
        looks.credit[at * BINS + minutes]!++;
        at++;
      },
    };
  }
}

/** Adds the looks over other lights, taken at the same instants. */
export function addSampleSums(sum: SampleSums, more: SampleSums): void {
  sum.lights += more.lights;
  const names = ["powerMilliwatts", "purchases", "chargedAtomic", "lit", "starved", "credit"] as const;
  for (const name of names) {
    const [into, from] = [sum[name], more[name]];
    for (let at = 0; at < into.length; at++) into[at]! += from[at]!;
  }
}

/** As a report shows it. @param priceAt atomic units per kWh at a world time in milliseconds */
export function samplesOf(looks: SampleSums, priceAt: (atMs: number) => number): Sample[] {
  return Array.from({ length: looks.lit.length }, (_, at): Sample => {
    const [lit, starved] = [looks.lit[at]!, looks.starved[at]!];
    const credit = looks.credit.subarray(at * BINS, (at + 1) * BINS);
    return {
      minute: (at * looks.stepMs) / 60_000,
      powerMilliwatts: looks.powerMilliwatts[at]!,
      pricePerMillionUnits: priceAt(at * looks.stepMs),
      made: looks.purchases[at]!,
      spentAtomic: looks.chargedAtomic[at]!,
      ...{ lit, starved, offline: 0, dark: looks.lights - lit - starved },
      creditMinutes: [share(credit, 0.1), share(credit, 0.5), share(credit, 0.9)],
    };
  });
}

/** Minutes of credit that so large a share of the lights does not exceed. */
function share(credit: Uint32Array, part: number): number {
  let total = 0;
  for (const lights of credit) total += lights;
  let below = 0;
  for (let minutes = 0; minutes < BINS; minutes++) {
    below += credit[minutes]!;
    if (below > part * (total - 1)) return minutes;
  }
  return 0;
}
