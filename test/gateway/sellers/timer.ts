// Time that a test lets pass, and chance that it holds.

import type { Timer } from "#gateway/sellers/circuit";

export interface TestTimer extends Timer {
  /** Everything due meanwhile happens, in its order. */
  pass(ms: number): void;
}

export function testTimer(random = 1): TestTimer {
  let nowMs = 0;
  const due = new Map<symbol, { readonly atMs: number; readonly act: () => void }>();
  return {
    nowMs: () => nowMs,
    random: () => random,
    after(delayMs, act) {
      const key = Symbol("timer");
      due.set(key, { atMs: nowMs + delayMs, act });
      return () => due.delete(key);
    },
    pass(ms) {
      const endMs = nowMs + ms;
      for (;;) {
        const next = [...due].sort(([, left], [, right]) => left.atMs - right.atMs)[0];
        if (next === undefined || next[1].atMs > endMs) break;
        due.delete(next[0]);
        nowMs = Math.max(nowMs, next[1].atMs);
        next[1].act();
      }
      nowMs = endMs;
    },
  };
}
