// Packets as bytes: whole however they are cut, none above the bound, and the same as everybody else's.

import fc from "fast-check";
import { generate, type Packet, parser } from "mqtt-packet";
import { expect, test } from "vitest";
import {
  connectPacket,
  PacketReader,
  publishPacket,
  readConnect,
  readPublish,
  readSubscribe,
  subackPacket,
  subscribePacket,
} from "#gateway/broker/mqtt-packets";

const BOUND = 300;

/** Feeds pieces to a reader; what was read, as bytes again, and what was found wrong. */
function readThrough(pieces: readonly Buffer[]): { read: Buffer[]; fault: string | null } {
  const reader = new PacketReader();
  const read: Buffer[] = [];
  for (const piece of pieces) {
    const fault = reader.feed(
      piece,
      () => BOUND,
      (head, body) => {
        read.push(Buffer.concat([Buffer.from([head]), body]));
        return true;
      },
    );
    if (fault !== null) return { read, fault };
  }
  return { read, fault: null };
}

/** QoS 0, topic "a": its remaining length is the payload's and three bytes. */
function publishOf(bytes: number): Buffer {
  const remaining = bytes + 3;
  const length = remaining < 128 ? [remaining] : [(remaining % 128) | 0x80, Math.floor(remaining / 128)];
  return Buffer.concat([Buffer.from([0x30, ...length, 0, 1, 97]), Buffer.alloc(bytes, 7)]);
}

function cut(bytes: Buffer, steps: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const step = steps[turn % steps.length]!;
    pieces.push(bytes.subarray(at, at + step));
    at += step;
  }
  return pieces;
}

test("packets within the bound are read whole from any pieces; at the first one above it reading ends", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 5 }),
      (sizes, steps) => {
        // A topic of one character takes three bytes of the remaining length.
        const tooLong = sizes.findIndex((size) => size + 3 > BOUND);
        const { read, fault } = readThrough(cut(Buffer.concat(sizes.map(publishOf)), steps));
        expect(fault !== null).toBe(tooLong >= 0);
        const whole = tooLong < 0 ? sizes : sizes.slice(0, tooLong);
        expect(read.map((packet) => packet.length)).toEqual(whole.map((size) => size + 4));
      },
    ),
  );
});

test("a length that never ends is refused before anything is kept", () => {
  const endless = Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x80]);
  expect(readThrough([endless]).fault).toMatch(/at most 300 bytes/);
  expect(readThrough([...endless].map((byte) => Buffer.from([byte]))).fault).toMatch(/at most 300 bytes/);
});

test("a paused reader goes on where it stopped", () => {
  const reader = new PacketReader();
  const all = Buffer.concat([publishOf(1), publishOf(2), publishOf(3)]);
  const sizes: number[] = [];
  const take = (_head: number, body: Buffer) => sizes.push(body.length) % 2 === 0;
  for (const piece of [all, Buffer.alloc(0), Buffer.alloc(0)]) reader.feed(piece, () => BOUND, take);
  expect(sizes).toEqual([4, 5, 6]);
});

/** What mqtt-packet, which the rest of the world uses, makes of bytes. */
function parsed(bytes: Buffer): Packet[] {
  const packets: Packet[] = [];
  const all = parser({ protocolVersion: 4 });
  all.on("packet", (packet) => packets.push(packet));
  all.parse(bytes);
  return packets;
}

const bodyOf = (packet: Buffer): Buffer => {
  let at = 1;
  while ((packet[at]! & 0x80) !== 0) at += 1;
  return packet.subarray(at + 1);
};

const name = fc.string({ unit: fc.constantFrom(..."abcdef0123456789/"), minLength: 1, maxLength: 60 });
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));

test("a login with any will reads the same here and elsewhere, both ways", () => {
  const will = fc.record({
    topic: name,
    payload: bytes,
    qos: fc.constantFrom(0, 1, 2),
    retain: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.record({
        clientId: name,
        keepaliveSeconds: fc.integer({ min: 0, max: 65_535 }),
        username: name,
        password: name,
        will: fc.option(will, { nil: null }),
      }),
      (login) => {
        const ours = connectPacket(login);
        expect(readConnect(bodyOf(ours))).toEqual(login);
        const [theirs] = parsed(ours) as unknown as [Record<string, unknown>];
        expect(theirs).toMatchObject({ cmd: "connect", clientId: login.clientId, clean: true });
        expect(String(theirs.password)).toBe(login.password);
        const { keepaliveSeconds: keepalive, password, ...rest } = login;
        const generated = generate({
          ...{ cmd: "connect", protocolId: "MQTT", protocolVersion: 4, clean: true, keepalive },
          ...{ clientId: rest.clientId, username: rest.username, password: Buffer.from(password) },
          ...(rest.will === null ? {} : { will: rest.will }),
        } as Packet);
        expect(generated).toEqual(ours);
      },
    ),
  );
});

test("a message with acknowledgements before it reads the same here and elsewhere", () => {
  fc.assert(
    fc.property(
      ...[name, bytes, fc.boolean(), fc.integer({ min: 0, max: 65_535 })],
      fc.array(fc.integer({ min: 1, max: 65_535 }), { maxLength: 3 }),
      (topic, payload, retain, id, acknowledged) => {
        const packet = publishPacket(topic, payload, retain, id, acknowledged);
        const found = parsed(packet) as unknown as Record<string, unknown>[];
        expect(found.slice(0, -1).map(({ cmd, messageId }) => [cmd, messageId])).toEqual(
          acknowledged.map((one) => ["puback", one]),
        );
        expect(found.at(-1)).toMatchObject({ cmd: "publish", topic, payload, retain, qos: id === 0 ? 0 : 1 });
        const last = packet.subarray(4 * acknowledged.length);
        const qos = id === 0 ? 0 : 1;
        expect(readPublish(last[0]!, bodyOf(last))).toEqual({ topic, payload, retain, id, qos });
      },
    ),
  );
});

test("subscriptions and their answers read the same here and elsewhere", () => {
  const packet = subscribePacket(7, ["a/b", "c"], 1);
  expect(parsed(packet)).toMatchObject([{ cmd: "subscribe", messageId: 7, subscriptions: [{}, {}] }]);
  const subscriptions = [
    { filter: "a/b", qos: 1 },
    { filter: "c", qos: 1 },
  ];
  expect(readSubscribe(bodyOf(packet), true)).toEqual({ id: 7, subscriptions });
  expect(parsed(subackPacket(7, [1, 128]))).toMatchObject([{ cmd: "suback", granted: [1, 128] }]);
});

test("no bytes at all make a decoder throw, and what it takes is within the packet", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(255), (array, head) => {
      const body = Buffer.from(array);
      for (const read of [readConnect(body), readPublish(head, body), readSubscribe(body, true)]) {
        if (typeof read !== "string") expect(JSON.stringify(read).length).toBeLessThan(1_000);
      }
    }),
    { numRuns: 2_000 },
  );
});
