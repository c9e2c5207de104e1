/**
 * The core's lamp over a driver that may fail: the newest level wins, and is tried until it holds.
 *
 * Promise: what the driver does at once is done inside `set`. A failure is told with its remedy, tried
 * again with back-off for as long as it takes, and told to be over when it is.
 */
import type { Clock, Lamp, Random } from "#core/ports";
import { nextAttemptMs, type Retry } from "#core/purchase";
import type { LampDriver } from "./driver.ts";

export interface SteadyLamp extends Lamp {
  readonly name: string;
  readonly afterDeath: string;
  /** Why the light does not follow, in one line; null while it does. */
  trouble(): string | null;
  /** Waits for the level under way, CLOSE_MS at most, and releases the hardware. */
  close(): Promise<void>;
}

const LAMP_RETRY: Retry = { firstMs: 1000, maxMs: 30_000 };

/** Longest wait of `close` for the level under way, milliseconds. */
export const CLOSE_MS = 4000;

export function steadyLamp(driver: LampDriver, clock: Clock, random: Random): SteadyLamp {
  let wantedPercent = 0;
  let applying: Promise<void> | null = null;
  /** Set again while a level was under way. */
  let stale = false;
  let attempts = 0;
  let trouble: string | null = null;
  let cancelRetry: (() => void) | null = null;
  let takeTrouble: (trouble: string | null) => void = () => {};
  let closed = false;

  const tell = (found: string | null) => {
    if (found === null && trouble === null) return;
    trouble = found;
    takeTrouble(found);
  };
  const failed = (found: string) => {
    attempts++;
    if (!closed) {
      cancelRetry?.();
      const atMs = nextAttemptMs(LAMP_RETRY, attempts, clock.nowMs(), random());
      cancelRetry = clock.at(atMs, () => {
        cancelRetry = null;
        start();
      });
    }
    tell(found);
  };
  const followed = () => {
    attempts = 0;
    cancelRetry?.();
    cancelRetry = null;
    tell(null);
  };
  const start = () => {
    if (applying !== null) {
      stale = true;
      return;
    }
    let answer: Promise<void> | undefined;
    try {
      answer = driver.apply(wantedPercent);
    } catch (error) {
      failed((error as Error).message);
      return;
    }
    if (answer === undefined) {
      followed();
      return;
    }
    applying = answer.then(followed, (error: unknown) => failed((error as Error).message));
    void applying.then(() => {
      applying = null;
      if (!stale) return;
      stale = false;
      start();
    });
  };
  driver.onLost?.((found) => {
    if (!closed) failed(found);
  });

  return {
    name: driver.name,
    afterDeath: driver.afterDeath,
    set: (levelPercent) => {
      wantedPercent = levelPercent;
      cancelRetry?.();
      cancelRetry = null;
      start();
    },
    onTrouble: (take) => {
      takeTrouble = take;
      if (trouble !== null) take(trouble);
    },
    trouble: () => trouble,
    close: async () => {
      const untilMs = clock.nowMs() + CLOSE_MS;
      while (applying !== null && clock.nowMs() < untilMs) {
        await Promise.race([applying, new Promise<void>((resolve) => clock.at(untilMs, resolve))]);
      }
      closed = true;
      cancelRetry?.();
      await driver.close();
    },
  };
}
