/**
 * Bounds and form of MQTT packets, held before the parser of a library reads them.
 *
 * Promise: what is read from the stream is whole packets that a client may send, and nothing else. A connection that
 * announces a packet above the bound, sends more packets than any device has reason to, or one that the standard
 * forbids, is closed at once, logged in or not: the parser behind would gather up to 256 MiB for any client, answer
 * every PINGREQ, and read the fields of one packet from the next.
 */
import type { Duplex } from "node:stream";
import { connackPacket, UNACCEPTABLE_VERSION } from "../auth/connack.ts";
import { PacketReader } from "../mqtt-packets.ts";
import { loginFault, OTHER_PROTOCOL, packetFault } from "./packet-fault.ts";
import { PACKETS_BURST, type PacketCount, TOO_MANY_PACKETS, takePacket } from "./packet-rate-limit.ts";

interface PacketBounds {
  /** Largest remaining length now: little before the login, more after it. */
  readonly bytesMax: () => number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** Called with the reason, once, before the connection ends: a packet too long, or too many. */
  readonly refuse: (reason: string) => void;
  /** Called with the reason, once, before the connection ends: a packet that the standard forbids, or another protocol. */
  readonly end: (reason: string) => void;
}

/** Guards a stream that is read in paused mode, as aedes does. */
export function guardPackets(stream: Duplex, bounds: PacketBounds): void {
  const read = stream.read.bind(stream) as (size?: number) => Buffer | null;
  const reader = new PacketReader();
  const count: PacketCount = { packetsLeft: PACKETS_BURST, packetsAtMs: Math.floor(bounds.nowMs()) };
  let hasLogin = false;
  let isClosed = false;

  function close(report: (reason: string) => void, reason: string): void {
    if (isClosed) return;
    isClosed = true;
    report(reason);
    if (reason === OTHER_PROTOCOL) stream.end(connackPacket(UNACCEPTABLE_VERSION));
    else stream.destroy(new Error(reason));
  }

  /** The whole packets of a chunk, and of what was kept before it. */
  function packetsOf(chunk: Buffer): Buffer[] {
    const packets: Buffer[] = [];
    const tooLong = reader.feed(chunk, bounds.bytesMax, (head, body, packet) => {
      if (!takePacket(count, bounds.nowMs)) {
        close(bounds.refuse, TOO_MANY_PACKETS);
        return false;
      }
      const fault = hasLogin ? packetFault(head, body) : loginFault(head, body);
      hasLogin = true;
      if (fault !== null) close(bounds.end, fault);
      else packets.push(packet);
      return fault === null;
    });
    if (tooLong !== null) close(bounds.refuse, tooLong);
    return packets;
  }

  stream.read = (size?: number) => {
    const chunk = read(size);
    if (chunk === null || isClosed) return null;
    const packets = packetsOf(chunk);
    if (isClosed || packets.length === 0) return null;
    return packets.length === 1 ? packets[0]! : Buffer.concat(packets);
  };
}
