// The guard counts MQTT packets as they come, in whatever pieces, and lets none through above its bound.

import type { Socket } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { guardPackets } from "#gateway/broker/limits/packet-guard";
import { connectPacket } from "#gateway/broker/mqtt-packets";

const BOUND = 300;
const LOGIN = connectPacket({ clientId: "a", keepaliveSeconds: 60, username: "a", password: "", will: null });

/** A paused stream of these pieces, read as aedes does; resolves with what came through. */
function readThrough(pieces: readonly Buffer[]): { read: Buffer; closed: boolean } {
  let closed = false;
  const left = [...pieces];
  const socket = {
    read: () => left.shift() ?? null,
    destroy: () => {
      closed = true;
    },
  };
  guardPackets(socket as unknown as Socket, {
    bytesMax: () => BOUND,
    nowMs: () => 0,
    refuse: () => {},
    end: () => {},
  });
  const read: Buffer[] = [];
  while (left.length > 0 && !closed) {
    const piece = socket.read() as Buffer | null;
    if (piece !== null) read.push(piece);
  }
  return { read: Buffer.concat(read), closed };
}

/** MQTT 3.1.1 section 3.3, QoS 0, topic "a": its remaining length is the payload's and three bytes. */
function publishOf(bytes: number): Buffer {
  const remaining = bytes + 3;
  const length = remaining < 128 ? [remaining] : [(remaining % 128) | 0x80, Math.floor(remaining / 128)];
  return Buffer.concat([Buffer.from([0x30, ...length, 0, 1, 97]), Buffer.alloc(bytes, 7)]);
}

test("packets within the bound pass unchanged in any pieces; the first one above it closes, and nothing follows", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 5 }),
      (sizes, steps) => {
        const packets = [LOGIN, ...sizes.map(publishOf)];
        const all = Buffer.concat(packets);
        const pieces: Buffer[] = [];
        for (let at = 0, turn = 0; at < all.length; turn += 1) {
          const step = steps[turn % steps.length]!;
          pieces.push(all.subarray(at, at + step));
          at += step;
        }
        // A topic of one character takes three bytes of the remaining length.
        const tooLong = sizes.findIndex((size) => size + 3 > BOUND);
        const { read, closed } = readThrough(pieces);
        expect(closed).toBe(tooLong >= 0);
        if (tooLong < 0) expect(read).toEqual(all);
        else {
          const before = Buffer.concat(packets.slice(0, tooLong + 1)).length;
          expect(read.length).toBeLessThanOrEqual(before);
          expect(read).toEqual(all.subarray(0, read.length));
        }
      },
    ),
  );
});
