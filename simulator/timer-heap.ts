/**
 * What is due next, of many timers: a binary heap.
 *
 * Promise: timers come out by their time, and those of one time in the order in which they were set; setting
 * and taking one costs the logarithm of how many there are.
 */

export interface Timer {
  readonly atMs: number;
  readonly order: number;
  /** Null once cancelled; it stays in the heap until its time comes. */
  act: (() => void) | null;
}

export class TimerHeap {
  private readonly heap: Timer[] = [];
  private order = 0;

  /** @returns cancels it */
  set(atMs: number, act: () => void): () => void {
    const timer: Timer = { atMs, order: this.order++, act };
    this.push(timer);
    return () => {
      timer.act = null;
    };
  }

  /** The earliest, cancelled or not. */
  first(): Timer | undefined {
    return this.heap[0];
  }

  /** Removes the earliest; there must be one. */
  takeFirst(): void {
    const { heap } = this;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let parent = 0;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[parent] = heap[child]!;
      parent = child;
    }
    heap[parent] = last;
  }

  private push(timer: Timer): void {
    const { heap } = this;
    let child = heap.push(timer) - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!isBefore(timer, heap[parent]!)) break;
      heap[child] = heap[parent]!;
      child = parent;
    }
    heap[child] = timer;
  }
}

function isBefore(left: Timer, right: Timer): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}
