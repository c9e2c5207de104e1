/**
 * The life of one process: what it set going ends with it.
 *
 * Promise: after `end` no timer of this life fires and no promise of it settles; while it is paused, what
 * would have happened happens at its end, in order.
 */
import { PowerCut } from "../../hardware/flash-chip.ts";
import type { World } from "./world.ts";

export class ProcessLifetime {
  readonly world: World;
  private alive = true;
  private pausedUntilMs = 0;

  constructor(world: World) {
    this.world = world;
  }

  get isAlive(): boolean {
    return this.alive;
  }

  end(): void {
    this.alive = false;
  }

  pause(forMs: number): void {
    this.pausedUntilMs = this.world.nowMs + forMs;
  }

  at(atMs: number, act: () => void): () => void {
    return this.world.at(atMs, () => this.soon(act));
  }

  after(delayMs: number, act: () => void): () => void {
    return this.at(this.world.nowMs + delayMs, act);
  }

  /** Acts now, or when the pause is over, or never. */
  soon(act: () => void): void {
    if (!this.alive) return;
    if (this.pausedUntilMs > this.world.nowMs) {
      this.at(this.pausedUntilMs, act);
      return;
    }
    try {
      act();
    } catch (error) {
      // The power went in the middle of a call: its caller has ended too.
      if (this.alive || !(error instanceof PowerCut)) throw error;
    }
  }

  /** The answer of a port after a while: what `produce` returns, or a rejection with what it throws. */
  later<Value>(delayMs: number, produce: () => Value): Promise<Value> {
    return new Promise((resolve, reject) => {
      this.after(delayMs, () => {
        this.world.touch();
        try {
          resolve(produce());
        } catch (error) {
          reject(error);
        }
      });
    });
  }
}
