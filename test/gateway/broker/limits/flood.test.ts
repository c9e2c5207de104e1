// Devices that flood, do not read, come twice or hammer the door: the others are served meanwhile.

import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import mqtt, { type MqttClient } from "mqtt";
import { generate } from "mqtt-packet";
import { generatePrivateKey } from "viem/accounts";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { type EmbeddedBroker, openEmbeddedBroker } from "#gateway/broker/embedded/embedded";
import { SERVERS, type Server } from "#gateway/config/broker-section";
import { limitNotes } from "#gateway/telemetry/limited-log";
import { fromHex } from "#payment/bytes";
import { type Key, openKey, recoverAddress } from "#payment/key";
import { loginToken } from "#payment/login";
import { topicOf } from "#protocol/topics";
import { until } from "../../fixtures.ts";

const newKey = () => openKey(fromHex(generatePrivateKey()));
const GATEWAY = newKey();
const nameOf = (key: Key) => key.address.slice(2);

/** Every promise is made by both servers. */
let spoken: Server;

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function newBroker(messages = { perSecond: 10, burst: 20 }) {
  const heard = new Map<string, number>();
  const notes: string[] = [];
  const broker: EmbeddedBroker = await openEmbeddedBroker(
    {
      host: "127.0.0.1",
      server: spoken,
      port: 0,
      tls: null,
      webSocket: null,
      gateway: GATEWAY.address,
      recoverSigner: recoverAddress,
      connectionsMax: 1_000,
      messages,
      barred: () => null,
      isNewcomer: () => true,
      note: limitNotes(
        (_level, text) => notes.push(text),
        () => performance.now(),
      ),
    },
    (device, leaf, payload) => {
      heard.set(device, (heard.get(device) ?? 0) + 1);
      // A general request is answered at length.
      if (leaf === "request") broker.publish(device, "response", new Uint8Array(65_000), false);
      else if (payload.length > 0) broker.publish(device, "grant", new Uint8Array(42), false);
    },
  );
  open.push(broker);
  return { broker, heard, notes };
}

async function logIn(
  broker: EmbeddedBroker,
  key = newKey(),
): Promise<MqttClient & { readonly device: string }> {
  const name = nameOf(key);
  const client = mqtt.connect(broker.url, {
    clientId: name,
    username: name,
    password: loginToken(key, GATEWAY.address, Date.now() / 1000),
    reconnectPeriod: 0,
  });
  open.push({ close: () => client.endAsync(true) });
  client.on("error", () => undefined);
  await new Promise<void>((resolve, reject) => {
    client.once("connect", () => resolve());
    client.once("close", () => reject(new Error("expected a login, found a closed connection")));
  });
  return Object.assign(client, { device: name });
}

/** A connection that speaks MQTT by its bytes: it can send faster than any client, and stop reading. */
async function rawLogIn(broker: EmbeddedBroker, key = newKey()): Promise<Socket> {
  const socket = connectTcp(Number(new URL(broker.url).port), "127.0.0.1");
  socket.on("error", () => undefined);
  open.push({ close: async () => socket.destroy() });
  await once(socket, "connect");
  const password = loginToken(key, GATEWAY.address, Date.now() / 1000);
  socket.write(
    generate({
      cmd: "connect",
      clientId: nameOf(key),
      username: nameOf(key),
      password: Buffer.from(password),
      protocolId: "MQTT",
      protocolVersion: 4,
      clean: true,
      keepalive: 0,
    }),
  );
  const [connack] = (await once(socket, "data")) as [Buffer];
  expect([...connack]).toEqual([0x20, 2, 0, 0]);
  return socket;
}

/** node's `once` would reject with the reset that ends a connection. */
const closedOf = (socket: Socket) => new Promise<void>((resolve) => socket.once("close", () => resolve()));

const publishOf = (device: string, leaf: "pay" | "request", bytes: number) =>
  generate({
    cmd: "publish",
    topic: topicOf(device, leaf),
    payload: Buffer.alloc(bytes, 1),
    qos: 0,
    dup: false,
    retain: false,
  });

/** Median time from a PAY to its GRANT, milliseconds. */
async function roundTripMs(
  client: MqttClient & { readonly device: string },
  rounds: number,
): Promise<number> {
  await client.subscribeAsync(topicOf(client.device, "grant"), { qos: 1 });
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const start = performance.now();
    const answer = new Promise<void>((resolve) => client.once("message", () => resolve()));
    client.publish(topicOf(client.device, "pay"), Buffer.alloc(99), { qos: 1 });
    await answer;
    times.push(performance.now() - start);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  return times.sort((left, right) => left - right)[Math.floor(rounds / 2)]!;
}

