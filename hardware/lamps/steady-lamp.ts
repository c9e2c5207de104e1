/**
 * The core's lamp over a driver that may fail: the newest level wins, and is tried until it holds.
 *
 * Promise: what the driver does at once is done inside `set`. A failure is told with its remedy, tried
 * again with back-off for as long as it takes, and told to be over when it is. A light that holds is looked
 * at every CHECK_MS, so one that vanished is missed also while nobody changes its level.
 */

import { detach } from "#core/detach";
import type { Clock, Lamp, Random } from "#core/ports";
import { nextAttemptMs, type Retry } from "#core/rungs";
import { throwUncaught } from "#node/process-guard";
import type { LampDriver } from "./driver.ts";

export interface SteadyLamp extends Lamp {
  readonly name: string;
  readonly afterDeath: string;
  /** Why the light does not follow, in one line; null while it does. */
  trouble(): string | null;
  /** Waits for the level under way, CLOSE_MS at most, and releases the hardware; one not reached by then is trouble. */
  close(): Promise<void>;
}

const LAMP_RETRY: Retry = { firstMs: 1000, maxMs: 30_000 };

/** Between two looks at a light that holds, milliseconds. */
export const CHECK_MS = 5000;

/** Longest wait of `close` for the level under way, milliseconds. */
export const CLOSE_MS = 2500;

export function steadyLamp(driver: LampDriver, clock: Clock, random: Random): SteadyLamp {
  let wantedPercent = 0;
  let applying: Promise<void> | null = null;
  /** Set again while a level was under way. */
  let stale = false;
  let attempts = 0;
  let trouble: string | null = null;
  let cancelRetry: (() => void) | null = null;
  let cancelCheck: (() => void) | null = null;
  let takeTrouble: (trouble: string | null) => void = () => {};
  let closed = false;

  const tell = (found: string | null) => {
    if (found === null && trouble === null) return;
    trouble = found;
    takeTrouble(found);
  };
  const failed = (found: string) => {
    attempts++;
    cancelCheck?.();
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
    cancelCheck?.();
    if (!closed && driver.check !== undefined) {
      cancelCheck = clock.at(clock.nowMs() + CHECK_MS, () => ask(() => driver.check!(), holds));
    }
    tell(null);
  };
  const holds = () => {
    // Lost while it was looked at: what the look saw is over.
    if (cancelRetry === null) followed();
  };
  const start = () => {
    if (applying === null) ask(() => driver.apply(wantedPercent), followed);
    else stale = true;
  };
  /** A level, or a look at it: one at a time. */
  const ask = (question: () => Promise<void> | undefined, well: () => void) => {
    cancelCheck?.();
    let answer: Promise<void> | undefined;
    try {
      answer = question();
    } catch (error) {
      failed((error as Error).message);
      return;
    }
    if (answer === undefined) {
      well();
      return;
    }
    applying = answer.then(well, (error: unknown) => failed((error as Error).message));
    const applied = applying.then(() => {
      applying = null;
      if (!stale) return;
      stale = false;
      start();
    });
    detach(applied, throwUncaught);
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
      cancelCheck?.();
      if (applying !== null)
        tell(`${driver.name}: expected it to follow within ${CLOSE_MS} ms, found it silent`);
      await driver.close();
    },
  };
}
