/**
 * A broker that others run: mqtt.js over MQTT 5, or 3.1.1 where the broker refuses it, TCP or TLS.
 *
 * Promise: only up leaves of well-formed topics are received; while the broker is away nothing is queued
 * here, because every device presents its rung again; the client reconnects for ever, after any refusal.
 * Sessions are clean and end with their connection: a broker that kept a gateway's messages would bring
 * it payments that their devices have repeated long since. For the same reason no will is set, and none
 * of the devices' wills is delayed: a clean start ends the delay at once (MQTT 5 section 3.1.3.2.2).
 */

import type { Socket } from "node:net";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
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
  /** A device's account, to test what the broker lets devices read; null: only connections without a valid login are tested. */
  readonly probe: ProbeAccount | null;
  /** Unique at the broker. */
  readonly clientId: string;
  /** Messages the broker may send before they are acknowledged, 1..65,535: MQTT 5's back-pressure. */
  readonly receiveMaximum: number;
  /** Several gateways in a group, and this one's name among them; null: this one receives everything. */
  readonly share: { readonly group: string; readonly member: string } | null;
  readonly note: Logger;
}

/** A message of a device; handed over: another member of the group received it. */
export type ReceiveShared = (device: string, leaf: Leaf, payload: Uint8Array, isHandedOver: boolean) => void;

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

/** Topics between gateways; no device's topic begins like it. */
export const MEMBERS_FOLDER = `${TOPIC_PREFIX}gateway/`;

/** Prices ahead, retained, one topic for each seller; likewise. */
export const PRICES_FOLDER = `${TOPIC_PREFIX}prices/`;

const UP_LEAVES = (Object.keys(LEAVES) as Leaf[]).filter((leaf) => LEAVES[leaf].direction === "up");
const everyDevice = (leaf: Leaf) => `${TOPIC_PREFIX}+/${leaf}`;

/** Rejects only when the files of the login cannot be read. */
export async function openExternalBroker(
  options: ExternalOptions,
  receive: ReceiveShared,
): Promise<ExternalBroker> {
  return new ExternalBroker(options, receive);
}