describe.each(SERVERS)("spoken by %s", (server) => {
  beforeAll(() => {
    spoken = server;
  });

  test("what a device says beyond its rate is acknowledged and dropped; within it everything is heard", async () => {
    const { broker, heard } = await newBroker({ perSecond: 2, burst: 20 });
    const client = await logIn(broker);
    for (let count = 0; count < 30; count += 1)
      await client.publishAsync(topicOf(client.device, "pay"), Buffer.alloc(99), { qos: 1 });
    expect(client.connected).toBe(true);
    const passed = heard.get(client.device)!;
    expect(passed).toBeGreaterThanOrEqual(20);
    expect(passed + broker.refused.rate).toBe(30);
    expect(broker.refused.rate).toBeGreaterThan(0);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await client.publishAsync(topicOf(client.device, "pay"), Buffer.alloc(99), { qos: 1 });
    expect(heard.get(client.device)).toBe(passed + 1);
  });

  test("a device that floods is ended, comes back to no new allowance, and others hardly notice", async () => {
    const { broker, heard, notes } = await newBroker();
    const good = await logIn(broker);
    const key = newKey();
    const flood = publishOf(nameOf(key), "pay", 99);
    const burst = Buffer.concat(Array.from({ length: 500 }, () => flood));
    let isOver = false;
    const flooding = (async () => {
      let connections = 0;
      while (!isOver && connections < 20) {
        const socket = await rawLogIn(broker, key);
        connections += 1;
        const closed = closedOf(socket);
        while (!socket.destroyed && !isOver) {
          socket.write(burst);
          await new Promise((resolve) => setImmediate(resolve));
        }
        if (!isOver) await closed;
      }
    })();
    const tripMs = await roundTripMs(good, 15).finally(() => {
      isOver = true;
    });
    await flooding;
    expect(tripMs).toBeLessThan(250);
    expect(broker.refused.flood).toBeGreaterThan(1);
    expect(broker.refused.rate).toBeGreaterThan(10);
    // The burst, and what came back in the second or two that this lasted, in however many connections.
    expect(heard.get(nameOf(key))).toBeLessThan(20 + 10 * 10);
    // One line for each kind of trouble, not one for each message.
    expect(notes.length).toBeLessThan(20);
  });

  test("a device that does not read is disconnected, and delays no other device meanwhile", async () => {
    const { broker } = await newBroker({ perSecond: 1_000, burst: 1_000 });
    const key = newKey();
    const deaf = await rawLogIn(broker, key);
    deaf.write(
      generate({
        cmd: "subscribe",
        messageId: 1,
        subscriptions: [{ topic: topicOf(nameOf(key), "response"), qos: 0 }],
      } as Parameters<typeof generate>[0]),
    );
    await once(deaf, "data");
    deaf.pause();
    const good = await logIn(broker);
    const request = publishOf(nameOf(key), "request", 10);
    const asking = setInterval(() => deaf.write(Buffer.concat(Array(20).fill(request))), 20);
    open.push({ close: async () => clearInterval(asking) });
    expect(await roundTripMs(good, 15)).toBeLessThan(250);
    await until(
      () => broker.refused.backlog > 0,
      10_000,
      () => `a backlog refused, found ${JSON.stringify(broker.refused)}`,
    );
    await until(
      () => broker.connections === 1,
      5_000,
      () => `one connection left, found ${broker.connections}`,
    );
  });

  test("empty packets at full speed end their connection", async () => {
    const { broker } = await newBroker();
    const socket = await rawLogIn(broker);
    const closed = closedOf(socket);
    const pings = Buffer.concat(Array.from({ length: 5_000 }, () => Buffer.from([0xc0, 0])));
    socket.resume();
    for (let count = 0; count < 20 && !socket.destroyed; count += 1) {
      socket.write(pings);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await closed;
    expect(broker.refused.packet).toBe(1);
  });

  test("the second connection of a device replaces its first; no other client's does, and endless replacing is stopped", async () => {
    const { broker } = await newBroker();
    const key = newKey();
    const first = await logIn(broker, key);
    const thief = mqtt.connect(broker.url, {
      clientId: nameOf(key),
      username: nameOf(key),
      password: loginToken(newKey(), GATEWAY.address, Date.now() / 1000),
      reconnectPeriod: 0,
    });
    thief.on("error", () => undefined);
    await new Promise<void>((resolve) => thief.once("close", () => resolve()));
    expect(first.connected).toBe(true);
    expect(broker.takeOvers).toBe(0);

    const gone = new Promise<void>((resolve) => first.once("close", () => resolve()));
    let second = await logIn(broker, key);
    await gone;
    expect(broker.takeOvers).toBe(1);
    await second.publishAsync(topicOf(second.device, "pay"), Buffer.alloc(99), { qos: 1 });
    for (let turns = 0; turns < 60 && broker.refused["login-rate"] === 0; turns += 1) {
      second = await logIn(broker, key).catch(() => second);
    }
    expect(broker.refused["login-rate"]).toBe(1);
    expect(broker.takeOvers).toBeGreaterThan(20);
    // All connected devices stay connected.
    expect(second.connected).toBe(true);
    expect((await logIn(broker)).connected).toBe(true);
  });

  test("an address that fails again and again is turned away at the door; who is in stays in", async () => {
    const { broker } = await newBroker();
    const good = await logIn(broker);
    const port = Number(new URL(broker.url).port);
    const noise = Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]);
    while (broker.refused.source === 0) {
      const tries = Array.from({ length: 50 }, async () => {
        const socket = connectTcp(port, "127.0.0.1");
        socket.on("error", () => undefined);
        const closed = closedOf(socket);
        // The listener's answer has to be read, or its end is never seen.
        socket.resume();
        socket.write(noise);
        await closed;
      });
      await Promise.all(tries);
    }
    expect(broker.refused.packet).toBeGreaterThanOrEqual(500);
    expect(await roundTripMs(good, 5)).toBeLessThan(250);
    // Not for ever: with its pace it comes in again.
    let isIn = false;
    for (let attempt = 0; attempt < 20 && !isIn; attempt += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      isIn = await logIn(broker).then(
        () => true,
        () => false,
      );
    }
    expect(isIn).toBe(true);
  });
});
