// The adapter against Mosquitto: both versions, shared subscriptions, what MQTT 5 says beside a payload.

import mqtt, { type IPublishPacket } from "mqtt";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import {
  type ExternalBroker,
  type ExternalOptions,
  openExternalBroker,
} from "#gateway/broker/external/external";
import { encodeGrant } from "#protocol/frames";
import { type Leaf, topicOf } from "#protocol/topics";
import { until } from "../../fixtures.ts";
import { type Mosquitto, startMosquitto } from "./mosquitto.ts";

const DEVICE = "12".repeat(20);
const OTHER = "34".repeat(20);

let mosquitto: Mosquitto;
const open: { close(): Promise<unknown> }[] = [];
beforeAll(async () => {
  mosquitto = await startMosquitto();
});
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});
afterAll(() => mosquitto.end());

async function adapter(clientId: string, instead: Partial<ExternalOptions> = {}) {
  const heard: string[] = [];
  const notes: string[] = [];
  const broker: ExternalBroker = await openExternalBroker(
    {
      url: mosquitto.url,
      version: "auto",
      login: {},
      probe: null,
      clientId,
      receiveMaximum: 256,
      share: null,
      note: (_level, text, fields) => notes.push(`${text} ${JSON.stringify(fields)}`),
      ...instead,
    },
    (device, leaf, payload, isHandedOver) =>
      heard.push(`${device.slice(0, 2)} ${leaf} ${payload.length}${isHandedOver ? " handed over" : ""}`),
  );
  open.push(broker);
  return { broker, heard, notes };
}

async function client(protocolVersion: 4 | 5) {
  const connected = await mqtt.connectAsync(mosquitto.url, { protocolVersion, reconnectPeriod: 0 });
  open.push({ close: () => connected.endAsync(true) });
  return connected;
}

const GRANT = new Uint8Array(42);
GRANT.set(
  encodeGrant({
    refusal: null,
    channelTag: 0x01020304,
    charged: 700,
    granted: 3_500,
    pricePerMillionUnits: 200_000,
    validUntilSeconds: Math.floor(Date.now() / 1000) + 90,
  }),
);

test.each([4, 5, "auto"] as const)(
  "pay and grant pass through Mosquitto by MQTT version %s",
  async (version) => {
    const { broker, heard, notes } = await adapter(`gateway-${version}`, { version });
    await until(
      () => notes.some((note) => note.startsWith("connected")),
      10_000,
      () => "a connection",
    );
    expect(notes[0]).toContain(`"version":${version === 4 ? 4 : 5}`);
    const device = await client(4);
    const got: number[] = [];
    device.on("message", (_topic, payload) => got.push(payload.length));
    await device.subscribeAsync(topicOf(DEVICE, "grant"), { qos: 1 });
    await device.publishAsync(topicOf(DEVICE, "pay"), Buffer.alloc(99), { qos: 1 });
    await until(
      () => heard.length > 0,
      10_000,
      () => "a pay",
    );
    expect(heard).toEqual(["12 pay 99"]);
    broker.publish(DEVICE, "grant", GRANT, false);
    await until(
      () => got.length > 0,
      5_000,
      () => "a grant",
    );
    expect(got).toEqual([42]);
  },
);

test("a Mosquitto that anybody may listen at is called open, with a warning", async () => {
  const { broker, notes } = await adapter("watching");
  await until(
    () => broker.access().kind === "open",
    20_000,
    () => `the result of the test, found ${notes}`,
  );
  expect(broker.access().reason).toMatch(
    /^anybody without a login receives messages to another device by x402/,
  );
  expect(notes.filter((note) => note.startsWith("the broker lets anybody read"))).toHaveLength(1);
});

