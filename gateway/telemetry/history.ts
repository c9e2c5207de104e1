/**
 * What the fleet did over time: every second of a quarter of an hour, every minute of two days.
 *
 * Promise: bounded memory, oldest samples first to go; a sample is a moment, spent money a counter, so a
 * gap loses detail and no sum.
 */
import type { Sample } from "./shapes.ts";

export type Span = "seconds" | "minutes";

export const SAMPLES_MAX: Readonly<Record<Span, number>> = { seconds: 900, minutes: 2_880 };

const MINUTE_SECONDS = 60;

export interface History {
  add(sample: Sample): void;
  /** Oldest first. */
  samples(span: Span): readonly Sample[];
}

export function openHistory(): History {
  const rings: Record<Span, Sample[]> = { seconds: [], minutes: [] };

  function keep(span: Span, sample: Sample): void {
    const ring = rings[span];
    ring.push(sample);
    // Trimmed by a tenth at a time: shifting one by one would copy the whole ring every second.
    if (ring.length > SAMPLES_MAX[span] * 1.1) ring.splice(0, ring.length - SAMPLES_MAX[span]);
  }

  return {
    add(sample) {
      keep("seconds", sample);
      const last = rings.minutes.at(-1);
      if (last === undefined || sample.atSeconds - last.atSeconds >= MINUTE_SECONDS) keep("minutes", sample);
    },
    samples: (span) => rings[span].slice(-SAMPLES_MAX[span]),
  };
}
