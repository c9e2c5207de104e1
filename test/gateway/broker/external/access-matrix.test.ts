// The rules of access against the AsyncAPI document: all pairs through the functions, many through real logins.

import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import { generatePrivateKey } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mayPublish, maySubscribe } from "#gateway/broker/auth/topic-access";
import { type EmbeddedBroker, openEmbeddedBroker } from "#gateway/broker/embedded/embedded";
import { emqxFiles, mosquittoFiles } from "#gateway/broker/external/acl-files";
import { rabbitmqFiles } from "#gateway/broker/external/rabbitmq-files";
import { SERVERS, type Server } from "#gateway/config/broker-section";
import { fromHex } from "#payment/bytes";
import { type Key, openKey, recoverAddress } from "#payment/key";
import { loginToken } from "#payment/login";
import { until } from "../../fixtures.ts";
import { type Action, API_LEAVES, isListed, type Pair, pairsOf, topicsFor } from "./matrix.ts";

const SPEAKERS = ["12", "ab", "00", "ff", "9c", "d1"].map((pair) => pair.repeat(20));

test("of more than five thousand pairs of device, topic and action only the listed ones pass the rules", () => {
  const pairs = pairsOf(SPEAKERS);
  expect(pairs.length).toBeGreaterThan(5_000);
  const wrong = pairs.filter((pair) => passes(pair) !== isListed(pair));
  expect(wrong).toEqual([]);
  // Per device: six leaves go up, in two sizes that fit, as message and as will; one of them may be retained; four go down.
  const [up, down] = [API_LEAVES.filter(({ isUp }) => isUp), API_LEAVES.filter(({ isUp }) => !isUp)];
  expect([up.length, down.length]).toEqual([6, 4]);
  expect(pairs.filter(isListed)).toHaveLength(SPEAKERS.length * (up.length * 2 * 2 + 2 + down.length));
});

function passes({ speaker, topic, action, bytes }: Pair): boolean {
  if (action === "subscribe") return maySubscribe(speaker, topic);
  return mayPublish(speaker, topic, bytes, action === "retained");
}

// ---- through the broker ----

const gateway = openKey(fromHex(generatePrivateKey()));
const heard = new Set<string>();
let broker: EmbeddedBroker;
async function openBroker(server: Server): Promise<void> {
  heard.clear();
  broker = await openEmbeddedBroker(
    {
      host: "127.0.0.1",
      server,
      port: 0,
      tls: null,
      webSocket: null,
      gateway: gateway.address,
      recoverSigner: recoverAddress,
      connectionsMax: 1_000,
      messages: { perSecond: 1_000, burst: 1_000 },
      barred: () => null,
      isNewcomer: () => true,
      note: () => {},
    },
    (device, leaf, payload) => heard.add(`x402/1/${device}/${leaf} ${payload.length}`),
  );
}

/** A client of a new device; null when the login is refused. */
function logIn(key: Key, will: IClientOptions["will"]): Promise<MqttClient | null> {
  const name = key.address.slice(2);
  const client = mqtt.connect(broker.url, {
    clientId: name,
    username: name,
    password: loginToken(key, gateway.address, Date.now() / 1000),
    reconnectPeriod: 0,
    ...(will === undefined ? {} : { will }),
  });
  return new Promise((resolve) => {
    client.once("connect", () => resolve(client));
    client.once("error", () => resolve(null));
    client.once("close", () => resolve(null));
  });
}

/** Does a real broker let it through, to a gateway or from it? */
async function isLetThrough(key: Key, { topic, action, bytes }: Omit<Pair, "speaker">): Promise<boolean> {
  const payload = Buffer.alloc(bytes, 65);
  const will = { topic, payload, qos: 1 as const, retain: false };
  const client = await logIn(key, action === "will" ? will : undefined);
  if (client === null) return false;
  try {
    if (action === "subscribe") {
      const granted = await client.subscribeAsync(topic, { qos: 1 }).catch(() => [{ qos: 128 }]);
      return granted.every(({ qos }) => qos < 128);
    }
    const ended = new Promise<void>((resolve) => client.once("close", () => resolve()));
    if (action === "will") client.stream.destroy();
    else {
      const sent = client.publishAsync(topic, payload, { qos: 1, retain: action === "retained" });
      await Promise.race([sent.catch(() => undefined), ended]);
    }
    if (action === "will")
      await until(
        () => heard.has(`${topic} ${bytes}`),
        5_000,
        () => `the will on ${topic}`,
      );
    return heard.has(`${topic} ${bytes}`);
  } finally {
    await client.endAsync(true);
  }
}

