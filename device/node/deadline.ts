/**
 * Work that is waited for only so long.
 *
 * Promise: what it resolves or rejects with before the limit, afterwards what `late` gives; no timer is left behind. Work
 * that is late goes on, and its outcome is dropped then, a rejection too.
 */

/** @param limitMs at most so long; below zero: not at all  @param late called once, when the limit comes first; may throw */
export async function within<Value, Late>(
  limitMs: number,
  work: PromiseLike<Value>,
  late: () => Late,
): Promise<Value | Late> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<typeof LATE>((resolve) => {
    timer = setTimeout(() => resolve(LATE), Math.max(0, limitMs));
  });
  try {
    const first = await Promise.race([work, limit]);
    return first === LATE ? late() : first;
  } finally {
    clearTimeout(timer);
  }
}

const LATE = Symbol("late");
