/**
 * Tests whether a broker that others run lets a device read messages to other devices. Payments are safe there,
 * for every message carries its tag; but a reader of grants and offers learns who consumes how much, and when.
 *
 * Promise: "open" only after a message to a device that does not exist arrived at a connection without a right
 * to it; "closed" only after a device's account was refused it, or received its own and not the other's; all
 * else is "not-tested", with what it takes to test it. The test ends within a bound; no device receives it.
 */

import { randomBytes } from "node:crypto";
import type { IClientOptions, MqttClient } from "mqtt";
import { TOPIC_PREFIX, topicOf } from "#protocol/topics";
import type { ProbeAccount } from "../../config/login-files.ts";
import { openProbeClient, type ProbeClient, until } from "./probe-client.ts";

export interface Access {
  readonly kind: "open" | "closed" | "not-tested";
  /** Empty when it is closed. */
  readonly reason: string;
}

interface AccessProbe {
  readonly url: string;
  /** How the gateway itself connects, without its credentials. */
  readonly options: IClientOptions;
  readonly account: ProbeAccount | null;
  /** Publishes as the gateway; resolves with whether the broker took it. */
  publish(topic: string, payload: Buffer): Promise<boolean>;
}

/** What one connection received by one subscription. */
type Found =
  | { readonly kind: "received" }
  | { readonly kind: "refused"; readonly reason: string }
  /** The message on its own topic, and not the other's. */
  | { readonly kind: "kept-apart" }
  | { readonly kind: "silent" };

interface Reader {
  /** For the log. */
  readonly who: string;
  readonly url: string;
  readonly options: IClientOptions;
  /** The device whose topic it may read; null: none. */
  readonly device: string | null;
}

/** Longest from a message to its arrival. */
const ARRIVAL_MS = 2_000;
/** A broker that delivers in another order does so soon after. */
const LATE_MS = 250;
const SUBSCRIBE_MS = 5_000;
const SUBSCRIPTION_REFUSED = 128;

const OPEN_ENOUGH = "name an account of a device in broker.probe";

export async function probeAccess(probe: AccessProbe): Promise<Access> {
  const other = randomBytes(20).toString("hex");
  const filters = [`${TOPIC_PREFIX}+/grant`, topicOf(other, "grant")];
  for (const reader of strangersOf(probe, other)) {
    for (const filter of filters) {
      const found = await read(probe, reader, filter, other);
      if (found.kind === "received") return open(reader, filter);
    }
  }
  if (probe.account === null) {
    return {
      kind: "not-tested",
      reason: `a connection without a valid login receives nothing; to test what a device may read, ${OPEN_ENOUGH}`,
    };
  }
  return readAsDevice(probe, probe.account, filters, other);
}

async function readAsDevice(
  probe: AccessProbe,
  { url, login, device }: ProbeAccount,
  filters: readonly string[],
  other: string,
): Promise<Access> {
  const options = { ...probe.options, ...login, clientId: device };
  const reader: Reader = { who: "the account in broker.probe", url, options, device };
  for (const filter of filters) {
    const found = await read(probe, reader, filter, other);
    if (found.kind === "received") return open(reader, filter);
    if (found.kind === "silent") {
      return {
        kind: "not-tested",
        reason: `${reader.who} received nothing, not even the messages to ${device}`,
      };
    }
    if (found.kind === "refused") return { kind: "not-tested", reason: `${reader.who}: ${found.reason}` };
  }
  return { kind: "closed", reason: "" };
}

/** One without a login, and one with an invented login. */
function strangersOf({ url, options, account }: AccessProbe, other: string): readonly Reader[] {
  const at = withoutLogin(account?.url ?? url);
  const clientId = `watt402-probe-${randomBytes(6).toString("hex")}`;
  const invented = { username: other, password: randomBytes(16).toString("hex"), clientId: other };
  return [
    { who: "anybody without a login", url: at, options: { ...options, clientId }, device: null },
    { who: "anybody with an invented login", url: at, options: { ...options, ...invented }, device: null },
  ];
}

function withoutLogin(url: string): string {
  const bare = new URL(url);
  bare.username = "";
  bare.password = "";
  return bare.href;
}

function open({ who }: Reader, filter: string): Access {
  return { kind: "open", reason: `${who} receives messages to another device by ${filter}` };
}

/** Subscribes as the reader, publishes to the other device, and looks what is received. */
async function read(probe: AccessProbe, reader: Reader, filter: string, other: string): Promise<Found> {
  let opened: ProbeClient;
  try {
    opened = await openProbeClient(reader.url, reader.options);
  } catch (error) {
    return { kind: "refused", reason: (error as Error).message };
  }
  const { client } = opened;
  const message = randomBytes(16);
  const received = new Set<string>();
  client.on("message", (topic, payload) => {
    if (payload.equals(message)) received.add(topic);
  });
  const own = reader.device === null ? null : topicOf(reader.device, "grant");
  try {
    if (own !== null && !(await isGranted(client, own))) {
      return { kind: "refused", reason: `the broker refuses it ${own}, its own topic` };
    }
    if (!(await isGranted(client, filter))) return { kind: "kept-apart" };
    if (!(await probe.publish(topicOf(other, "grant"), message))) {
      return { kind: "refused", reason: "the gateway itself may not publish to devices" };
    }
    if (own !== null) await probe.publish(own, message);
    const isReceived = () => received.has(topicOf(other, "grant"));
    const isOwnReceived = () => own !== null && received.has(own);
    await until(() => isReceived() || isOwnReceived(), ARRIVAL_MS);
    if (await until(isReceived, isOwnReceived() ? LATE_MS : 0)) return { kind: "received" };
    return { kind: isOwnReceived() ? "kept-apart" : "silent" };
  } finally {
    client.end(true);
  }
}

/** A broker that ends the connection over a subscription refuses it, too. */
async function isGranted(client: MqttClient, filter: string): Promise<boolean> {
  let answer: boolean | null = null;
  client.subscribe(filter, { qos: 1 }, (error, granted = []) => {
    answer = error === null && granted.every(({ qos }) => qos < SUBSCRIPTION_REFUSED);
  });
  await until(() => answer !== null || !client.connected, SUBSCRIBE_MS);
  return answer === true;
}
