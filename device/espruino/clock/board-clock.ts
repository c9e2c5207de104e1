/**
 * Time on a board: a steady count from its loop's clock, and Unix time once it is set.
 *
 * Promise: `nowMs` never steps back and is not carried away when the board's clock is set; a wall clock that
 * is unset, or set to before this runtime was built, is not believed.
 */
import type { Clock } from "#core/ports";

/** 2026-11-01: no device of this runtime ever ran before. */
const BUILT_SECONDS = 1793491200;

/** A step of the board's clock larger than this is somebody setting it, not time. */
const STEP_SECONDS_MAX = 86400;

const TIMER_MAX_MS = 3600000;

export interface BoardTimers {
  /** Seconds with their fraction, as Espruino's getTime. */
  getTime(): number;
  setTimeout(call: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
}

export class BoardClock implements Clock {
  private readonly timers: BoardTimers;
  private rawSeconds: number;
  private steadySeconds = 0;
  /** Unix seconds when the steady clock was at 0. */
  private unixAtZero: number | null = null;

  constructor(timers: BoardTimers) {
    this.timers = timers;
    this.rawSeconds = timers.getTime();
  }

  nowMs(): number {
    const raw = this.timers.getTime();
    const step = raw - this.rawSeconds;
    this.rawSeconds = raw;
    if (step > 0 && step < STEP_SECONDS_MAX) this.steadySeconds += step;
    return this.steadySeconds * 1000;
  }

  wallSeconds(): number | null {
    return this.unixAtZero === null ? null : this.unixAtZero + this.nowMs() / 1000;
  }

  /** False for a time that cannot be. */
  setWall(unixSeconds: number): boolean {
    if (!(unixSeconds >= BUILT_SECONDS)) return false;
    this.unixAtZero = unixSeconds - this.nowMs() / 1000;
    return true;
  }

  at(ms: number, wake: () => void): () => void {
    let timer: unknown = null;
    const arm = () => {
      const restMs = Math.ceil(ms - this.nowMs());
      timer = this.timers.setTimeout(fire, Math.min(TIMER_MAX_MS, Math.max(0, restMs)));
    };
    const fire = () => {
      if (this.nowMs() >= ms) wake();
      else arm();
    };
    arm();
    return () => this.timers.clearTimeout(timer);
  }
}
