/**
 * Waiting for a port, but not for ever.
 *
 * Promise: `take` is called exactly once, in the same call when the port answers at once; an answer
 * after the limit is ignored. Without it a dying SD card could leave a lamp lit for nothing.
 */
import type { Clock } from "#core/ports";

/**
 * @param limitMs longest wait
 * @param late what a port that did not answer in time is taken to have said
 */
export function answerWithin<Answer>(
  clock: Clock,
  limitMs: number,
  late: Answer,
  ask: (done: (answer: Answer) => void) => void,
  take: (answer: Answer) => void,
): void {
  let open = true;
  let cancel: (() => void) | null = null;
  ask((answer) => {
    if (!open) return;
    open = false;
    if (cancel !== null) cancel();
    take(answer);
  });
  if (!open) return;
  cancel = clock.at(clock.nowMs() + limitMs, () => {
    open = false;
    take(late);
  });
}
