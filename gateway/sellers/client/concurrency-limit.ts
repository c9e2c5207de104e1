/**
 * At most so many at once, and at most so many who wait: first come, first served.
 *
 * Promise: a call that finds the queue full is refused at once; each that leaves admits the next one.
 */
export interface ConcurrencyLimit {
  /** Resolves, when it is one's turn, with the way out; null at once when the queue is full. */
  enter(): Promise<() => void> | null;
  readonly inside: number;
  readonly waiting: number;
}

export function openConcurrencyLimit(insideMax: number, waitingMax: number): ConcurrencyLimit {
  let inside = 0;
  const waiting: (() => void)[] = [];

  function leave(): void {
    const next = waiting.shift();
    if (next === undefined) inside -= 1;
    else next();
  }

  return {
    enter() {
      if (inside < insideMax) {
        inside += 1;
        return Promise.resolve(leave);
      }
      if (waiting.length >= waitingMax) return null;
      return new Promise((resolve) => waiting.push(() => resolve(leave)));
    },
    get inside() {
      return inside;
    },
    get waiting() {
      return waiting.length;
    },
  };
}
