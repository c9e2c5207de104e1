/**
 * Looks at lights again and again through an evening.
 *
 * Promise: at most SAMPLES_MAX looks, evenly spaced over the evening, the last one at its end; looking changes nothing.
 */
import { creditLeft } from "#core/state";
import type { Evening } from "../fleet/recorded-evening.ts";
import type { Sample } from "./report-model.ts";

export const SAMPLES_MAX = 360;

type Watched = Pick<Evening, "at" | "lights" | "progress" | "wallSeconds">;

/** Not finer than lights tick. */
const STEP_LEAST_MS = 5_000;

export class Sampler {
  readonly samples: Sample[] = [];
  private readonly evening: Watched;
  private readonly priceAt: (seconds: number) => number | null;

  /** @param priceAt atomic units per kWh by the lights' Unix time */
  constructor(evening: Watched, priceAt: (seconds: number) => number | null) {
    this.evening = evening;
    this.priceAt = priceAt;
  }

  /** Begins at once and goes on until the evening's end or until its clock stops. */
  record(simulatedMs: number): void {
    const stepMs = Math.max(STEP_LEAST_MS, simulatedMs / (SAMPLES_MAX - 2));
    const look = (index: number) => {
      if (index * stepMs > simulatedMs || this.samples.length >= SAMPLES_MAX - 1) return;
      this.look();
      this.evening.at((index + 1) * stepMs, () => look(index + 1));
    };
    look(0);
  }

  look(): void {
    const { simulatedMs, lit, dark, starved, offline, made, spentAtomic } = this.evening.progress();
    let powerMilliwatts = 0;
    const credits: number[] = [];
    for (const light of this.evening.lights) {
      const state = light.state();
      const { ratedMilliwatts } = light.site.lamp;
      powerMilliwatts += (ratedMilliwatts * state.levelPercent) / 100;
      // A meter that shows more than was burned can take credit below nothing.
      credits.push((Math.max(0, creditLeft(state)) / ratedMilliwatts) * 60);
    }
    credits.sort((left, right) => left - right);
    const share = (part: number) => credits[Math.floor(part * (credits.length - 1))] ?? 0;
    this.samples.push({
      minute: simulatedMs / 60_000,
      powerMilliwatts,
      pricePerMillionUnits: this.priceAt(this.evening.wallSeconds()),
      ...{ made, spentAtomic, lit, dark, starved, offline },
      creditMinutes: [share(0.1), share(0.5), share(0.9)],
    });
  }
}
