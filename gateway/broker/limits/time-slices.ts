/**
 * Work that is expensive and can wait, in slices: a thousand logins at once must not hold up the payments that
 * arrive meanwhile.
 *
 * Promise: between two slices the sockets are read. The newest work goes first: the client that waits longest
 * is about to give up, and serving only such would serve none. The caller bounds how much can wait: one login a
 * connection.
 */

const SLICE_MS = 15;

/** @param nowMs monotonic milliseconds */
export function openTimeSlices(nowMs: () => number): (work: () => void) => void {
  const waiting: (() => void)[] = [];
  let isRunning = false;

  function run(): void {
    const endMs = nowMs() + SLICE_MS;
    while (waiting.length > 0 && nowMs() < endMs) waiting.pop()!();
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
