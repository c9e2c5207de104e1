// The adapter for somebody else's broker, against a plain aedes that knows nothing of devices.

import { once } from "node:events";
import { createServer } from "node:net";
import { Aedes } from "aedes";
import mqtt from "mqtt";
import { afterEach, expect, test } from "vitest";
import {
  type ExternalBroker,
  type ExternalOptions,
  openExternalBroker,
} from "#gateway/broker/external/external";
import { topicOf } from "#protocol/topics";
import { until } from "../../fixtures.ts";
import { openSharingNothing, type SharingNothing } from "./sharing-nothing.ts";

const DEVICE = "12".repeat(20);

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function plainBroker(port = 0): Promise<SharingNothing> {
  const plain = await openSharingNothing(port);
  open.push(plain);
  return plain;
}

async function adapter(port: number, instead: Partial<ExternalOptions> = {}) {
  const heard: string[] = [];
  const notes: string[] = [];
  const broker: ExternalBroker = await openExternalBroker(
    {
      url: `mqtt://127.0.0.1:${port}`,
      version: 4,
      login: {},
      probe: null,
      clientId: "gateway",
      receiveMaximum: 100,
      share: null,
      note: (_level, text, fields) => notes.push(`${text} ${JSON.stringify(fields)}`),
      ...instead,
    },
    (device, leaf, payload, isHandedOver) =>
      heard.push(`${device} ${leaf} ${payload.length}${isHandedOver ? " handed over" : ""}`),
  );
  open.push(broker);
  return { broker, heard, notes };
}

async function client(port: number) {
  const connected = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 });
  open.push({ close: () => connected.endAsync(true) });
  return connected;
}

test("up leaves of well-formed topics within their size come through, and nothing else", async () => {
  const plain = await plainBroker();
  const { heard, notes } = await adapter(plain.port);
  await until(
    () => notes.length > 0,
    20_000,
    () => "a connection",
  );
  const anybody = await client(plain.port);
  const said: [string, number][] = [
    [topicOf(DEVICE, "pay"), 99],
    [topicOf(DEVICE, "pay"), 194],
    [topicOf(DEVICE, "grant"), 42],
    ["x402/1/nobody/pay", 99],
    [`x402/1/${DEVICE.toUpperCase().replace(/1/g, "A")}/pay`, 99],
    [topicOf(DEVICE, "hello"), 300],
  ];
  for (const [topic, bytes] of said) await anybody.publishAsync(topic, Buffer.alloc(bytes), { qos: 1 });
  await until(
    () => heard.length >= 2,
    20_000,
    () => "two messages",
  );
  expect(heard).toEqual([`${DEVICE} pay 99`, `${DEVICE} hello 300`]);
});

test("while the broker is away nothing is queued, and after it is back everything works without a restart", async () => {
  const plain = await plainBroker();
  const { broker, heard, notes } = await adapter(plain.port);
  await until(
    () => notes.length > 0,
    20_000,
    () => "a connection",
  );
  await plain.close();
  open.splice(open.indexOf(plain), 1);
  await until(
    () => notes.some((note) => note.startsWith("broker error")),
    20_000,
    () => "a broker error",
  );
  broker.publish(DEVICE, "grant", new Uint8Array(42), false);

  const again = await plainBroker(plain.port);
  const device = await client(again.port);
  const got: number[] = [];
  device.on("message", (_topic, payload) => got.push(payload.length));
  await device.subscribeAsync(topicOf(DEVICE, "grant"), { qos: 1 });
  await until(
    () => notes.filter((note) => note.startsWith("connected")).length === 2,
    20_000,
    () => "a second connection",
  );
  broker.publish(DEVICE, "grant", new Uint8Array(41), false);
  // Subscribed again a moment after it is connected again.
  const asking = setInterval(() => device.publish(topicOf(DEVICE, "pay"), Buffer.alloc(99), { qos: 1 }), 50);
  await until(
    () => heard.length > 0 && got.length === 1,
    20_000,
    () => "a pay and a grant",
  );
  clearInterval(asking);
  expect(got).toEqual([41]);
  expect(notes.filter((note) => note.startsWith("broker error"))).toHaveLength(1);
});

test("a broker that refuses MQTT 5 is spoken to in 3.1.1, by itself", async () => {
  const plain = await plainBroker();
  const { broker, heard, notes } = await adapter(plain.port, { version: "auto" });
  await until(
    () => broker.isUp(),
    20_000,
    () => "a connection",
  );
  expect(notes.filter((note) => note.includes("MQTT 3.1.1 is tried"))).toHaveLength(1);
  const anybody = await client(plain.port);
  const asking = setInterval(() => anybody.publish(topicOf(DEVICE, "pay"), Buffer.alloc(99), { qos: 1 }), 50);
  await until(
    () => heard.length > 0,
    20_000,
    () => "a pay",
  );
  clearInterval(asking);
});

test("a broker that closes on MQTT 5 without a word is spoken to in 3.1.1, by itself", async () => {
  const aedes = await Aedes.createBroker();
  const server = createServer((socket) => {
    socket.once("data", (bytes) => {
      // Protocol level: behind the fixed header (2) and "MQTT" with its length (6).
      if (bytes[8] === 5) return socket.destroy();
      aedes.handle(socket);
      return socket.unshift(bytes);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  open.push({
    close: async () => {
      await new Promise<void>((resolve) => aedes.close(() => resolve()));
      server.close();
    },
  });
  const { broker, notes } = await adapter((server.address() as { port: number }).port, { version: "auto" });
  await until(
    () => broker.isUp(),
    20_000,
    () => "a connection",
  );
  expect(notes.filter((note) => note.includes("MQTT 3.1.1 is tried"))).toHaveLength(1);
});

test("a broker that grants shared subscriptions and delivers nothing is found out, and believed in nothing", async () => {
  const plain = await plainBroker();
  const share = { group: "watt402-test", member: "m1" };
  const { broker, heard, notes } = await adapter(plain.port, { share });
  await until(
    () => broker.delivery() !== null,
    20_000,
    () => "a finding",
  );
  expect(broker.delivery()).toBe("whole");
  expect(notes.find((note) => note.startsWith("the broker does not share"))).toContain("16 probes");
  const anybody = await client(plain.port);
  // A member that was not asked to hear hears nothing; one that was, everything.
  await anybody.publishAsync(topicOf(DEVICE, "hello"), Buffer.alloc(300), { qos: 1 });
  broker.subscribe("whole");
  const asking = setInterval(() => anybody.publish(topicOf(DEVICE, "pay"), Buffer.alloc(99), { qos: 1 }), 50);
  await until(
    () => heard.length > 0,
    20_000,
    () => "a pay",
  );
  clearInterval(asking);
  expect(new Set(heard)).toEqual(new Set([`${DEVICE} pay 99`]));
});
