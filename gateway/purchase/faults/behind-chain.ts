/**
 * Leaving a seller alone that does not know a deposit which the chain knows.
 *
 * Promise: for a channel it is asked again after pauses that double from a second to a minute, however often its
 * device asks; a stock seller believes what it last read of a channel for at most five minutes.
 */

export interface BehindChain {
  readonly channelId: string;
  /** Unix seconds. */
  readonly untilSeconds: number;
  readonly pauseSeconds: number;
}

const PAUSE_FIRST_SECONDS = 1;
const PAUSE_MAX_SECONDS = 60;

export function isLeftAlone(behind: BehindChain | null, channelId: string, nowSeconds: number): boolean {
  if (behind === null || behind.channelId !== channelId) return false;
  const leftSeconds = behind.untilSeconds - nowSeconds;
  // A clock that was put back makes no pause longer.
  return leftSeconds > 0 && leftSeconds <= behind.pauseSeconds;
}

/** After one more question in vain. */
export function pauseAfter(before: BehindChain | null, channelId: string, nowSeconds: number): BehindChain {
  const lastSeconds = before?.channelId === channelId ? before.pauseSeconds : 0;
  const pauseSeconds = Math.min(PAUSE_MAX_SECONDS, Math.max(PAUSE_FIRST_SECONDS, 2 * lastSeconds));
  return { channelId, untilSeconds: nowSeconds + pauseSeconds, pauseSeconds };
}
