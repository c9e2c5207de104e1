/**
 * When a device says hello again, because only an offer can help it.
 *
 * Promise: questions back off, and one that is due is never put off by another.
 */
import type { Moment } from "./events.ts";
import { nextAttemptMs, type Retry } from "./rungs.ts";
import type { State } from "./state.ts";

/** Longest pause between two requests for a better offer, in longest retries. */
const ASK_SLOWER = 10;

/** Only an offer can help: says hello again, backing off with each since the link came up or a rung was paid. */
export function askForOffer(state: State, at: Moment): State {
  return askWithin(state, at, state.settings.retry);
}

/** Only a better offer than the last can help: what is missing may be missing for hours, so more slowly. */
export function askForBetterOffer(state: State, at: Moment): State {
  const { firstMs, maxMs } = state.settings.retry;
  return askWithin(state, at, { firstMs, maxMs: ASK_SLOWER * maxMs });
}

function askWithin(state: State, at: Moment, retry: Retry): State {
  if (!state.linkUp) return state;
  const attempts = Math.max(1, state.helloAttempts);
  const helloAtMs = nextAttemptMs(retry, attempts, at.nowMs, at.random);
  return { ...state, helloAtMs: Math.min(state.helloAtMs, helloAtMs) };
}
