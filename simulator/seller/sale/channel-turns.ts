/**
 * The order of payments on a channel that need more than one step.
 *
 * Promise: of one channel one work runs at a time, in the order it came; a bounded number waits, and one more is
 * refused.
 */

/** Payments of one channel that wait for another one of it, such as a deposit that waits for its block. */
const WAITING_PER_CHANNEL_MAX = 32;

interface Line {
  last: Promise<unknown>;
  length: number;
}

export class ChannelTurns {
  readonly #lines = new Map<string, Line>();

  /** Runs `work` once all earlier work of the channel is over; undefined when too many wait for that. */
  run<T>(channel: string, work: () => Promise<T>): Promise<T> | undefined {
    const line = this.#lines.get(channel) ?? { last: Promise.resolve(), length: 0 };
    if (line.length > WAITING_PER_CHANNEL_MAX) return undefined;
    this.#lines.set(channel, line);
    line.length += 1;
    const turn = line.last.then(work);
    const isOver = () => {
      line.length -= 1;
      if (line.length === 0) this.#lines.delete(channel);
    };
    line.last = turn.then(isOver, isOver);
    return turn;
  }
}