describe.each(SERVERS)("spoken by %s", (server) => {
  beforeAll(() => openBroker(server));
  afterAll(() => broker.close());

  test("a slice of the matrix through real logins: each device does one thing, and only what is listed comes through", async () => {
    const other = SPEAKERS[0]!;
    const wrong: string[] = [];
    let [passed, refused] = [0, 0];
    const tries: (readonly [Action, number])[] = [
      ["publish", 5],
      ["retained", 7],
      ["will", 11],
      ["subscribe", 3],
    ];
    for (const [action, step] of tries) {
      const count = topicsFor(other, other).length;
      for (let at = 0; at < count; at += step) {
        const key = openKey(fromHex(generatePrivateKey()));
        const speaker = key.address.slice(2);
        const topic = topicsFor(speaker, other)[at]!;
        // A client of its own refuses to send what is no topic or filter at all.
        if (topic === "" || (action !== "subscribe" && /[#+]/.test(topic))) continue;
        const pair = { speaker, topic, action, bytes: 40 };
        const isThrough = await isLetThrough(key, pair);
        if (isThrough !== isListed(pair)) wrong.push(`${action} ${topic}`);
        if (isThrough) passed += 1;
        else refused += 1;
      }
    }
    // And all that is listed, lest the slice has missed it.
    for (const { name, isUp, isRetained, bytesMax } of API_LEAVES) {
      const actions: Action[] = isUp
        ? ["publish", "will", ...(isRetained ? ["retained" as const] : [])]
        : ["subscribe"];
      for (const action of actions) {
        const key = openKey(fromHex(generatePrivateKey()));
        // A login's will has less room than a message.
        const bytes = action === "will" ? Math.min(bytesMax, 1_024) : bytesMax;
        const pair = { topic: `x402/1/${key.address.slice(2)}/${name}`, action, bytes };
        if (!(await isLetThrough(key, pair))) wrong.push(`${action} ${name}`);
        passed += 1;
      }
    }
    expect(wrong).toEqual([]);
    expect(passed).toBeGreaterThan(17);
    expect(refused).toBeGreaterThan(60);
  });

  // ---- for others' brokers ----
});

test("the files for Mosquitto and EMQX name every leaf once each way, the gateway's account, and nothing else", () => {
  const options = { gatewayUser: "gate", discoveryPrefix: null };
  const acl = mosquittoFiles(options)["watt402.acl"]!;
  const rules = acl.split("\n").filter((line) => /^(topic|pattern) /.test(line));
  const expected = API_LEAVES.flatMap(({ name, isUp }) => [
    `topic ${isUp ? "read" : "write"} x402/1/+/${name}`,
    `pattern ${isUp ? "write" : "read"} x402/1/%u/${name}`,
  ]);
  expect(rules.sort()).toEqual(
    [...expected, "topic readwrite x402/1/gateway/#", "topic write x402/1/prices/#"].sort(),
  );
  expect(acl).toContain("user gate\n");

  const emqx = emqxFiles({ ...options, discoveryPrefix: "homeassistant" })["acl.conf"]!;
  const lines = emqx.split("\n").filter((line) => line.startsWith("{"));
  expect(lines.at(-1)).toBe("{deny, all}.");
  expect(lines.every((line) => line.endsWith("."))).toBe(true);
  const topicsIn = (start: RegExp) =>
    lines
      .filter((line) => start.test(line))
      .flatMap((line) => [...line.matchAll(/"(x402[^"]+)"/g)].map(([, t]) => t));
  const own = (isOf: (leaf: (typeof API_LEAVES)[number]) => boolean) =>
    API_LEAVES.filter(isOf).map(({ name }) => `x402/1/\${username}/${name}`);
  expect(topicsIn(/re, .*\{retain, false\}/).sort()).toEqual(own(({ isUp }) => isUp).sort());
  expect(topicsIn(/re, .*\{retain, true\}/)).toEqual(own(({ isUp, isRetained }) => isUp && isRetained));
  expect(topicsIn(/re, .*subscribe/).sort()).toEqual(own(({ isUp }) => !isUp).sort());
  expect(emqx).toContain('{allow, {username, "gate"}, publish, ["homeassistant/#"]}.');
  expect(emqx).toContain('{allow, {username, "gate"}, publish, ["x402/1/prices/#"]}.');
});

test("the files for RabbitMQ let each device pass the listed pairs alone, on queues of its own, and keep no password", () => {
  const users = SPEAKERS.map((name, index) => ({ name, password: index === 0 ? "lamp light" : null }));
  const options = { gatewayUser: "gate", discoveryPrefix: "homeassistant" };
  const files = rabbitmqFiles(options, users, "gate light");
  const text = files["watt402-definitions.json"]!;
  expect(text).not.toMatch(/(lamp|gate) light/);
  const definitions = JSON.parse(text) as {
    users: { name: string; password_hash: string }[];
    permissions: { user: string; configure: string; write: string; read: string }[];
    topic_permissions: { user: string; exchange: string; write: string; read: string }[];
  };
  const [gate, first, ...others] = definitions.users;
  expect([gate!.name, first!.name]).toEqual(["gate", SPEAKERS[0]]);
  expect([gate, first].map((user) => Buffer.from(user!.password_hash, "base64").length)).toEqual([36, 36]);
  expect(others.every(({ password_hash }) => password_hash === "")).toBe(true);

  const rulesOf = (speaker: string) => definitions.topic_permissions.find(({ user }) => user === speaker)!;
  /** RabbitMQ asks with the user's name in its place, of the topic with dots, and stars for +. */
  const passesRules = ({ speaker, topic, action }: Pair) => {
    const { write, read } = rulesOf(speaker);
    const rule = (action === "subscribe" ? read : write).replaceAll("{username}", speaker);
    return new RegExp(rule).test(topic.replaceAll("/", ".").replaceAll("+", "*"));
  };
  // Neither sizes nor retention are checked there.
  const isListedThere = (pair: Pair) =>
    isListed({ ...pair, bytes: 1, action: pair.action === "retained" ? "publish" : pair.action });
  expect(pairsOf(SPEAKERS).filter((pair) => passesRules(pair) !== isListedThere(pair))).toEqual([]);

  for (const { user, configure, write, read } of definitions.permissions.slice(1)) {
    const own = (pattern: string) => (name: string) => new RegExp(pattern).test(name);
    const queues = SPEAKERS.flatMap((name) => [0, 1].map((qos) => `mqtt-subscription-${name}qos${qos}`));
    const mine = queues.filter((queue) => queue.includes(user));
    expect(queues.filter(own(configure))).toEqual(mine);
    expect([...queues, "amq.topic", "amq.direct"].filter(own(write))).toEqual([...mine, "amq.topic"]);
    expect(read).toBe(write);
  }
  const device = SPEAKERS[0]!;
  const gateway = (action: "read" | "write", topic: string) =>
    new RegExp(rulesOf("gate")[action]).test(topic.replaceAll("/", ".").replaceAll("+", "*"));
  for (const { name, isUp } of API_LEAVES) {
    expect([gateway("read", `x402/1/+/${name}`), gateway("write", `x402/1/${device}/${name}`)]).toEqual([
      isUp,
      !isUp,
    ]);
  }
  expect(
    ["x402/1/gateway/m/probe-1", "homeassistant/light/x"].map((topic) => gateway("write", topic)),
  ).toEqual([true, true]);
  expect(["#", "x402/#", "$share/g/x402/1/+/pay"].filter((topic) => gateway("read", topic))).toEqual([]);
});
