/**
 * Looking at a part again and again.
 *
 * Promise: one look at a time; a look that fails is reported and tried again at the next period; after the
 * end no look begins, and the one under way has ended.
 */
import type { Clock } from "#core/ports";

/** Looks at once, then every period; returns the end of it. */
export function sampleEvery(
  periodMs: number,
  clock: Clock,
  look: () => Promise<void>,
  failed: (reason: string) => void,
): () => Promise<void> {
  let cancel: () => void = () => {};
  let ended = false;
  let underWay: Promise<void> = Promise.resolve();
  const next = () => {
    if (ended) return;
    const dueMs = clock.nowMs() + periodMs;
    underWay = look()
      .catch((error: Error) => failed(error.message))
      .then(() => {
        if (!ended) cancel = clock.at(dueMs, next);
      });
  };
  next();
  return async () => {
    ended = true;
    cancel();
    await underWay;
  };
}
