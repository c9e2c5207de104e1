/**
 * The core's lamp over a driver that may fail: the newest level wins, and is tried until it holds.
 *
 * Promise: what the driver does at once is done inside `set`. A failure is reported with its remedy, tried
 * again with back-off for as long as it takes, and reported over when it is. A light that holds is looked
 * at every CHECK_MS, so one that vanished is missed also while its level does not change.
 */

import { detach } from "#core/detach";
import type { Clock, Lamp, Random } from "#core/ports";
import { nextAttemptMs, type Retry } from "#core/rungs";
import { throwUncaught } from "#node/process-guard";
import type { LampDriver } from "./lamp-driver.ts";

const LAMP_RETRY: Retry = { firstMs: 1000, maxMs: 30_000 };

/** Between two looks at a light that holds, milliseconds. */
export const CHECK_MS = 5000;

/** Longest wait of `close` for the level under way, milliseconds. */
export const CLOSE_MS = 2500;

export class SteadyLamp implements Lamp {
  readonly name: string;
  readonly afterDeath: string;
  readonly #driver: LampDriver;
  readonly #clock: Clock;
  readonly #random: Random;
  #wantedPercent = 0;
  #applying: Promise<void> | null = null;
  /** Set again while a level was under way. */
  #stale = false;
  #attempts = 0;
  #trouble: string | null = null;
  #cancelRetry: (() => void) | null = null;
  #cancelCheck: (() => void) | null = null;
  #takeTrouble: (trouble: string | null) => void = () => {};
  #closed = false;

  constructor(driver: LampDriver, clock: Clock, random: Random) {
    this.name = driver.name;
    this.afterDeath = driver.afterDeath;
    this.#driver = driver;
    this.#clock = clock;
    this.#random = random;
    driver.onLost?.((found) => {
      if (!this.#closed) this.#failed(found);
    });
  }

  set(levelPercent: number): void {
    this.#wantedPercent = levelPercent;
    this.#stopRetry();
    this.#apply();
  }

  onTrouble(take: (trouble: string | null) => void): void {
    this.#takeTrouble = take;
    if (this.#trouble !== null) take(this.#trouble);
  }

  /** Why the light does not follow, in one line; null while it does. */
  trouble(): string | null {
    return this.#trouble;
  }

  /** Waits for the level under way, CLOSE_MS at most, and releases the hardware; one not reached by then is trouble. */
  async close(): Promise<void> {
    const clock = this.#clock;
    const untilMs = clock.nowMs() + CLOSE_MS;
    while (this.#applying !== null && clock.nowMs() < untilMs) {
      await Promise.race([this.#applying, new Promise<void>((resolve) => clock.at(untilMs, resolve))]);
    }
    this.#closed = true;
    this.#stopRetry();
    this.#cancelCheck?.();
    if (this.#applying !== null)
      this.#report(`${this.name}: expected it to follow within ${CLOSE_MS} ms, found it silent`);
    await this.#driver.close();
  }

  #apply(): void {
    if (this.#applying !== null) this.#stale = true;
    else
      this.#ask(
        () => this.#driver.apply(this.#wantedPercent),
        () => this.#followed(),
      );
  }

  /** A level, or a look at it: one at a time. */
  #ask(question: () => Promise<void> | undefined, well: () => void): void {
    this.#cancelCheck?.();
    let answer: Promise<void> | undefined;
    try {
      answer = question();
    } catch (error) {
      this.#failed((error as Error).message);
      return;
    }
    if (answer === undefined) {
      well();
      return;
    }
    this.#applying = answer.then(well, (error: unknown) => this.#failed((error as Error).message));
    const applied = this.#applying.then(() => {
      this.#applying = null;
      if (!this.#stale) return;
      this.#stale = false;
      this.#apply();
    });
    detach(applied, throwUncaught);
  }

  #followed(): void {
    const { check } = this.#driver;
    this.#attempts = 0;
    this.#stopRetry();
    this.#cancelCheck?.();
    if (!this.#closed && check !== undefined) {
      this.#cancelCheck = this.#clock.at(this.#clock.nowMs() + CHECK_MS, () =>
        this.#ask(
          () => check.call(this.#driver),
          () => this.#holds(),
        ),
      );
    }
    this.#report(null);
  }

  #holds(): void {
    // Lost while it was looked at: what the look saw is over.
    if (this.#cancelRetry === null) this.#followed();
  }

  #failed(found: string): void {
    this.#attempts++;
    this.#cancelCheck?.();
    if (!this.#closed) {
      this.#cancelRetry?.();
      const atMs = nextAttemptMs(LAMP_RETRY, this.#attempts, this.#clock.nowMs(), this.#random());
      this.#cancelRetry = this.#clock.at(atMs, () => {
        this.#cancelRetry = null;
        this.#apply();
      });
    }
    this.#report(found);
  }

  #stopRetry(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = null;
  }

  #report(trouble: string | null): void {
    if (trouble === null && this.#trouble === null) return;
    this.#trouble = trouble;
    this.#takeTrouble(trouble);
  }
}
