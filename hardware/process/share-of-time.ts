/**
 * A share of time by stopping and continuing, where the kernel has no finer means.
 *
 * Promise: 0 and 100 per cent take effect inside the call; between them a period is begun with the running part, so the
 * share holds over any whole number of periods.
 */

/** Short enough that nobody notices, long enough that the kernel's clock tick does not. */
export const PERIOD_MS = 200;

export class DutyCycle {
  readonly #set: (runs: boolean) => void;
  #levelPercent = 0;
  #timer: NodeJS.Timeout | null = null;

  /** @param set lets it run, or stops it */
  constructor(set: (runs: boolean) => void) {
    this.#set = set;
  }

  allow(levelPercent: number): void {
    this.stop();
    this.#levelPercent = levelPercent;
    if (levelPercent === 0 || levelPercent === 100) this.#set(levelPercent === 100);
    else this.#run();
  }

  /** Leaves it as it is. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #run(): void {
    const runMs = (PERIOD_MS * this.#levelPercent) / 100;
    this.#set(true);
    this.#timer = setTimeout(() => {
      this.#set(false);
      this.#timer = setTimeout(() => this.#run(), PERIOD_MS - runMs);
    }, runMs);
  }
}
