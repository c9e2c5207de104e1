/**
 * Work that is dear and can wait, in slices: a thousand logins at once must not hold up the payments that
 * arrive meanwhile.
 *
 * Promise: work is done in the order it came; between two slices the sockets are read. How much can wait is
 * bounded by whoever asks: one login a connection.
 */

const SLICE_MS = 5;

/** @param nowMs monotonic milliseconds */
export function openTurns(nowMs: () => number): (work: () => void) => void {
  let waiting: (() => void)[] = [];
  let isRunning = false;

  function run(): void {
    const endMs = nowMs() + SLICE_MS;
    let done = 0;
    while (done < waiting.length && nowMs() < endMs) waiting[done++]!();
    waiting = waiting.slice(done);
    isRunning = waiting.length > 0;
    if (isRunning) setImmediate(run);
  }

  return (work) => {
    waiting.push(work);
    if (isRunning) return;
    isRunning = true;
    setImmediate(run);
  };
}
