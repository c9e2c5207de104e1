/**
 * A broker that somebody else runs: mqtt.js over MQTT 5, or 3.1.1 where the broker refuses it, TCP or TLS.
 *
 * Promise: only up leaves of well-formed topics come through; while the broker is away nothing is queued
 * here, because every device presents its rung again; connecting is tried for ever, whatever the refusal.
 * Sessions are clean and end with their connection: a broker that kept a gateway's messages would bring
 * it payments that their devices have repeated long since. For the same reason no will is set, and none
 * of the devices' wills is delayed: a clean start ends the delay at once (MQTT 5 section 3.1.3.2.2).
 */

import type { Socket } from "node:net";
import mqtt, { type IClientOptions } from "mqtt";
import { detach } from "#core/detach";
import { LEAVES, type Leaf, readTopic, TOPIC_PREFIX, topicOf } from "#protocol/topics";
import { type FileWatch, watchFiles } from "../../../device/node/config/file-watch.ts";
import type { Delivery } from "../../cluster/membership.ts";
import {
  filesOf,
  type Login,
  type LoginFiles,
  type ProbeAccount,
  readLogin,
} from "../../config/login-files.ts";
import type { Logger } from "../../purchase/ports.ts";
import type { Broker } from "../broker.ts";
import { type Access, probeAccess } from "./access-probe.ts";
import { fallBackOn } from "./protocol-version.ts";
import { publishPropertiesOf } from "./publish-properties.ts";
import { probeSharedSubscriptions } from "./shared-subscription-probe.ts";

export interface ExternalOptions {
  readonly url: string;
  /** "auto": 5, and 3.1.1 (which is 4) when that is refused. */
  readonly version: "auto" | 4 | 5;
  /** Read again when they change, for the next connection. */
  readonly login: LoginFiles;
  /** A device's account, to test what the broker lets devices read; null: strangers alone are tested. */
  readonly probe: ProbeAccount | null;
  /** Unique at the broker. */
  readonly clientId: string;
  /** Messages the broker may send before they are acknowledged, 1..65,535: MQTT 5's back-pressure. */
  readonly receiveMaximum: number;
  /** Several gateways in a group, and this one's name among them; null: this one hears everything. */
  readonly share: { readonly group: string; readonly member: string } | null;
  readonly note: Logger;
}

/** A message of a device; handed over: another member of the group heard it. */
export type ReceiveShared = (device: string, leaf: Leaf, payload: Uint8Array, isHandedOver: boolean) => void;

export interface ExternalBroker extends Broker {
  /** How messages come to the members of a group; null while the broker is away, or has not shown it yet. */
  delivery(): Delivery | null;
  /** Asks for messages that way, again for what is retained; null: for none. */
  hear(delivery: Delivery | null): void;
  /** Passes on to another member what a shared subscription brought here. */
  handOver(member: string, device: string, leaf: Leaf, payload: Uint8Array): void;
  /** Whether the broker lets a device read what others are told, as it was tested last. */
  access(): Access;
  /** Reads the files of its login again, for the next connection. */
  reread(): void;
}

const RECONNECT_MS = 1_000;
const CONNECT_TIMEOUT_MS = 10_000;

/** Broker and gateway miss each other after one and a half of it. */
const KEEPALIVE_SECONDS = 5;

/** Publishes that the broker has not acknowledged; more are dropped, their devices ask again. */
const IN_FLIGHT_MAX = 10_000;

/** A broker that showed no shared subscriptions is tested again after this. */
const RETEST_MS = 60_000;

/** What a broker lets devices read is tested on a new connection, but no more often. */
const ACCESS_EVERY_MS = 3_600_000;

/** MQTT 3.1.1 section 3.9.3; MQTT 5 has only higher ones. */
const SUBSCRIPTION_REFUSED = 128;

/** What gateways say to each other; no device's topic is like it. */
export const MEMBERS_FOLDER = `${TOPIC_PREFIX}gateway/`;

const UP_LEAVES = (Object.keys(LEAVES) as Leaf[]).filter((leaf) => LEAVES[leaf].direction === "up");
const everyDevice = (leaf: Leaf) => `${TOPIC_PREFIX}+/${leaf}`;

