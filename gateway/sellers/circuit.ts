/**
 * The circuit breaker before a seller: one that fails is left alone for a while, and then asked once.
 *
 * Promise: it opens when FAILURES_TO_OPEN of the last CALLS_LOOKED_AT calls failed; open, no call passes; after
 * a pause that doubles from one second to one minute, with jitter, one probe passes, and its end decides.
 */

/** Time and chance as the circuit needs them. */
export interface Timer {
  /** Monotonic milliseconds. */
  nowMs(): number;
  /** Calls back once after a delay; returns the cancellation. */
  after(delayMs: number, act: () => void): () => void;
  /** Uniform in 0..1. */
  random(): number;
}

/** "probe": the one call that a half-open circuit lets through. */
export type CallKind = "call" | "probe";

export interface Circuit {
  /** The function that takes the call's outcome; a text instead, why the call must not be made now. */
  begin(kind: CallKind): ((isGood: boolean) => void) | string;
  readonly state: "closed" | "open" | "half-open";
  /** The seller does its work again: the next pause is a short one. */
  recovered(): void;
  stop(): void;
}

interface CircuitEvents {
  opened(): void;
  /** To be answered by a probe. */
  halfOpened(): void;
  closed(): void;
}

export const FAILURES_TO_OPEN = 5;
export const CALLS_LOOKED_AT = 10;
export const PAUSE_FIRST_MS = 1_000;
export const PAUSE_MAX_MS = 60_000;

export function openCircuit(timer: Timer, events: CircuitEvents): Circuit {
  let state: Circuit["state"] = "closed";
  /** Calls of before an opening say nothing of what comes after it. */
  let era = 0;
  let ends: boolean[] = [];
  let openings = 0;
  let pauseEndsMs = 0;
  let probing = false;
  let cancel = () => {};

  function open(): void {
    state = "open";
    era += 1;
    ends = [];
    const full = Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** Math.min(openings, 10));
    const pauseMs = full * (0.5 + timer.random() / 2);
    openings += 1;
    pauseEndsMs = timer.nowMs() + pauseMs;
    cancel = timer.after(pauseMs, () => {
      state = "half-open";
      probing = false;
      events.halfOpened();
    });
    events.opened();
  }

  function close(): void {
    state = "closed";
    era += 1;
    events.closed();
  }

  function ended(isGood: boolean): void {
    if (state === "half-open") {
      if (isGood) close();
      else open();
      return;
    }
    ends = [...ends, isGood].slice(-CALLS_LOOKED_AT);
    if (ends.filter((good) => !good).length >= FAILURES_TO_OPEN) open();
  }

  return {
    begin(kind) {
      if (state === "open") {
        const seconds = Math.max(1, Math.ceil((pauseEndsMs - timer.nowMs()) / 1000));
        return `it failed too often and is left alone for ${seconds} s more`;
      }
      if (state === "half-open" && (kind === "call" || probing)) return "it is being tried after a failure";
      if (state === "half-open") probing = true;
      const begun = era;
      return (isGood) => {
        if (begun === era) ended(isGood);
      };
    },
    get state() {
      return state;
    },
    recovered() {
      openings = 0;
    },
    stop: () => cancel(),
  };
}
