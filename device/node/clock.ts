/**
 * Time as Linux has it.
 *
 * Promise: `nowMs` never steps back; a wall clock from before this runtime was built is not believed,
 * because a board without a battery wakes in 1970; a timer never fires before its time.
 */
import type { Clock } from "#core/ports";

/** 2026-11-01: no device of this runtime ever ran before. */
export const BUILT_SECONDS = Date.UTC(2026, 10, 1) / 1000;

/** Longest delay that one platform timer holds, milliseconds (2^31 - 1). */
const TIMER_MAX_MS = 2_147_483_647;

/** Unix seconds with their fraction; null while the clock shows a time before `trustedFromSeconds`. */
export function trustedSeconds(unixMs: number, trustedFromSeconds: number = BUILT_SECONDS): number | null {
  const seconds = unixMs / 1000;
  return seconds >= trustedFromSeconds ? seconds : null;
}

/** The clocks and timers of this process. */
export function systemClock(): Clock {
  return {
    nowMs: () => performance.now(),
    wallSeconds: () => trustedSeconds(Date.now()),
    at: wakeAt,
  };
}

function wakeAt(ms: number, wake: () => void): () => void {
  let timer: NodeJS.Timeout;
  const arm = () => {
    const restMs = Math.ceil(ms - performance.now());
    timer = setTimeout(fire, Math.min(TIMER_MAX_MS, Math.max(0, restMs)));
  };
  // Platform timers count whole milliseconds and may fire a fraction early.
  const fire = () => (performance.now() >= ms ? wake() : arm());
  arm();
  return () => clearTimeout(timer);
}