export async function openExternalBroker(
  options: ExternalOptions,
  receive: ReceiveShared,
): Promise<ExternalBroker> {
  const { url, note, share } = options;
  const login = readLogin("broker", options.login);
  const settings = settingsOf(options);
  const inbox = share === null ? null : `${MEMBERS_FOLDER}${share.member}/`;
  const properties = { receiveMaximum: options.receiveMaximum, sessionExpiryInterval: 0 };
  const client = mqtt.connect(url, {
    ...settings,
    ...login,
    ...(settings.protocolVersion === 5 ? { properties } : {}),
  });
  if (options.version === "auto")
    fallBackOn(client, (reason) => note("info", "another version of MQTT is tried", { url, reason }));
  let lastError = "";
  let inFlight = 0;
  let hearing: Delivery | null = share === null ? "whole" : null;
  let found: Delivery | null = null;
  let retest: NodeJS.Timeout | undefined;
  let subscribed: readonly string[] = [];
  let access: Access = { kind: "not-tested", reason: "the broker was not reached yet" };
  let accessAtMs = Number.NEGATIVE_INFINITY;

  function filtersOf(delivery: Delivery | null): readonly string[] {
    if (delivery === null) return [];
    if (delivery === "whole" || share === null) return UP_LEAVES.map(everyDevice);
    const shared = UP_LEAVES.filter((leaf) => leaf !== "state").map(
      (leaf) => `$share/${share.group}/${everyDevice(leaf)}`,
    );
    // States are few, retained, and a shared subscription brings nothing retained: everyone hears them.
    return [...shared, everyDevice("state"), `${inbox}+/+`];
  }

  /** @param done told when the broker has granted everything */
  function subscribe(done: () => void): void {
    const filters = filtersOf(hearing);
    const past = subscribed.filter((filter) => !filters.includes(filter));
    subscribed = filters;
    if (past.length > 0) client.unsubscribe([...past], () => {});
    if (filters.length === 0) {
      done();
      return;
    }
    client.subscribe([...filters], { qos: 1 }, (error, granted = []) => {
      // The connection ended first; the next one asks again.
      if (!client.connected) return;
      const refused = granted.filter(({ qos }) => qos >= SUBSCRIPTION_REFUSED);
      if (error === null && refused.length === 0) {
        done();
        return;
      }
      const codes = refused.map(({ topic, qos }) => `${topic} (reason code ${qos})`).join(", ");
      const reason = codes === "" ? (error?.message ?? "") : `refused ${codes}`;
      note("warn", "the broker refuses subscriptions: devices are not heard", { url, reason });
      client.stream.destroy();
    });
  }

  /** On every connection: another broker may have taken the place of the one before. */
  async function findDelivery(): Promise<void> {
    if (share === null) return;
    const tested = client.stream;
    const isOver = () => !client.connected || client.stream !== tested;
    const { isShared, reason } = await probeSharedSubscriptions(
      url,
      { ...client.options },
      `${MEMBERS_FOLDER}${share.member}`,
    );
    // A broker that went away in the middle has shown nothing.
    if (isOver()) return;
    found = isShared ? "shared" : "whole";
    if (isShared) note("info", "the broker shares subscriptions: gateways share the fleet", { url });
    else {
      note("warn", "the broker does not share subscriptions: one gateway is active, others stand by", {
        url,
        reason,
      });
      // A broker that is very busy may have been too late.
      retest = setTimeout(() => {
        if (!isOver()) detach(findDelivery(), probeFailed);
      }, RETEST_MS);
    }
  }

  /** On a new connection, as another broker may have taken the place of the one before. */
  async function findAccess(): Promise<void> {
    if (performance.now() - accessAtMs < ACCESS_EVERY_MS) return;
    accessAtMs = performance.now();
    const tested = client.stream;
    const { protocolVersion } = client.options;
    const found = await probeAccess({
      url,
      options: { ...settings, protocolVersion: protocolVersion ?? 4, ...(login.ca ? { ca: login.ca } : {}) },
      account: options.probe,
      tell: (topic, payload) =>
        client.publishAsync(topic, payload, { qos: 1 }).then(
          () => true,
          () => false,
        ),
    });
    if (!client.connected || client.stream !== tested) {
      accessAtMs = Number.NEGATIVE_INFINITY;
      return;
    }
    if (found.kind === access.kind && found.reason === access.reason) return;
    access = found;
    note(found.kind === "open" ? "warn" : "info", ACCESS_TEXTS[found.kind], { url, reason: found.reason });
  }

  function probeFailed(error: unknown): void {
    note("warn", "a test of the broker failed", { url, reason: String(error).slice(0, 200) });
  }

  client.on("connect", () => {
    lastError = "";
    // mqtt.js leaves Nagle on; an answer 2 ms after its PUBACK would wait 40 ms for the other side's ACK.
    (client.stream as unknown as Partial<Socket>).setNoDelay?.(true);
    subscribed = [];
    found = null;
    clearTimeout(retest);
    subscribe(() =>
      note("info", "connected to the broker", { url, version: client.options.protocolVersion }),
    );
    detach(findDelivery(), probeFailed);
    detach(findAccess(), probeFailed);
  });
  client.on("error", (error) => {
    if (error.message === lastError) return;
    lastError = error.message;
    note("warn", "broker error", { url, reason: error.message || String((error as { code?: string }).code) });
  });
  client.on("disconnect", ({ reasonCode, properties }) => {
    const reason = `reason code ${reasonCode} ${properties?.reasonString ?? ""}`.trim();
    note("warn", "the broker ended the connection", { url, reason });
  });
  client.on("message", (topic, payload) => {
    const isHandedOver = inbox !== null && topic.startsWith(inbox);
    const read = readTopic(isHandedOver ? `${TOPIC_PREFIX}${topic.slice(inbox.length)}` : topic);
    if (read === null || LEAVES[read.leaf].direction !== "up") return;
    if (payload.length > LEAVES[read.leaf].bytesMax) return;
    receive(read.device, read.leaf, payload, isHandedOver);
  });

  const files = filesOf(options.login);
  const watch: FileWatch | null =
    files.length === 0
      ? null
      : watchFiles("the login at the broker", files, () => renew(readLogin("broker", options.login)), note);

  function renew(read: Login): void {
    Object.assign(login, read);
    // mqtt.js keeps its first certificate for a WebSocket there.
    Object.assign(client.options, read, { wsOptions: {} });
  }

  return {
    url,
    publish(device, leaf, payload, retained) {
      if (!client.connected) return;
      if (inFlight >= IN_FLIGHT_MAX) {
        note("warn", "the broker acknowledges too slowly: an answer was dropped", { url, inFlight });
        return;
      }
      const isFive = client.options.protocolVersion === 5;
      const properties = isFive ? publishPropertiesOf(leaf, device, payload, Date.now() / 1000) : undefined;
      inFlight += 1;
      const publishing = { qos: 1, retain: retained, ...(properties ? { properties } : {}) } as const;
      client.publish(topicOf(device, leaf), Buffer.from(payload), publishing, (error) => {
        inFlight -= 1;
        // MQTT 5 tells why in the PUBACK; 3.1.1 ends the connection instead.
        if (error) note("warn", "the broker refuses an answer", { url, leaf, reason: error.message });
      });
    },
    isUp: () => client.connected,
    delivery: () => (client.connected ? found : null),
    hear(delivery) {
      hearing = delivery;
      if (client.connected) subscribe(() => {});
    },
    handOver(member, device, leaf, payload) {
      if (!client.connected || hearing !== "shared" || leaf === "state") return;
      client.publish(`${MEMBERS_FOLDER}${member}/${device}/${leaf}`, Buffer.from(payload), { qos: 0 });
    },
    retain(topic, text) {
      client.publish(topic, text, { qos: 1, retain: true });
    },
    access: () => access,
    reread: () => watch?.now(),
    async close() {
      watch?.stop();
      clearTimeout(retest);
      await client.endAsync(!client.connected);
    },
  };
}

const ACCESS_TEXTS: Readonly<Record<Access["kind"], string>> = {
  open: "the broker lets anybody read what devices are told",
  closed: "the broker keeps devices to their own topics",
  "not-tested": "what the broker lets devices read was not tested",
};

/** How every connection is made, without what proves the gateway. */
function settingsOf({ version, clientId }: ExternalOptions): IClientOptions {
  return {
    protocolVersion: version === 4 ? 4 : 5,
    clientId,
    clean: true,
    keepalive: KEEPALIVE_SECONDS,
    reconnectPeriod: RECONNECT_MS,
    // A broker that refuses today may be short of something: mqtt.js would never ask it again.
    reconnectOnConnackError: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    queueQoSZero: false,
    // Below, on every connection: one that ends before its SUBACK would leave the gateway deaf for ever.
    resubscribe: false,
  };
}
