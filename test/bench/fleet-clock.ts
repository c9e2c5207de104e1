/**
 * Real time for many lights in one process.
 *
 * Promise: what device/node/clock.ts promises, by one platform timer for all: a timer of the platform weighs more than
 * the light that waits for it.
 */
import type { Clock } from "#core/ports";
import { systemClock } from "#node/clock";
import { TimerHeap } from "#simulator/timer-heap";

export class FleetClock implements Clock {
  readonly #system = systemClock();
  readonly #timers = new TimerHeap();
  #armedAtMs = Infinity;
  #timer: NodeJS.Timeout | undefined;

  nowMs(): number {
    return this.#system.nowMs();
  }

  wallSeconds(): number | null {
    return this.#system.wallSeconds();
  }

  at(ms: number, wake: () => void): () => void {
    const cancel = this.#timers.set(ms, wake);
    if (ms < this.#armedAtMs) this.#arm(ms);
    return cancel;
  }

  #arm(ms: number): void {
    clearTimeout(this.#timer);
    this.#armedAtMs = ms;
    this.#timer = setTimeout(() => this.#look(), Math.max(0, Math.ceil(ms - this.nowMs())));
  }

  #look(): void {
    const nowMs = this.nowMs();
    this.#armedAtMs = Infinity;
    for (let next = this.#timers.first(); next !== undefined; next = this.#timers.first()) {
      if (next.atMs > nowMs) {
        this.#arm(next.atMs);
        return;
      }
      this.#timers.takeFirst();
      next.act?.();
    }
  }
}
