/**
 * Timers of one thing, each by a name.
 *
 * Promise: setting one takes the place of the one of that name; after the end none fires.
 */
import type { Clock } from "#core/ports";

export class NamedTimers {
  readonly #clock: Clock;
  readonly #cancels = new Map<string, () => void>();
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  after(name: string, ms: number, act: () => void): void {
    this.cancel(name);
    if (this.#closed) return;
    const fire = () => {
      this.#cancels.delete(name);
      act();
    };
    this.#cancels.set(name, this.#clock.at(this.#clock.nowMs() + ms, fire));
  }

  /** @param ms asked anew each time */
  every(name: string, ms: () => number, act: () => void): void {
    this.after(name, ms(), () => {
      this.every(name, ms, act);
      act();
    });
  }

  cancel(name: string): void {
    this.#cancels.get(name)?.();
    this.#cancels.delete(name);
  }

  close(): void {
    this.#closed = true;
    for (const name of [...this.#cancels.keys()]) this.cancel(name);
  }
}
