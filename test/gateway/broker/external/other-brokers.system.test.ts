// Our gateway and a fleet of lights on brokers of others, guarded by our generated files alone: Mosquitto by
// certificates and by passwords, RabbitMQ by both. A foreign device tries to listen and to speak all the while.

import { randomBytes } from "node:crypto";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { openExternalBroker } from "#gateway/broker/external/external";
import { readLogin } from "#gateway/config/login-files";
import { openKey } from "#payment/key";
import { LEAVES, type Leaf, topicOf } from "#protocol/topics";
import { DEPOSIT, expectAllAgree, tokensOf } from "../../cluster/cluster.ts";
import { type Ground, type Light, prepareGround, until } from "../../fixtures.ts";
import { startPostgres } from "../../ledger/postgres/postgres.ts";
import { dataOf, expectAgreement, QUANTUM, startSeller } from "../../purchase/agreement.ts";
import { type DeviceAccount, fileIn, type GuardedBroker, guardedMosquitto } from "../guarded-broker.ts";
import { guardedRabbitmq, hasRabbitmq } from "./rabbitmq.ts";

const LIGHTS = 6;
const RUNGS = 5;

/** Who is on one broker; a test has keys of its own, for a channel is of a key. */
function newFleet() {
  const keys = Array.from({ length: LIGHTS }, () => openKey(randomBytes(32)));
  const names = keys.map(({ address }) => address.slice(2));
  const [foreign, idle, probe] = Array.from({ length: 3 }, () => randomBytes(20).toString("hex")) as [
    string,
    string,
    string,
  ];
  return { keys, names, foreign, idle, probe };
}
type Fleet = ReturnType<typeof newFleet>;

const onRabbitmq = newFleet();
const leased = newFleet();

let ground: Ground;
let rabbitmq: GuardedBroker;
const clients: MqttClient[] = [];
beforeAll(async () => {
  const half = LIGHTS / 2;
  const { names, foreign, idle, probe } = onRabbitmq;
  [ground, rabbitmq] = await Promise.all([
    prepareGround(),
    guardedRabbitmq([...names.slice(0, half), idle], [...names.slice(half), foreign, ...leased.names], probe),
  ]);
}, 120_000);
afterEach(async () => {
  for (const client of clients.splice(0)) await client.endAsync(true);
});
afterAll(async () => {
  await rabbitmq?.end();
  await ground?.stop();
});

const optionsOf = (device: string, { tls, login }: DeviceAccount): IClientOptions => ({
  protocolVersion: 4,
  clientId: device,
  ca: tls.ca!,
  ...(tls.cert === undefined ? {} : { cert: tls.cert, key: tls.key! }),
  ...(typeof login === "object" ? { username: device, password: login.password } : {}),
});

async function connected(broker: GuardedBroker, device: string, instead: IClientOptions = {}) {
  const options = { ...optionsOf(device, broker.account(device)), ...instead };
  const client = mqtt.connect(broker.deviceUrl, { ...options, reconnectPeriod: 0 });
  clients.push(client);
  client.on("error", () => {});
  await new Promise<void>((resolve, reject) => {
    client.once("connect", () => resolve());
    client.once("close", () => reject(new Error("refused")));
  });
  return client;
}

/** Tries one filter on a connection of its own; what it hears of others goes into `heard`. */
async function listenTo(
  broker: GuardedBroker,
  foreign: string,
  filter: string,
  heard: string[],
): Promise<void> {
  const client = await connected(broker, foreign);
  client.on("message", (topic) => {
    if (!topic.includes(foreign)) heard.push(topic);
  });
  client.subscribe(filter, { qos: 1 }, () => {});
  await new Promise((resolve) => setTimeout(resolve, 400));
  await client.endAsync(true);
}

/** Says something on every topic of another device; a broker may end the connection for each. */
async function speakAs(
  broker: GuardedBroker,
  foreign: string,
  victim: string,
  marker: Buffer,
): Promise<void> {
  for (const leaf of Object.keys(LEAVES) as Leaf[]) {
    const client = await connected(broker, foreign);
    const done = new Promise<void>((resolve) => {
      client.publish(topicOf(victim, leaf), marker, { qos: 1, retain: true }, () => resolve());
      client.once("close", () => resolve());
    });
    await done;
    await client.endAsync(true);
  }
  const will = { topic: topicOf(victim, "state"), payload: marker, qos: 1 as const, retain: true };
  (await connected(broker, foreign, { will })).stream.destroy();
}