test("a group hears each message once; what is handed over reaches its member; states reach everyone, retained ones too", async () => {
  const known = await client(5);
  const state = Buffer.from("{}");
  await known.publishAsync(topicOf(OTHER, "state"), state, { qos: 1, retain: true });
  const group = "watt402-test";
  const left = await adapter("left", { share: { group, member: "l" } });
  const right = await adapter("right", { share: { group, member: "r" } });
  await until(
    () => left.broker.delivery() !== null && right.broker.delivery() !== null,
    20_000,
    () => `verdicts: ${[...left.notes, ...right.notes].join("; ")}`,
  );
  expect([left.broker.delivery(), right.broker.delivery()]).toEqual(["shared", "shared"]);
  expect([...left.heard, ...right.heard]).toEqual([]);
  for (const { broker } of [left, right]) broker.subscribe("shared");
  await until(
    () => left.heard.length > 0 && right.heard.length > 0,
    10_000,
    () => "the retained state",
  );
  expect([left.heard.splice(0), right.heard.splice(0)]).toEqual([["34 state 2"], ["34 state 2"]]);
  for (let pays = 0; pays < 40; pays += 1) {
    await known.publishAsync(topicOf(DEVICE, "pay"), Buffer.alloc(99), { qos: 1 });
  }
  await until(
    () => left.heard.length + right.heard.length >= 40,
    10_000,
    () => "40 pays",
  );
  expect(left.heard.length + right.heard.length).toBe(40);
  expect(Math.min(left.heard.length, right.heard.length)).toBeGreaterThan(5);
  right.heard.length = 0;
  left.broker.handOver("r", DEVICE, "pay", new Uint8Array(99));
  // Everyone has the states already.
  left.broker.handOver("r", DEVICE, "state", state);
  left.broker.handOver("r", DEVICE, "reading", new Uint8Array(50));
  await until(
    () => right.heard.length >= 2,
    10_000,
    () => "what was handed over",
  );
  expect(right.heard).toEqual(["12 pay 99 handed over", "12 reading 50 handed over"]);
  // Who asks for nothing leaves the group: the other hears everything.
  left.broker.subscribe(null);
  right.heard.length = 0;
  left.heard.length = 0;
  for (let pays = 0; pays < 20; pays += 1) {
    await known.publishAsync(topicOf(DEVICE, "pay"), Buffer.alloc(99), { qos: 1 });
  }
  await until(
    () => right.heard.length >= 20,
    10_000,
    () => `20 pays, found ${right.heard.length} and ${left.heard.length}`,
  );
  await known.publishAsync(topicOf(OTHER, "state"), "", { qos: 1, retain: true });
});

test("MQTT 5 carries content type, expiry and correlation, and the payload stays as it is", async () => {
  const { broker } = await adapter("five", { version: 5 });
  const device = await client(5);
  const got = new Map<string, IPublishPacket>();
  device.on("message", (topic, _payload, packet) => got.set(topic.split("/").at(-1)!, packet));
  const leaves: readonly Leaf[] = ["grant", "offer", "payment-required", "response"];
  await device.subscribeAsync(leaves.map((leaf) => topicOf(DEVICE, leaf)));
  await until(
    () => broker.isUp(),
    10_000,
    () => "a connection",
  );
  const json = (value: object) => new TextEncoder().encode(JSON.stringify(value));
  const soon = Math.floor(Date.now() / 1000) + 600;
  broker.publish(DEVICE, "grant", GRANT, false);
  broker.publish(DEVICE, "offer", json({ v: 1, validUntilSeconds: soon }), false);
  broker.publish(DEVICE, "payment-required", json({ v: 1, id: "a1" }), false);
  broker.publish(DEVICE, "response", json({ v: 1, id: "a2" }), false);
  await until(
    () => got.size === leaves.length,
    10_000,
    () => `all four, found ${[...got.keys()]}`,
  );
  const [grant, offer, required, response] = leaves.map((leaf) => got.get(leaf)!.properties!);
  expect(grant!.contentType).toBe("application/octet-stream");
  expect(Buffer.from(grant!.correlationData!).toString("hex")).toBe("010203040000000002bc");
  expect(grant!.messageExpiryInterval).toBeGreaterThan(60);
  expect(grant!.messageExpiryInterval).toBeLessThanOrEqual(90);
  expect(offer).toMatchObject({ contentType: "application/json" });
  expect(offer!.messageExpiryInterval).toBeGreaterThan(500);
  expect(required!.responseTopic).toBe(topicOf(DEVICE, "payment"));
  expect([required, response].map((it) => Buffer.from(it!.correlationData!).toString("utf8"))).toEqual([
    "a1",
    "a2",
  ]);
});
