/**
 * What is odd about a charge point and no trouble.
 *
 * Promise: one line of at most ODDITY_CHARACTERS, the latest one, for ODDITY_MS; however often something odd happens.
 */
import type { Clock } from "#core/ports";

const ODDITY_MS = 3_600_000;
export const ODDITY_CHARACTERS = 200;

export class Oddities {
  readonly #clock: Clock;
  #latest: { readonly text: string; readonly atMs: number } | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** For use as a callback. */
  readonly note = (found: string): void => {
    this.#latest = { text: found.slice(0, ODDITY_CHARACTERS), atMs: this.#clock.nowMs() };
  };

  latest(): string | null {
    if (this.#latest === null || this.#clock.nowMs() - this.#latest.atMs > ODDITY_MS) return null;
    return this.#latest.text;
  }
}
