/**
 * Simulated time for a fleet on real sockets: `speed` times as fast as real time, and slower when needed.
 *
 * Promise: timers fire in order, each at exactly its simulated instant, however late the machine is; time
 * never passes a timer that has not fired. While a throttle is on, time runs at real speed beyond it, so that
 * a fleet whose answers are late slows down instead of burning unsold energy.
 */
import type { Clock } from "#core/ports";
import { TimerHeap } from "../timer-heap.ts";

/** Longest run of timers before sockets get a turn, milliseconds of real time. */
const SLICE_MS = 8;

/** Real time between two looks at the clock while nothing is due, milliseconds. */
const IDLE_MS = 20;

export class FleetClock implements Clock {
  private readonly speed: number;
  private readonly epochSeconds: number;
  private readonly timers = new TimerHeap();
  private now = 0;
  private beganAtMs: number | null = null;
  private lookedAtMs = 0;
  private running = false;
  private timer: NodeJS.Timeout | null = null;
  /** Simulated time up to which it runs at full speed; Infinity without a throttle. */
  private readonly throttleAtMs: () => number;
  private readonly realMs: () => number;

  /**
   * @param epochSeconds Unix time at which the evening begins
   * @param throttleAtMs simulated time beyond which time runs at real speed for now
   * @param realMs real time, monotonic milliseconds
   */
  constructor(speed: number, epochSeconds: number, throttleAtMs: () => number, realMs: () => number) {
    this.speed = speed;
    this.epochSeconds = epochSeconds;
    this.throttleAtMs = throttleAtMs;
    this.realMs = realMs;
  }

  nowMs(): number {
    return this.now;
  }

  /** Stands at the epoch until the evening begins: however long lights take to connect, it is never late. */
  wallSeconds(): number {
    return this.epochSeconds + (this.beganAtMs === null ? 0 : (this.now - this.beganAtMs) / 1000);
  }

  /** Sets the wall clock going; returns the simulated time at which it did. */
  beginEvening(): number {
    this.beganAtMs = this.now;
    return this.now;
  }

  at(ms: number, wake: () => void): () => void {
    return this.timers.set(Math.max(ms, this.now), wake);
  }

  start(): void {
    this.running = true;
    this.lookedAtMs = this.realMs();
    this.look();
  }

  stop(): void {
    this.running = false;
    if (this.timer) clearTimeout(this.timer);
  }

  /** Brings time up to now, before something from outside is taken in. */
  catchUp(): void {
    if (this.running) this.advance(this.elapse());
  }

  private look(): void {
    if (!this.running) return;
    const late = !this.advance(this.elapse());
    const next = this.timers.first();
    const waitMs = next ? (next.atMs - this.now) / this.speed : IDLE_MS;
    this.timer = setTimeout(() => this.look(), late ? 0 : Math.min(IDLE_MS, Math.max(0, waitMs)));
  }

  /** Simulated time that the real time since the last look may bring. */
  private elapse(): number {
    const real = this.realMs();
    const realMs = real - this.lookedAtMs;
    this.lookedAtMs = real;
    const fullMs = Math.min(realMs * this.speed, Math.max(0, this.throttleAtMs() - this.now));
    return this.now + fullMs + Math.max(0, realMs - fullMs / this.speed);
  }

  /** Fires what is due until a time; false when the slice ended before. */
  private advance(untilMs: number): boolean {
    const slice = this.realMs() + SLICE_MS;
    for (;;) {
      const next = this.timers.first();
      if (!next || next.atMs > untilMs) break;
      this.timers.takeFirst();
      if (next.act === null) continue;
      this.now = Math.max(this.now, next.atMs);
      next.act();
      // What was not reached is not made up for: the clock has slowed down.
      if (this.realMs() > slice) return false;
    }
    this.now = Math.max(this.now, untilMs);
    return true;
  }
}
