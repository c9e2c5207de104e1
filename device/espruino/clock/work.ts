/**
 * Long work beside the light's own: slices between two turns of the board's loop.
 *
 * Promise: no turn takes longer than one slice beyond TURN_MS, so that metering, messages and lamp never wait
 * for a signature; the watchdog is kicked at every turn, and only because the turn came.
 */
import type { Clock } from "#core/ports";

/** Something to be done in slices: false when there is nothing to do now. */
export type Slice = () => boolean;

/** Work of one turn, milliseconds; a slice that is longer ends the turn. */
const TURN_MS = 10;

/** Slices of one turn at most, during which the clock does not advance. */
const TURN_SLICES_MAX = 64;

/** Between two turns, for everything else. */
const PAUSE_MS = 2;

export class Work {
  private readonly clock: Clock;
  private readonly kick: () => void;
  private readonly slices: Slice[] = [];
  private isRunning = false;
  /** Longest turn so far, milliseconds. */
  longestMs = 0;

  constructor(clock: Clock, kick: () => void) {
    this.clock = clock;
    this.kick = kick;
  }

  /** Adds work; what was added first goes first. */
  add(slice: Slice): void {
    this.slices.push(slice);
  }

  /** Goes on, when something to do may have come up. */
  wake(): void {
    if (this.isRunning) return;
    this.isRunning = true;
    this.clock.at(this.clock.nowMs() + PAUSE_MS, () => this.turn());
  }

  private turn(): void {
    this.kick();
    this.isRunning = false;
    const beganMs = this.clock.nowMs();
    let isMore = true;
    for (let n = 0; isMore && n < TURN_SLICES_MAX && this.clock.nowMs() - beganMs < TURN_MS; n++) {
      isMore = this.step();
    }
    this.longestMs = Math.max(this.longestMs, this.clock.nowMs() - beganMs);
    if (isMore) this.wake();
  }

  private step(): boolean {
    for (const slice of this.slices) if (slice()) return true;
    return false;
  }
}