async function fleetBuysOn(broker: GuardedBroker, { keys, names, foreign, idle }: Fleet): Promise<void> {
  const seller = await startSeller(ground);
  const config = ground.config(seller.url, { treasury: { depositAtomic: 2_000 } });
  const notes: string[] = [];
  const gateway = await ground.gateway({ ...config, broker: broker.section }, (level, text, fields) =>
    notes.push(`${level} ${text} ${JSON.stringify(fields)}`),
  );
  await until(
    () => notes.some((note) => note.includes("keeps devices to their own topics")),
    30_000,
    () => `a broker that is closed, found ${notes.join("\n")} ${broker.said().slice(-1_500)}`,
  );
  const lights: Light[] = keys.map((key) =>
    ground.light(broker.deviceUrl, { key, account: broker.account(key.address.slice(2)) }),
  );
  await Promise.all(lights.map((light) => light.untilCharged(RUNGS * QUANTUM, 60_000)));

  const victim = names[0]!;
  const heard: string[] = [];
  for (const filter of [
    "#",
    "x402/1/+/grant",
    "x402/#",
    topicOf(victim, "grant"),
    topicOf(victim, "offer"),
  ]) {
    await listenTo(broker, foreign, filter, heard);
  }
  expect(heard).toEqual([]);
  // What the foreign device says as another reaches neither that device nor the gateway.
  const marker = Buffer.from(`marker ${randomBytes(8).toString("hex")}`);
  const other = await connected(broker, idle);
  const arrived: string[] = [];
  other.on("message", (topic, payload) => payload.equals(marker) && arrived.push(topic));
  for (const leaf of ["grant", "offer"] as const) await other.subscribeAsync(topicOf(idle, leaf), { qos: 1 });
  const watcher = await gatewayClient(broker);
  watcher.on("message", (topic, payload) => payload.equals(marker) && arrived.push(topic));
  for (const leaf of ["state", "hello", "pay"] as const) {
    await watcher.subscribeAsync(`x402/1/+/${leaf}`, { qos: 1 });
  }
  await speakAs(broker, foreign, idle, marker);
  const own = await connected(broker, foreign);
  await own.publishAsync(topicOf(foreign, "hello"), marker, { qos: 1 });
  await until(
    () => arrived.includes(topicOf(foreign, "hello")),
    10_000,
    () => "the foreign device's own hello",
  );
  expect(arrived).toEqual([topicOf(foreign, "hello")]);

  const before = lights.map((light) => light.charged());
  await Promise.all(lights.map((light, index) => light.untilCharged(before[index]! + QUANTUM, 30_000)));
  await Promise.all(lights.map((light) => light.stop()));
  await gateway.stop();
  const total = await expectAgreement(lights, dataOf(config), seller.url);
  expect((await seller.stop()).settles.amountAtomic).toBe(total);
  expect(total).toBeGreaterThanOrEqual(LIGHTS * RUNGS * QUANTUM);
  expect(notes.filter((note) => /refuses/.test(note) && !/MQTT 5/.test(note))).toEqual([]);
}

/** A client with the gateway's rights. */
async function gatewayClient(broker: GuardedBroker): Promise<MqttClient> {
  const { url } = broker.section as { url: string };
  const client = await mqtt.connectAsync(url, {
    ...readLogin("broker", broker.section),
    protocolVersion: 4,
    clientId: `watcher-${randomBytes(4).toString("hex")}`,
  });
  clients.push(client);
  return client;
}

test.each([
  ["certificates", false],
  ["passwords", true],
])(
  "a fleet buys on Mosquitto by %s, and no device hears or speaks for another",
  async (_how, byPasswords) => {
    const fleet = newFleet();
    const { names, foreign, idle, probe } = fleet;
    const mosquitto = await guardedMosquitto([...names, foreign, idle], probe, byPasswords);
    try {
      await fleetBuysOn(mosquitto, fleet);
    } finally {
      await mosquitto.end();
    }
  },
  120_000,
);

