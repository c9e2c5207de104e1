/**
 * A bound on MQTT packets, held before any of their bytes are kept.
 *
 * Promise: a connection that announces a packet above the bound is closed at once, logged in or not; the
 * parser behind it would gather up to 256 MiB for whoever asks.
 */
import type { Socket } from "node:net";

/** MQTT 3.1.1 section 2.2.3: the remaining length takes at most four bytes. */
const LENGTH_BYTES_MAX = 4;

/** Guards a socket that is read in paused mode, as aedes does. */
export function guardPackets(socket: Socket, bytesMax: number): void {
  const read = socket.read.bind(socket) as (size?: number) => Buffer | null;
  let toSkip = 0;
  /** Bytes of the present fixed header seen so far: its type, then its length. */
  let headerBytes = 0;
  let remaining = 0;

  function isWithinBound(chunk: Buffer): boolean {
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
        headerBytes = 1;
        remaining = 0;
        continue;
      }
      remaining += (byte & 0x7f) * 128 ** (headerBytes - 1);
      headerBytes += 1;
      const isLast = (byte & 0x80) === 0;
      if (remaining > bytesMax || (!isLast && headerBytes > LENGTH_BYTES_MAX)) return false;
      if (!isLast) continue;
      toSkip = remaining;
      headerBytes = 0;
    }
    return true;
  }

  socket.read = (size?: number) => {
    const chunk = read(size);
    if (chunk === null || isWithinBound(chunk)) return chunk;
    socket.destroy(new Error(`expected packets of at most ${bytesMax} bytes, found a longer one`));
    return null;
  };
}