export class ExternalBroker implements Broker {
  readonly url: string;
  readonly #options: ExternalOptions;
  readonly #receive: ReceiveShared;
  readonly #note: Logger;
  readonly #settings: IClientOptions;
  readonly #login: Login;
  readonly #client: MqttClient;
  readonly #watch: FileWatch | null;
  /** Topics below it are for this member; null without a group. */
  readonly #inbox: string | null;
  #lastError = "";
  #inFlight = 0;
  /** The way in which messages are wanted. */
  #wanted: Delivery | null;
  #filters: readonly string[] = [];
  #delivery: Delivery | null = null;
  #retest: NodeJS.Timeout | undefined;
  #access: Access = { kind: "not-tested", reason: "the broker was not reached yet" };
  #accessAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: ExternalOptions, receive: ReceiveShared) {
    const { url, share, note } = options;
    this.url = url;
    this.#options = options;
    this.#receive = receive;
    this.#note = note;
    this.#inbox = share && `${MEMBERS_FOLDER}${share.member}/`;
    this.#wanted = share === null ? "whole" : null;
    this.#settings = settingsOf(options);
    this.#login = readLogin("broker", options.login);
    const properties = { receiveMaximum: options.receiveMaximum, sessionExpiryInterval: 0 };
    this.#client = mqtt.connect(url, {
      ...this.#settings,
      ...this.#login,
      ...(this.#settings.protocolVersion === 5 ? { properties } : {}),
    });
    if (options.version === "auto") {
      fallBackOn(this.#client, (reason) => note("info", "another version of MQTT is tried", { url, reason }));
    }
    this.#listen();
    const files = filesOf(options.login);
    this.#watch =
      files.length === 0
        ? null
        : watchFiles("the login at the broker", files, () => this.#renewLogin(), note);
  }

  publish(device: string, leaf: Leaf, payload: Uint8Array, retain: boolean): void {
    const { url } = this;
    // While it is away or being left nothing is queued: devices present again what got no answer.
    if (!this.#client.connected || this.#client.disconnecting) return;
    if (this.#inFlight >= IN_FLIGHT_MAX) {
      const inFlight = this.#inFlight;
      this.#note("warn", "the broker acknowledges too slowly: an answer was dropped", { url, inFlight });
      return;
    }
    const isFive = this.#client.options.protocolVersion === 5;
    const properties = isFive ? publishPropertiesOf(leaf, device, payload, Date.now() / 1000) : undefined;
    this.#inFlight += 1;
    const publishing = { qos: 1, retain, ...(properties ? { properties } : {}) } as const;
    this.#client.publish(topicOf(device, leaf), Buffer.from(payload), publishing, (error) => {
      this.#inFlight -= 1;
      // MQTT 5 names the reason in the PUBACK; 3.1.1 ends the connection instead.
      if (error) this.#note("warn", "the broker refuses an answer", { url, leaf, reason: error.message });
    });
  }

  retain(topic: string, text: string): void {
    this.#client.publish(topic, text, { qos: 1, retain: true });
  }

  isUp(): boolean {
    return this.#client.connected;
  }

  /** How messages come to the members of a group; null while the broker is away, or has not shown it yet. */
  delivery(): Delivery | null {
    return this.#client.connected ? this.#delivery : null;
  }

  /** Subscribes to messages that way, again for what is retained; null: to none. */
  subscribe(delivery: Delivery | null): void {
    this.#wanted = delivery;
    if (this.#client.connected) this.#subscribe(() => {});
  }

  /** Passes on to another member what a shared subscription brought here. */
  handOver(member: string, device: string, leaf: Leaf, payload: Uint8Array): void {
    if (!this.#client.connected || this.#wanted !== "shared" || leaf === "state") return;
    this.#client.publish(`${MEMBERS_FOLDER}${member}/${device}/${leaf}`, Buffer.from(payload), { qos: 0 });
  }

  /** Whether the broker lets a device read what is sent to others, by the last test. */
  access(): Access {
    return this.#access;
  }

  /** Reads the files of its login again, for the next connection. */
  reload(): void {
    this.#watch?.now();
  }

  async close(): Promise<void> {
    this.#watch?.stop();
    clearTimeout(this.#retest);
    await this.#client.endAsync(!this.#client.connected);
  }

  #listen(): void {
    const { url } = this;
    const note = this.#note;
    this.#client.on("connect", () => this.#connected());
    this.#client.on("error", (error) => {
      if (error.message === this.#lastError) return;
      this.#lastError = error.message;
      const reason = error.message || String((error as { code?: string }).code);
      note("warn", "broker error", { url, reason });
    });
    this.#client.on("disconnect", ({ reasonCode, properties }) => {
      const reason = `reason code ${reasonCode} ${properties?.reasonString ?? ""}`.trim();
      note("warn", "the broker ended the connection", { url, reason });
    });
    this.#client.on("message", (topic, payload) => this.#take(topic, payload));
  }

  #connected(): void {
    const { url } = this;
    this.#lastError = "";
    // mqtt.js leaves Nagle on; an answer 2 ms after its PUBACK would wait 40 ms for the other side's ACK.
    (this.#client.stream as unknown as Partial<Socket>).setNoDelay?.(true);
    this.#filters = [];
    this.#delivery = null;
    clearTimeout(this.#retest);
    this.#subscribe(() => {
      const version = this.#client.options.protocolVersion;
      this.#note("info", "connected to the broker", { url, version });
    });
    // On every connection: another broker may have taken the place of the one before.
    this.#test(this.#findDelivery());
    this.#test(this.#findAccess());
  }

  #take(topic: string, payload: Buffer): void {
    const inbox = this.#inbox;
    const isHandedOver = inbox !== null && topic.startsWith(inbox);
    const read = readTopic(isHandedOver ? `${TOPIC_PREFIX}${topic.slice(inbox.length)}` : topic);
    if (read === null || LEAVES[read.leaf].direction !== "up") return;
    if (payload.length > LEAVES[read.leaf].bytesMax) return;
    this.#receive(read.device, read.leaf, payload, isHandedOver);
  }

  #filtersOf(delivery: Delivery | null): readonly string[] {
    const { share } = this.#options;
    if (delivery === null) return [];
    if (delivery === "whole" || share === null) return UP_LEAVES.map(everyDevice);
    const shared = UP_LEAVES.filter((leaf) => leaf !== "state").map(
      (leaf) => `$share/${share.group}/${everyDevice(leaf)}`,
    );
    // States are few and retained, and a shared subscription brings nothing retained: every member reads them.
    return [...shared, everyDevice("state"), `${this.#inbox}+/+`];
  }

  /** @param done called when the broker has granted everything */
  #subscribe(done: () => void): void {
    const client = this.#client;
    const filters = this.#filtersOf(this.#wanted);
    const past = this.#filters.filter((filter) => !filters.includes(filter));
    this.#filters = filters;
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
      const { url } = this;
      this.#note("warn", "the broker refuses subscriptions: devices are not heard", { url, reason });
      client.stream.destroy();
    });
  }

  async #findDelivery(): Promise<void> {
    const { url } = this;
    const { share } = this.#options;
    if (share === null) return;
    const isSame = this.#connectionCheck();
    const { isShared, reason } = await probeSharedSubscriptions(
      url,
      { ...this.#client.options },
      `${MEMBERS_FOLDER}${share.member}`,
    );
    // A broker that went away in the middle has shown nothing.
    if (!isSame()) return;
    this.#delivery = isShared ? "shared" : "whole";
    if (isShared) {
      this.#note("info", "the broker shares subscriptions: gateways share the fleet", { url });
      return;
    }
    this.#note("warn", "the broker does not share subscriptions: one gateway is active, others stand by", {
      url,
      reason,
    });
    // A broker that is very busy may have been too late.
    this.#retest = setTimeout(() => {
      if (isSame()) this.#test(this.#findDelivery());
    }, RETEST_MS);
  }

  async #findAccess(): Promise<void> {
    const { url } = this;
    if (performance.now() - this.#accessAtMs < ACCESS_EVERY_MS) return;
    this.#accessAtMs = performance.now();
    const isSame = this.#connectionCheck();
    const { ca } = this.#login;
    const protocolVersion = this.#client.options.protocolVersion ?? 4;
    const found = await probeAccess({
      url,
      options: { ...this.#settings, protocolVersion, ...(ca ? { ca } : {}) },
      account: this.#options.probe,
      publish: (topic, payload) =>
        this.#client.publishAsync(topic, payload, { qos: 1 }).then(
          () => true,
          () => false,
        ),
    });
    if (!isSame()) {
      this.#accessAtMs = Number.NEGATIVE_INFINITY;
      return;
    }
    if (found.kind === this.#access.kind && found.reason === this.#access.reason) return;
    this.#access = found;
    const level = found.kind === "open" ? "warn" : "info";
    this.#note(level, ACCESS_TEXTS[found.kind], { url, reason: found.reason });
  }

  /** @returns whether the connection of now is still the client's connection */
  #connectionCheck(): () => boolean {
    const { stream } = this.#client;
    return () => this.#client.connected && this.#client.stream === stream;
  }

  #test(testing: Promise<void>): void {
    const { url } = this;
    detach(testing, (error) =>
      this.#note("warn", "a test of the broker failed", { url, reason: String(error).slice(0, 200) }),
    );
  }

  #renewLogin(): void {
    const read = readLogin("broker", this.#options.login);
    Object.assign(this.#login, read);
    // mqtt.js keeps its first certificate for a WebSocket there.
    Object.assign(this.#client.options, read, { wsOptions: {} });
  }
}

const ACCESS_TEXTS: Readonly<Record<Access["kind"], string>> = {
  open: "the broker lets anybody read messages to devices",
  closed: "the broker keeps devices to their own topics",
  "not-tested": "what the broker lets devices read was not tested",
};

/** Options of every connection, without credentials. */
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
    // The class subscribes on every connection: mqtt.js would not again after one that ended before its SUBACK.
    resubscribe: false,
  };
}