test.runIf(hasRabbitmq)(
  "a fleet buys on RabbitMQ by certificates and passwords, and no device hears or speaks for another",
  () => fleetBuysOn(rabbitmq, onRabbitmq),
  120_000,
);

test.runIf(hasRabbitmq)(
  "RabbitMQ shares no subscriptions and keeps no states for who asks by wildcard: one gateway hears all that comes",
  async () => {
    const { idle, foreign } = onRabbitmq;
    const device = await connected(rabbitmq, idle);
    await device.publishAsync(topicOf(idle, "state"), "{}", { qos: 1, retain: true });
    const heard: string[] = [];
    const notes: string[] = [];
    const { url, username, passwordFile, caFile } = rabbitmq.section as Record<string, string>;
    const gateway = await openExternalBroker(
      {
        url: url!,
        version: "auto",
        login: { username, passwordFile, caFile },
        probe: null,
        clientId: "adapter",
        receiveMaximum: 100,
        share: { group: "watt402-test", member: "m1" },
        note: (_level, text) => notes.push(text),
      },
      (name, leaf) => heard.push(`${name} ${leaf}`),
    );
    try {
      await until(
        () => gateway.delivery() !== null,
        30_000,
        () => `a finding, found ${notes}`,
      );
      expect(gateway.delivery()).toBe("whole");
      gateway.subscribe("whole");
      await until(
        () => {
          device.publish(topicOf(idle, "pay"), Buffer.alloc(99), { qos: 1 });
          return heard.includes(`${idle} pay`);
        },
        10_000,
        () => "a pay",
      );
      expect(heard).not.toContain(`${idle} state`);
      await device.publishAsync(topicOf(idle, "state"), "{}", { qos: 1, retain: true });
      await until(
        () => heard.includes(`${idle} state`),
        10_000,
        () => "the next state",
      );
      // A device asks by its own topics, and gets what was retained.
      gateway.publish(idle, "offer", Buffer.from('{"v":1}'), true);
      const got: string[] = [];
      device.on("message", (topic) => got.push(topic));
      await until(
        () => {
          device.subscribe(topicOf(idle, "offer"), { qos: 1 });
          return got.length > 0;
        },
        10_000,
        () => "the retained offer",
      );
      // A foreign device that says another's client id ends that one's connection, and is let in no more for it.
      const ended = new Promise<void>((resolve) => device.once("close", () => resolve()));
      await expect(connected(rabbitmq, foreign, { clientId: idle })).rejects.toThrow("refused");
      await ended;
    } finally {
      await gateway.close();
    }
  },
  90_000,
);

test.runIf(hasRabbitmq)(
  "a gateway of several, with its ledger in PostgreSQL, holds its lease and sells on RabbitMQ",
  async () => {
    const postgres = await startPostgres();
    try {
      const treasuryBefore = await tokensOf(ground, ground.treasuryKey.address);
      const seller = await startSeller(ground);
      const passwordFile = fileIn(ground.directory(), "postgres.password", postgres.password);
      const ledger = { kind: "postgres", url: postgres.url, passwordFile };
      const config = ground.config(seller.url, { ledger, treasury: { depositAtomic: DEPOSIT } });
      const gateway = await ground.gateway({ ...config, broker: rabbitmq.section });
      const lights = leased.keys.map((key) =>
        ground.light(rabbitmq.deviceUrl, { key, account: rabbitmq.account(key.address.slice(2)) }),
      );
      await Promise.all(lights.map((light) => light.untilCharged(RUNGS * QUANTUM, 60_000)));
      expect(gateway.status().duty).toMatchObject({ state: "active", slots: 64 });
      await Promise.all(lights.map((light) => light.stop()));
      await gateway.stop();
      const { payments } = await expectAllAgree(ground, postgres, seller, lights, treasuryBefore);
      expect(payments).toBeGreaterThanOrEqual(LIGHTS * RUNGS);
    } finally {
      postgres.stop();
    }
  },
  120_000,
);
