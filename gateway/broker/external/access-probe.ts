/**
 * Does a broker that others run let a device read what other devices are told? A payment is safe there, for
 * every message carries its tag; but who reads grants and offers knows who burns how much, and when.
 *
 * Promise: "open" only after a message for a device that nobody is arrived at a connection that had no right
 * to it; "closed" only after a device's account was refused it, or heard its own and not the other's; all
 * else is "not-tested", with what it takes to test it. The answer comes within a bound; no device hears of it.
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

export interface AccessProbe {
  readonly url: string;
  /** How the gateway itself connects, without what proves it. */
  readonly options: IClientOptions;
  readonly account: ProbeAccount | null;
  /** Tells a device something as the gateway; resolves with whether the broker took it. */
  tell(topic: string, payload: Buffer): Promise<boolean>;
}

/** How one connection fared with one subscription. */
type Found =
  | { readonly kind: "heard" }
  | { readonly kind: "refused"; readonly reason: string }
  /** Its own message came, the other's did not. */
  | { readonly kind: "kept-apart" }
  | { readonly kind: "silent" };

interface Reader {
  /** For the log: who reads. */
  readonly who: string;
  readonly url: string;
  readonly options: IClientOptions;
  /** Whose topic it may read; null: nobody's. */
  readonly device: string | null;
}

/** Longest from a message to its arrival. */
const ARRIVAL_MS = 2_000;
/** What a broker hands on in another order comes soon after. */
const LATE_MS = 250;
const SUBSCRIBE_MS = 5_000;
const SUBSCRIPTION_REFUSED = 128;

const OPEN_ENOUGH = "name an account of a device in broker.probe";

export async function probeAccess(probe: AccessProbe): Promise<Access> {
  const other = randomBytes(20).toString("hex");
  const filters = [`${TOPIC_PREFIX}+/grant`, topicOf(other, "grant")];
  for (const reader of strangersAt(probe, other)) {
    for (const filter of filters) {
      const found = await read(probe, reader, filter, other);
      if (found.kind === "heard") return open(reader, filter);
    }
  }
  if (probe.account === null) {
    return {
      kind: "not-tested",
      reason: `strangers hear nothing; to test what a device may read, ${OPEN_ENOUGH}`,
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
    if (found.kind === "heard") return open(reader, filter);
    if (found.kind === "silent") {
      return { kind: "not-tested", reason: `${reader.who} heard nothing, not even what was for ${device}` };
    }
    if (found.kind === "refused") return { kind: "not-tested", reason: `${reader.who}: ${found.reason}` };
  }
  return { kind: "closed", reason: "" };
}

/** One without a login, and one with a login that nobody gave it. */
function strangersAt({ url, options, account }: AccessProbe, other: string): readonly Reader[] {
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
  return { kind: "open", reason: `${who} hears by ${filter} what another device is told` };
}

/** Subscribes as the reader, tells the other device something, and looks what comes. */
async function read(probe: AccessProbe, reader: Reader, filter: string, other: string): Promise<Found> {
  let opened: ProbeClient;
  try {
    opened = await openProbeClient(reader.url, reader.options);
  } catch (error) {
    return { kind: "refused", reason: (error as Error).message };
  }
  const { client } = opened;
  const said = randomBytes(16);
  const heard = new Set<string>();
  client.on("message", (topic, payload) => {
    if (payload.equals(said)) heard.add(topic);
  });
  const own = reader.device === null ? null : topicOf(reader.device, "grant");
  try {
    if (own !== null && !(await isGranted(client, own))) {
      return { kind: "refused", reason: `the broker refuses it ${own}, its own topic` };
    }
    if (!(await isGranted(client, filter))) return { kind: "kept-apart" };
    if (!(await probe.tell(topicOf(other, "grant"), said))) {
      return { kind: "refused", reason: "the gateway itself may not tell devices anything" };
    }
    if (own !== null) await probe.tell(own, said);
    const isHeard = () => heard.has(topicOf(other, "grant"));
    const isOwnHeard = () => own !== null && heard.has(own);
    await until(() => isHeard() || isOwnHeard(), ARRIVAL_MS);
    if (await until(isHeard, isOwnHeard() ? LATE_MS : 0)) return { kind: "heard" };
    return { kind: isOwnHeard() ? "kept-apart" : "silent" };
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
