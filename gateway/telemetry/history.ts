/**
 * What the fleet did over time: every second of a quarter of an hour, every minute of two days.
 *
 * Promise: bounded memory, oldest samples first to go; a sample is a moment, spent money a counter, so a
 * gap loses detail and no sum.
 */
import type { Sample } from "./shapes.ts";

type Span = "seconds" | "minutes";

export const SAMPLES_MAX: Readonly<Record<Span, number>> = { seconds: 900, minutes: 2_880 };

const MINUTE_SECONDS = 60;

export class History {
  readonly #rings: Record<Span, Sample[]> = { seconds: [], minutes: [] };

  add(sample: Sample): void {
    this.#keep("seconds", sample);
    const last = this.#rings.minutes.at(-1);
    if (last === undefined || sample.atSeconds - last.atSeconds >= MINUTE_SECONDS) {
      this.#keep("minutes", sample);
    }
  }

  /** Oldest first. */
  samples(span: Span): readonly Sample[] {
    return this.#rings[span].slice(-SAMPLES_MAX[span]);
  }

  #keep(span: Span, sample: Sample): void {
    const ring = this.#rings[span];
    ring.push(sample);
    // Trimmed by a tenth at a time: shifting one by one would copy the whole ring every second.
    if (ring.length > SAMPLES_MAX[span] * 1.1) ring.splice(0, ring.length - SAMPLES_MAX[span]);
  }
}
