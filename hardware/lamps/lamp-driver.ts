/**
 * What every lamp driver is to the rest of the light, and what it is given.
 *
 * Promise: a driver touches nothing before it is asked to. When it cannot do what it was asked, it rejects
 * with one line that names part, finding and remedy, and the next attempt begins from the beginning.
 */
import type { Clock, Lamp, TakeTrouble } from "#core/ports";
import type { Sysfs } from "./pwm/sysfs.ts";

/** A load as the rest of the light sees it, whatever carries it. */
export interface Load extends Lamp {
  readonly name: string;
  readonly afterDeath: string;
  onTrouble(take: TakeTrouble): void;
  /** Why it does not follow, in one line; null while it does. */
  trouble(): string | null;
  /** Leaves it safe and releases it, bounded. */
  close(): Promise<void>;
}

export interface LampDriver {
  /** What it is and where it is wired, as `LED "lamp"`. */
  readonly name: string;
  /** What the light does when this process dies without a word, in words. */
  readonly afterDeath: string;
  /**
   * Brings the light to a level, 0..100 per cent. Hardware that can be set at once is set inside the call:
   * then nothing is returned, and a failure is thrown.
   */
  apply(levelPercent: number): Promise<void> | undefined;
  /**
   * Looks whether the light is still as the latest `apply` left it, changing nothing. Answers and fails as
   * `apply` does. Missing where nothing but `onLost` can report it.
   */
  check?(): Promise<void> | undefined;
  /** Looks without changing the light; what was found, a line each. Rejects as `apply` does. */
  probe(): Promise<readonly string[]>;
  /** Called when the light was lost by itself: its child ended, its cable was pulled. */
  onLost?(take: (trouble: string) => void): void;
  /** Releases what it holds, bounded; the level stays where `afterDeath` says. */
  close(): Promise<void>;
}

/** What a driver needs of the light that it is in. */
export interface LampContext {
  readonly clock: Clock;
  /** Power at full light, milliwatts: what a simulated lamp draws. */
  readonly ratedMilliwatts: number;
  readonly sysfs: Sysfs;
}
