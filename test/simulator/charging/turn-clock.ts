/**
 * Time for real sockets in tests: it stands while one side has to answer the other, and else goes on to the next timer.
 *
 * Promise: what happens between two timers takes no time, so a session of an hour takes as long as its messages; no test
 * waits for time, and a slow machine changes nothing.
 */
import type { Clock } from "#core/ports";
import { TimerHeap } from "#simulator/timer-heap";

/** Turns of the event loop in which nothing was waited for, before time goes on: what was read reaches its handler. */
const QUIET_TURNS = 3;

export class TurnClock implements Clock {
  readonly #timers = new TimerHeap();
  readonly #epochSeconds: number;
  #nowMs = 0;
  #waits = 0;

  constructor(epochSeconds: number) {
    this.#epochSeconds = epochSeconds;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallSeconds(): number {
    return this.#epochSeconds + this.#nowMs / 1000;
  }

  at(ms: number, wake: () => void): () => void {
    return this.#timers.set(Math.max(ms, this.#nowMs), wake);
  }

  /** To be given to who waits for answers. */
  readonly onWait = (waits: boolean): void => {
    this.#waits += waits ? 1 : -1;
  };

  /** @param each called after each timer */
  async run(untilMs: number, each: () => void = () => {}): Promise<void> {
    for (;;) {
      await this.#quiet();
      const next = this.#timers.first();
      if (next === undefined || next.atMs > untilMs) break;
      this.#timers.takeFirst();
      if (next.act === null) continue;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.act();
      each();
    }
    this.#nowMs = untilMs;
    await this.#quiet();
  }

  async #quiet(): Promise<void> {
    for (let quiet = 0; quiet < QUIET_TURNS; ) {
      await new Promise((resolve) => setImmediate(resolve));
      quiet = this.#waits === 0 ? quiet + 1 : 0;
    }
  }
}
