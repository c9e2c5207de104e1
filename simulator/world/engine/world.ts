/**
 * Virtual time, chance and the record of what happened, all drawn from one seed.
 *
 * Promise: the same seed gives the same events in the same order, to the last bit of the trace's hash.
 * Time moves only from event to event; promises that an event settles have run dry before the next one.
 */
import { createHash } from "node:crypto";
import { type Draw, seededRandom } from "../../city/random.ts";
import { TimerHeap } from "../../timer-heap.ts";

/** Events kept for the report of a violation. */
const TRACE_KEPT = 50;

export class World {
  readonly seed: number;
  nowMs = 0;
  /** Events carried out so far. */
  events = 0;
  private readonly timers = new TimerHeap();
  private touched = false;
  private stopped = false;
  private readonly hash = createHash("sha256");
  private readonly lines: string[] = [];

  /** @param seed any integer */
  constructor(seed: number) {
    this.seed = seed;
  }

  /** Chance of its own for one part of the world, so that parts do not disturb each other's. */
  stream(name: string): Draw {
    const digest = createHash("sha256").update(`${this.seed} ${name}`).digest();
    return seededRandom(digest.readUInt32BE(0));
  }

  /** Acts at a time, or now when that is past; events of one time keep their order. */
  at(atMs: number, act: () => void): () => void {
    return this.timers.set(Math.max(this.nowMs, atMs), act);
  }

  after(delayMs: number, act: () => void): () => void {
    return this.at(this.nowMs + delayMs, act);
  }

  /** This event settles a promise: what waits for it runs before the next event. */
  touch(): void {
    this.touched = true;
  }

  /** Ends the run after the present event. */
  stop(): void {
    this.stopped = true;
  }

  /** One line of the trace. */
  note(line: string): void {
    const entry = `${Math.round(this.nowMs)} ${line}`;
    this.hash.update(entry).update("\n");
    this.lines.push(entry);
    if (this.lines.length > 2 * TRACE_KEPT) this.lines.splice(0, TRACE_KEPT);
  }

  /** The latest lines of the trace, at most TRACE_KEPT. */
  latest(): readonly string[] {
    return this.lines.slice(-TRACE_KEPT);
  }

  /** Hash of all lines noted, hex. Ends the trace. */
  traceHash(): string {
    return this.hash.digest("hex");
  }

  /** Carries out events until a time, or until stopped. @param afterEach called when an event has run dry */
  async run(untilMs: number, afterEach: () => void): Promise<void> {
    while (!this.stopped) {
      const next = this.timers.first();
      if (next === undefined || next.atMs > untilMs) break;
      this.timers.takeFirst();
      if (next.act === null) continue;
      this.nowMs = next.atMs;
      this.events++;
      next.act();
      if (this.touched) {
        // Immediates run when no microtask is left.
        await new Promise(setImmediate);
        this.touched = false;
      }
      afterEach();
    }
    if (!this.stopped) this.nowMs = Math.max(this.nowMs, untilMs);
  }
}
