/** How many packets of every kind one connection may send, acknowledgements included: far above what any device has reason to. */

const PACKETS_PER_SECOND = 1_000;
const PACKETS_BURST = 10_000;

/** What a connection beyond it is told. */
export const TOO_MANY_PACKETS = `expected at most ${PACKETS_PER_SECOND} packets a second, found more`;

export class PacketAllowance {
  readonly #nowMs: () => number;
  #left = PACKETS_BURST;
  #atMs: number;

  /** @param nowMs monotonic milliseconds; looked at only when a burst is used up */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#atMs = nowMs();
  }

  /** False: one too many. */
  take(): boolean {
    this.#left -= 1;
    if (this.#left >= 0) return true;
    const nowMs = this.#nowMs();
    this.#left += Math.min(PACKETS_BURST, ((nowMs - this.#atMs) / 1000) * PACKETS_PER_SECOND);
    this.#atMs = nowMs;
    return this.#left >= 0;
  }
}
