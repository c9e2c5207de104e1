/**
 * Bounds on MQTT packets, held before any of their bytes are kept.
 *
 * Promise: a connection that announces a packet above the bound, or sends packets faster than any device
 * has reason to, is closed at once, logged in or not; the parser behind it would gather up to 256 MiB for
 * whoever asks, and answer every PINGREQ.
 */
import type { Duplex } from "node:stream";
import { PACKETS_BURST, type PacketCount, TOO_MANY_PACKETS, takePacket } from "./packet-allowance.ts";

/** MQTT 3.1.1 section 2.2.3: the remaining length takes at most four bytes. */
const LENGTH_BYTES_MAX = 4;

export interface PacketBounds {
  /** Largest remaining length now: little before the login, more after it. */
  readonly bytesMax: () => number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** Told why, once, before the connection ends. */
  readonly refuse: (reason: string) => void;
}

/** Guards a stream that is read in paused mode, as aedes does. */
export function guardPackets(stream: Duplex, bounds: PacketBounds): void {
  const read = stream.read.bind(stream) as (size?: number) => Buffer | null;
  let toSkip = 0;
  /** Bytes of the present fixed header seen so far: its type, then its length. */
  let headerBytes = 0;
  let remaining = 0;
  const packets: PacketCount = { packetsLeft: PACKETS_BURST, packetsAtMs: Math.floor(bounds.nowMs()) };

  /** What is wrong with a chunk; null when nothing is. */
  function faultIn(chunk: Buffer): string | null {
    let at = 0;
    while (at < chunk.length) {
      if (toSkip > 0) {
        const skipped = Math.min(toSkip, chunk.length - at);
        toSkip -= skipped;
        at += skipped;
        continue;
      }
      const byte = chunk[at++]!;
      if (headerBytes === 0) {
        if (!takePacket(packets, bounds.nowMs)) return TOO_MANY_PACKETS;
        headerBytes = 1;
        remaining = 0;
        continue;
      }
      remaining += (byte & 0x7f) * 128 ** (headerBytes - 1);
      headerBytes += 1;
      const isLast = (byte & 0x80) === 0;
      const bytesMax = bounds.bytesMax();
      if (remaining > bytesMax || (!isLast && headerBytes > LENGTH_BYTES_MAX)) {
        return `expected packets of at most ${bytesMax} bytes, found a longer one`;
      }
      if (!isLast) continue;
      toSkip = remaining;
      headerBytes = 0;
    }
    return null;
  }

  stream.read = (size?: number) => {
    const chunk = read(size);
    const fault = chunk === null ? null : faultIn(chunk);
    if (fault === null) return chunk;
    bounds.refuse(fault);
    stream.destroy(new Error(fault));
    return null;
  };
}
