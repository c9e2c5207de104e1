// Packets that MQTT 3.1.1 forbids end their connection, by either broker; those that it allows are answered.

import { connect, type Socket } from "node:net";
import { generatePrivateKey } from "viem/accounts";
import { afterEach, describe, expect, test } from "vitest";
import { openEmbeddedBroker } from "#gateway/broker/embedded/embedded";
import { connectPacket } from "#gateway/broker/mqtt-packets";
import { SERVERS, type Server } from "#gateway/config/broker-section";
import { fromHex } from "#payment/bytes";
import { openKey, recoverAddress } from "#payment/key";
import { loginToken } from "#payment/login";
import { topicOf } from "#protocol/topics";

const newKey = () => openKey(fromHex(generatePrivateKey()));
const GATEWAY = newKey();
const KEY = newKey();
const NAME = KEY.address.slice(2);

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function newBroker(server: Server) {
  const said: Buffer[] = [];
  const broker = await openEmbeddedBroker(
    {
      ...{ host: "127.0.0.1", server, port: 0, tls: null, webSocket: null, gateway: GATEWAY.address },
      recoverSigner: recoverAddress,
      connectionsMax: 100,
      messages: { perSecond: 100, burst: 100 },
      barred: () => null,
      isNewcomer: () => true,
      note: () => undefined,
    },
    (_device, _leaf, payload) => said.push(Buffer.from(payload)),
  );
  open.push(broker);
  return { port: Number(new URL(broker.urls[0]!).port), said };
}

function login(): Buffer {
  const password = loginToken(KEY, GATEWAY.address, Date.now() / 1000);
  return connectPacket({ clientId: NAME, keepaliveSeconds: 60, username: NAME, password, will: null });
}

/** Everything that a connection is answered, piece for piece, until it is closed or as many bytes came as are wanted. */
function answered(
  port: number,
  pieces: readonly Buffer[],
  wanted: number,
): Promise<{ bytes: number[]; closed: boolean }> {
  const left = [...pieces];
  const socket: Socket = connect(port, "127.0.0.1", () => socket.write(left.shift()!));
  open.push({ close: async () => socket.destroy() });
  const found: number[] = [];
  return new Promise((resolve) => {
    socket.on("error", () => undefined);
    socket.on("close", () => resolve({ bytes: found, closed: true }));
    socket.on("data", (chunk) => {
      found.push(...chunk);
      if (found.length >= wanted) resolve({ bytes: found, closed: false });
      const next = left.shift();
      if (next !== undefined) socket.write(next);
    });
  });
}

const TOPIC = topicOf(NAME, "state");
const text = (value: string) => [value.length >> 8, value.length & 255, ...Buffer.from(value)];
const packet = (head: number, ...body: number[]) => {
  const length = body.length < 128 ? [body.length] : [(body.length & 127) | 128, body.length >> 7];
  return Buffer.from([head, ...length, ...body]);
};

const FORBIDDEN: Readonly<Record<string, Buffer>> = {
  "type 0": packet(0x00),
  "type 15": packet(0xf0),
  "a second CONNECT": packet(0x10, ...text("MQTT"), 4, 2, 0, 60, ...text("x")),
  "CONNACK, which only a broker sends": packet(0x20, 0, 0),
  "SUBACK, which only a broker sends": packet(0x90, 0, 1, 0),
  "UNSUBACK, which only a broker sends": packet(0xb0, 0, 1),
  "PINGRESP, which only a broker sends": packet(0xd0),
  "PUBLISH of QoS 3": packet(0x36, ...text(TOPIC), 0, 1),
  "PUBLISH of QoS 1 with packet id 0": packet(0x32, ...text(TOPIC), 0, 0),
  "PUBLISH of QoS 2 with packet id 0": packet(0x34, ...text(TOPIC), 0, 0),
  "PUBLISH of QoS 1 without a packet id": packet(0x32, ...text(TOPIC)),
  "PUBLISH of QoS 0 sent again": packet(0x38, ...text(TOPIC)),
  "PUBLISH with a topic longer than the packet": packet(0x30, 0, 200, ...Buffer.from(TOPIC)),
  "PUBLISH without a topic": packet(0x30, 0, 0, 1, 2, 3),
  "PUBLISH of one byte": packet(0x30, 0),
  "PUBACK of no id": packet(0x40),
  "PUBACK of id 0": packet(0x40, 0, 0),
  "PUBACK of one byte": packet(0x40, 1),
  "PUBACK longer than its id": packet(0x40, 0, 1, 0),
  "PUBACK with flags": packet(0x42, 0, 1),
  "PUBREC of id 0": packet(0x50, 0, 0),
  "PUBREC longer than its id": packet(0x50, 0, 1, 7, 7),
  "PUBREL without its flags": packet(0x60, 0, 1),
  "PUBREL of id 0": packet(0x62, 0, 0),
  "PUBREL longer than its id": packet(0x62, 0, 1, 0),
  "PUBCOMP of id 0": packet(0x70, 0, 0),
  "PUBCOMP of one byte": packet(0x70, 1),
  "SUBSCRIBE without its flags": packet(0x80, 0, 1, ...text(TOPIC), 1),
  "SUBSCRIBE with packet id 0": packet(0x82, 0, 0, ...text(TOPIC), 1),
  "SUBSCRIBE without a filter": packet(0x82, 0, 1),
  "SUBSCRIBE with an empty filter": packet(0x82, 0, 1, 0, 0, 1),
  "SUBSCRIBE of QoS 3": packet(0x82, 0, 1, ...text(TOPIC), 3),
  "SUBSCRIBE with bits beside its QoS": packet(0x82, 0, 1, ...text(TOPIC), 0x81),
  "SUBSCRIBE without its QoS": packet(0x82, 0, 1, ...text(TOPIC)),
  "SUBSCRIBE longer than its filters": packet(0x82, 0, 1, ...text(TOPIC), 1, 0),
  "UNSUBSCRIBE without its flags": packet(0xa0, 0, 1, ...text(TOPIC)),
  "UNSUBSCRIBE with packet id 0": packet(0xa2, 0, 0, ...text(TOPIC)),
  "UNSUBSCRIBE without a filter": packet(0xa2, 0, 1),
  "UNSUBSCRIBE longer than its filters": packet(0xa2, 0, 1, ...text(TOPIC), 0),
  "PINGREQ with a body": packet(0xc0, 1),
  "PINGREQ with flags": packet(0xc1),
  "DISCONNECT with flags": packet(0xe2),
  "AUTH, which MQTT 5 has": packet(0xf0, 0, 0),
  "a length of five bytes": Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]),
};

