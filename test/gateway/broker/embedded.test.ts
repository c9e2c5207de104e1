// The embedded broker against real MQTT clients: who gets in, who may say what, and what is bounded.

import { type EventEmitter, once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import { generate } from "mqtt-packet";
import { generatePrivateKey } from "viem/accounts";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { mayPublish, maySubscribe, proveDevice } from "#gateway/broker/auth/topic-access";
import type { Broker } from "#gateway/broker/broker";
import { type EmbeddedOptions, openEmbeddedBroker } from "#gateway/broker/embedded/embedded";
import { SERVERS, type Server } from "#gateway/config/broker-section";
import { fromHex } from "#payment/bytes";
import { type Key, openKey, recoverAddress } from "#payment/key";
import { LOGIN_WINDOW_SECONDS, loginToken } from "#payment/login";
import { LEAVES, type Leaf, topicOf } from "#protocol/topics";
import { until } from "../fixtures.ts";

const newKey = () => openKey(fromHex(generatePrivateKey()));
const GATEWAY = newKey().address;
const OTHER = "ab".repeat(20);

interface Heard {
  readonly device: string;
  readonly leaf: Leaf;
  readonly payload: string;
}

/** Every promise is made by both servers. */
let spoken: Server;

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

const PLAIN: Omit<EmbeddedOptions, "server"> = {
  host: "127.0.0.1",
  port: 0,
  tls: null,
  webSocket: null,
  gateway: GATEWAY,
  recoverSigner: recoverAddress,
  connectionsMax: 100,
  messages: { perSecond: 1_000, burst: 1_000 },
  barred: () => null,
  isNewcomer: () => true,
  note: () => {},
};

async function newBroker(connectionsMax = 100) {
  const heard: Heard[] = [];
  const notes: string[] = [];
  const broker = await openEmbeddedBroker(
    {
      ...PLAIN,
      server: spoken,
      connectionsMax,
      note: (_level, text, fields) => notes.push(`${text} ${JSON.stringify(fields)}`),
    },
    (device, leaf, payload) => heard.push({ device, leaf, payload: Buffer.from(payload).toString() }),
  );
  open.push(broker);
  return { broker, heard, notes };
}

/** Resolves with the client once logged in, or with the reason why not. */
async function logIn(broker: Broker, key: Key, instead: IClientOptions = {}): Promise<MqttClient | string> {
  const device = key.address.slice(2);
  const client = mqtt.connect(broker.url, {
    protocolVersion: 4,
    clientId: device,
    username: device,
    password: loginToken(key, GATEWAY, Date.now() / 1000),
    reconnectPeriod: 0,
    ...instead,
  });
  open.push({ close: () => client.endAsync(true) });
  const refused = new Promise<string>((resolve) => {
    client.once("error", (error) => resolve(`${(error as { code?: number }).code ?? error.message}`));
    client.once("close", () => resolve("closed"));
  });
  return Promise.race([nextOf(client, "connect").then(() => client), refused]);
}

async function logged(broker: Broker, key: Key, instead: IClientOptions = {}): Promise<MqttClient> {
  const client = await logIn(broker, key, instead);
  if (typeof client === "string") throw new Error(`expected a login, found ${client}`);
  return client;
}

/** mqtt.js types its events more narrowly than node's `once` knows. */
function nextOf(client: MqttClient, event: string): Promise<unknown[]> {
  return once(client as unknown as EventEmitter, event);
}

const NOT_AUTHORISED = "5";

describe.each(SERVERS)("spoken by %s", (server) => {
  beforeAll(() => {
    spoken = server;
  });

  test("the holder of a device's key logs in", async () => {
    const { broker } = await newBroker();
    expect(await logIn(broker, newKey())).toBeInstanceOf(mqtt.MqttClient);
  });

  test.each<[string, (key: Key) => IClientOptions]>([
    [
      "another's key",
      (key) => ({
        password: loginToken(newKey(), GATEWAY, Date.now() / 1000),
        username: key.address.slice(2),
      }),
    ],
    [
      "a login for another gateway",
      (key) => ({ password: loginToken(key, newKey().address, Date.now() / 1000) }),
    ],
    [
      "a stale token",
      (key) => ({ password: loginToken(key, GATEWAY, Date.now() / 1000 - LOGIN_WINDOW_SECONDS - 60) }),
    ],
    [
      "a token of the day after tomorrow",
      (key) => ({ password: loginToken(key, GATEWAY, Date.now() / 1000 + LOGIN_WINDOW_SECONDS + 60) }),
    ],
    ["a client id that is not the user", () => ({ clientId: "cd".repeat(20) })],
    ["a user name with a wildcard", () => ({ username: "+", clientId: "+" })],
    ["no password", () => ({ password: "" })],
    ["no user", () => ({ username: "", password: "" })],
  ])("%s gets no connection", async (_, wrong) => {
    const { broker, notes } = await newBroker();
    const key = newKey();
    expect(["2", "4", "closed"]).toContain(await logIn(broker, key, wrong(key)));
    expect(notes.join()).toContain("login refused");
  });

  test("the reason for a refused login says what to check, and shows no password", () => {
    const login = {
      clientId: OTHER,
      username: OTHER,
      password: "1.0x00",
      certified: null,
      needsCertificate: false,
    };
    const { device, refusal } = proveDevice(login, GATEWAY, 1_800_000_000, recoverAddress);
    expect(device).toBeNull();
    const reason = refusal?.reason;
    expect(reason).toContain("clock");
    expect(reason).not.toContain("0x00");
  });

  test("of twenty thousand topics, sizes and retain flags only a device's own leaves pass, by the table of leaves", () => {
    const device = "12".repeat(20);
    const leaves = [
      ...Object.keys(LEAVES),
      "+",
      "#",
      "",
      "pay/x",
      "PAY",
      "$SYS",
      "grant ",
      "__proto__",
      "constructor",
    ];
    const wrong: string[] = [];
    let published = 0;
    for (const prefix of ["x402/1/", "x402/2/", "x402/1", "/x402/1/", "$SYS/", "#", "$share/g/x402/1/"]) {
      for (const name of [device, OTHER, "+", "#", device.replace("12", "AB"), "", `${device}0`]) {
        for (const leaf of leaves) {
          const topic = `${prefix}${name}/${leaf}`;
          const isOwn = prefix === "x402/1/" && name === device && Object.hasOwn(LEAVES, leaf);
          const rule = isOwn ? LEAVES[leaf as Leaf] : null;
          if (maySubscribe(device, topic) !== (rule?.direction === "down")) wrong.push(`subscribe ${topic}`);
          for (const bytes of [0, 1, 42, 43, 103, 104, 512, 1_024, 4_097, 16_384, 70_000]) {
            for (const retained of [false, true]) {
              const may = rule?.direction === "up" && bytes <= rule.bytesMax && (!retained || rule.retained);
              if (mayPublish(device, topic, bytes, retained) !== may)
                wrong.push(`publish ${topic} ${bytes} ${retained}`);
              if (may) published += 1;
            }
          }
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(published).toBeGreaterThan(40);
  });

  test("what a device may say arrives; what it may not ends its connection and arrives nowhere", async () => {
    const { broker, heard, notes } = await newBroker();
    const key = newKey();
    const device = key.address.slice(2);
    const good = await logged(broker, key);
    await good.publishAsync(topicOf(device, "pay"), Buffer.alloc(99, 1), { qos: 1 });
    await good.publishAsync(topicOf(device, "state"), "{}", { qos: 1, retain: true });
    expect(heard.map(({ leaf }) => leaf)).toEqual(["pay", "state"]);

    const wrong: [string, Buffer, boolean][] = [
      [topicOf(OTHER, "pay"), Buffer.alloc(99), false],
      [topicOf(device, "grant"), Buffer.alloc(42), false],
      [topicOf(device, "offer"), Buffer.from("{}"), true],
      [topicOf(device, "pay"), Buffer.alloc(194), false],
      [topicOf(device, "pay"), Buffer.alloc(99), true],
      [topicOf(device, "hello"), Buffer.alloc(1_025), false],
      ["homeassistant/light/x/config", Buffer.from("{}"), true],
      ["$SYS/x", Buffer.from("{}"), false],
    ];
    for (const [topic, payload, retain] of wrong) {
      // A later login of a device takes the place of the one before.
      const client = await logged(broker, key);
      const closed = nextOf(client, "close");
      client.publish(topic, payload, { qos: 0, retain });
      await closed;
    }
    expect(heard).toHaveLength(2);
    expect(notes.filter((note) => note.startsWith("publish refused"))).toHaveLength(wrong.length);
  });

  test("a device receives only its own grants, whatever it subscribes to", async () => {
    const { broker } = await newBroker();
    const [one, two] = [newKey(), newKey()];
    const client = await logged(broker, one);
    const got: string[] = [];
    client.on("message", (topic) => got.push(topic));
    const own = topicOf(one.address.slice(2), "grant");
    const filters = [
      topicOf(two.address.slice(2), "grant"),
      "#",
      "x402/1/+/grant",
      `x402/1/${one.address.slice(2)}/#`,
      "$SYS/#",
      own,
    ];
    for (const filter of filters) await client.subscribeAsync(filter, { qos: 1 }).catch(() => undefined);
    broker.publish(two.address.slice(2), "grant", new Uint8Array(42), false);
    broker.publish(one.address.slice(2), "grant", new Uint8Array(42), false);
    await nextOf(client, "message");
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(got).toEqual([own]);
  });

  test("a will on another's topic, or one that no leaf allows, refuses the login; the device's own state is published", async () => {
    const { broker, heard, notes } = await newBroker();
    const key = newKey();
    const own = topicOf(key.address.slice(2), "state");
    const lost = '{"v":1,"status":"lost"}';
    const will = (topic: string, payload = lost, retain = true) => ({
      will: { topic, payload: Buffer.from(payload), qos: 1 as const, retain },
    });
    const hostile = [
      will(topicOf(OTHER, "state")),
      will(topicOf(key.address.slice(2), "grant")),
      will(topicOf(key.address.slice(2), "pay")),
      will("homeassistant/light/x/config"),
      will("$SYS/x"),
      will(own, "x".repeat(1_025)),
    ];
    for (const instead of hostile) expect(await logIn(broker, key, instead)).toBe(NOT_AUTHORISED);
    expect(notes.filter((note) => note.includes("will not allowed"))).toHaveLength(hostile.length);
    const client = await logged(broker, key, will(own));
    client.stream.destroy();
    await until(
      () => heard.length > 0,
      5_000,
      () => "the will",
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(heard).toEqual([{ device: key.address.slice(2), leaf: "state", payload: lost }]);
  });

  test("an offer waits, retained, for a device that was away", async () => {
    const { broker } = await newBroker();
    const key = newKey();
    const topic = topicOf(key.address.slice(2), "offer");
    broker.publish(key.address.slice(2), "offer", Buffer.from("first"), true);
    broker.publish(key.address.slice(2), "offer", Buffer.from("second"), true);
    const client = await logged(broker, key);
    const message = nextOf(client, "message");
    await client.subscribeAsync(topic, { qos: 1 });
    expect(String((await message)[1])).toBe("second");
  });

  test("nothing is gathered for a device that asks for a session and stays away", async () => {
    const { broker } = await newBroker();
    const key = newKey();
    const device = key.address.slice(2);
    const first = await logged(broker, key, { clean: false });
    await first.subscribeAsync(topicOf(device, "grant"), { qos: 1 });
    await first.endAsync();
    broker.publish(device, "grant", new Uint8Array(42), false);
    const got: string[] = [];
    const again = mqtt.connect(broker.url, {
      clientId: device,
      username: device,
      password: loginToken(key, GATEWAY, Date.now() / 1000),
      clean: false,
      reconnectPeriod: 0,
    });
    open.push({ close: () => again.endAsync(true) });
    again.on("message", (topic) => got.push(topic));
    const [connack] = (await nextOf(again, "connect")) as [{ sessionPresent: boolean }];
    expect(connack.sessionPresent).toBe(false);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(got).toEqual([]);
  });

  test("connections beyond the bound are closed at once, and a place that is free again is taken", async () => {
    const { broker } = await newBroker(3);
    const clients = await Promise.all([1, 2, 3].map(() => logged(broker, newKey())));
    expect(await logIn(broker, newKey())).not.toBeInstanceOf(mqtt.MqttClient);
    await clients[0]!.endAsync(true);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await logIn(broker, newKey())).toBeInstanceOf(mqtt.MqttClient);
  });

  test("of two logins of one device that wait together the later connection stays, whichever is authenticated first", async () => {
    const { broker } = await newBroker();
    const key = newKey();
    const device = key.address.slice(2);
    const login = generate({
      cmd: "connect",
      clientId: device,
      username: device,
      password: Buffer.from(loginToken(key, GATEWAY, Date.now() / 1000)),
      protocolId: "MQTT",
      protocolVersion: 4,
      clean: true,
      keepalive: 0,
    });
    const port = Number(new URL(broker.url).port);
    const answers: string[] = [];
    const arrive = async (name: string) => {
      const socket = connectTcp(port, "127.0.0.1");
      open.push({ close: async () => socket.destroy() });
      socket.on("data", (chunk: Buffer) => answers.push(`${name} ${chunk[3] === 0 ? "in" : "refused"}`));
      socket.on("close", () => answers.push(`${name} closed`));
      await once(socket, "connect");
      return socket;
    };
    const earlier = await arrive("earlier");
    await until(
      () => broker.connections === 1,
      5_000,
      () => "the earlier connection",
    );
    const later = await arrive("later");
    await until(
      () => broker.connections === 2,
      5_000,
      () => "both connections",
    );
    earlier.write(login);
    later.write(login);
    await until(
      () => answers.includes("earlier closed") && answers.includes("later in") && broker.connections === 1,
      15_000,
      () => `the earlier connection's end and the later one's login, found ${answers.join(", ")}`,
    );
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(answers).not.toContain("later closed");
  });

  test("a packet that announces more than any leaf holds ends its connection before it is gathered", async () => {
    const { broker } = await newBroker();
    const { port } = new URL(broker.url);
    // CONNECT, and a PUBLISH of 256 MiB less one byte: neither is anybody's.
    for (const header of [
      [0x10, 0xff, 0xff, 0xff, 0x7f],
      [0x30, 0xff, 0xff, 0xff, 0x7f],
      [0x10, 0xff, 0xff, 0xff, 0xff, 0x7f],
    ]) {
      const socket: Socket = connectTcp(Number(port), "127.0.0.1");
      socket.on("error", () => undefined);
      await once(socket, "connect");
      const closed = once(socket, "close");
      socket.write(Buffer.from(header));
      await closed;
    }
  });

  test("packets cut at any byte arrive whole", async () => {
    const { broker, heard } = await newBroker();
    const key = newKey();
    const device = key.address.slice(2);
    const client = await logged(broker, key);
    const stream = client.stream as Socket;
    const write = stream.write.bind(stream);
    let step = 1;
    stream.write = ((written: Buffer | string, ...rest: []) => {
      const chunk = Buffer.from(written as string);
      for (let at = 0; at < chunk.length; at += step) write(chunk.subarray(at, at + step));
      step = (step % 7) + 1;
      return write(Buffer.alloc(0), ...rest);
    }) as typeof stream.write;
    for (let length = 0; length < 40; length += 1) {
      await client.publishAsync(topicOf(device, "request"), Buffer.alloc(length * 400, 65), { qos: 1 });
    }
    expect(heard.map(({ payload }) => payload.length)).toEqual(
      Array.from({ length: 40 }, (_, index) => index * 400),
    );
  });

  test("a small answer leaves at once: Nagle's algorithm is off on every connection", async () => {
    const { broker } = await newBroker();
    const key = newKey();
    const device = key.address.slice(2);
    const client = await logged(broker, key);
    (client.stream as Socket).setNoDelay(true);
    await client.subscribeAsync(topicOf(device, "grant"), { qos: 1 });
    const times: number[] = [];
    for (let round = 0; round < 15; round += 1) {
      const start = performance.now();
      const answer = nextOf(client, "message");
      client.publish(topicOf(device, "pay"), Buffer.alloc(99), { qos: 1 });
      // Two small packets in a row, the second a little later, is what Nagle holds up for 40 ms.
      setTimeout(() => broker.publish(device, "grant", new Uint8Array(42), false), 3);
      await answer;
      times.push(performance.now() - start);
    }
    expect(times.sort((a, b) => a - b)[7]).toBeLessThan(35);
  });

  test("a busy port is reported with its number and what to change", async () => {
    const { broker } = await newBroker();
    const port = Number(new URL(broker.url).port);
    await expect(openEmbeddedBroker({ ...PLAIN, server: spoken, port }, () => {})).rejects.toThrow(
      `broker 127.0.0.1:${port}: the port is in use; choose another broker.port`,
    );
  });
});
