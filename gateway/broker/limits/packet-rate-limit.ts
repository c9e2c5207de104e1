/** How many packets of every kind one connection may send, acknowledgements included: far above what any device has reason to. */

const PACKETS_PER_SECOND = 1_000;
export const PACKETS_BURST = 10_000;

/** Why a connection beyond it is ended. */
export const TOO_MANY_PACKETS = `expected at most ${PACKETS_PER_SECOND} packets a second, found more`;

/** Kept by each connection, in whole numbers: there are many. */
export interface PacketCount {
  /** PACKETS_BURST at first. */
  packetsLeft: number;
  /** When that was so, whole monotonic milliseconds. */
  packetsAtMs: number;
}

const MS_PER_PACKET = 1000 / PACKETS_PER_SECOND;

/**
 * Takes one packet; false: it is one too many.
 * @param nowMs monotonic milliseconds; looked at only when a burst is used up
 */
export function takePacket(count: PacketCount, nowMs: () => number): boolean {
  count.packetsLeft -= 1;
  if (count.packetsLeft >= 0) return true;
  const filled = Math.floor((nowMs() - count.packetsAtMs) / MS_PER_PACKET);
  count.packetsLeft += Math.min(PACKETS_BURST, filled);
  // Parts of a packet are not lost: they stay in the time.
  count.packetsAtMs += filled * MS_PER_PACKET;
  return count.packetsLeft >= 0;
}