const PING = packet(0xc0);
const ACCEPTED = [0x20, 2, 0, 0];
const PINGRESP = [0xd0, 0];

/** Bytes of the answer that proves that a connection goes on: to the ping behind the packet. */
const ALLOWED: Readonly<Record<string, readonly [Buffer, readonly number[]]>> = {
  "PUBACK of a message that never was": [packet(0x40, 0, 9), []],
  "PUBREL of a message that never was": [packet(0x62, 1, 2), [0x70, 2, 1, 2]],
  "a subscription to a topic of its own": [
    packet(0x82, 0, 3, ...text(topicOf(NAME, "grant")), 1),
    [0x90, 3, 0, 3, 1],
  ],
  "an end of a subscription that never was": [
    packet(0xa2, 0, 4, ...text(topicOf(NAME, "grant"))),
    [0xb0, 2, 0, 4],
  ],
  "a length of more bytes than it needs": [Buffer.from([0xc0, 0x80, 0x00]), PINGRESP],
};

const LOGINS: Readonly<Record<string, readonly [Buffer, readonly number[]]>> = {
  "of level 6 is answered with the version": [
    packet(0x10, ...text("MQTT"), 6, 2, 0, 60, ...text("x")),
    [0x20, 2, 0, 1],
  ],
  "of a bridge is answered with the version": [
    packet(0x10, ...text("MQTT"), 0x84, 2, 0, 60, ...text("x")),
    [0x20, 2, 0, 1],
  ],
  "of another protocol is answered with the version": [
    packet(0x10, ...text("HTTP"), 4, 2, 0, 60, ...text("x")),
    [0x20, 2, 0, 1],
  ],
  "with flags is closed": [packet(0x11, ...text("MQTT"), 4, 2, 0, 60, ...text("x")), []],
  "with its reserved bit is closed": [packet(0x10, ...text("MQTT"), 4, 3, 0, 60, ...text("x")), []],
  "with a password and no user name is closed": [
    packet(0x10, ...text("MQTT"), 4, 0x42, 0, 60, ...text("x"), ...text("secret")),
    [],
  ],
  "with a will of QoS 3 is closed": [
    packet(0x10, ...text("MQTT"), 4, 0x1e, 0, 60, ...text("x"), ...text("t"), ...text("p")),
    [],
  ],
  "longer than its fields is closed": [packet(0x10, ...text("MQTT"), 4, 2, 0, 60, ...text("x"), 0), []],
  "shorter than its fields is closed": [packet(0x10, ...text("MQTT"), 4, 2, 0), []],
  "that comes after another packet is closed": [Buffer.concat([PING, login()]), []],
};

describe.each(SERVERS)("spoken by %s", (server) => {
  test.each(Object.entries(FORBIDDEN))(
    "%s ends its connection, and nothing behind it is taken",
    async (_name, bytes) => {
      const { port, said } = await newBroker(server);
      const { bytes: found, closed } = await answered(port, [login(), Buffer.concat([bytes, PING])], 6);
      expect({ found, closed }).toEqual({ found: ACCEPTED, closed: true });
      expect(said).toEqual([]);
    },
  );

  test.each(Object.entries(ALLOWED))(
    "%s is answered as the standard says, and the connection goes on",
    async (_name, [bytes, answer]) => {
      const { port } = await newBroker(server);
      const wanted = [...ACCEPTED, ...answer, ...PINGRESP];
      const { bytes: found } = await answered(port, [login(), Buffer.concat([bytes, PING])], wanted.length);
      // Answers to packets of different types may pass each other.
      expect(found.toSorted()).toEqual(wanted.toSorted());
    },
  );

  test.each(Object.entries(LOGINS))("a login %s", async (_name, [bytes, answer]) => {
    const { port } = await newBroker(server);
    const { bytes: found, closed } = await answered(port, [bytes], answer.length + 1);
    expect({ found, closed }).toEqual({ found: answer, closed: true });
  });
});
