/**
 * The Link port over MQTT 3.1.1 or 5.
 *
 * Promise: every connection is new: a fresh login token (or the broker's own password), a clean session, the last will set, nothing of
 * the one before sent again, for the machine regenerates what matters. While offline only the newest
 * retained state is kept; everything else is refused, nothing grows. It connects once its changes
 * are listened to, so none is missed, and goes on trying with back-off until closed.
 */

import { type IClientPublishOptions, MqttClient } from "mqtt";
import type { Clock, Random } from "#core/ports";
import { nextAttemptMs, type Retry } from "#core/rungs";
import { addressOf, type Key } from "#payment/key";
import { loginToken } from "#payment/login";
import type { LostMessage } from "#protocol/messages";
import { isLeaf, LEAVES, type Leaf, readTopic, topicOf } from "#protocol/topics";
import { type BrokerAddress, openBrokerStream, readBrokerUrl, type TlsFiles } from "./broker-socket.ts";
import { within } from "./deadline.ts";
import type { HostLink } from "./host-parts.ts";

export interface MqttLinkOptions {
  /** mqtt://, mqtts://, ws:// or wss:// */
  readonly brokerUrl: string;
  readonly tls?: TlsFiles;
  /** 4 is MQTT 3.1.1. */
  readonly protocolVersion: 4 | 5;
  /** The device's key: its address names the device, its signature logs in. */
  readonly key: Key;
  /** Compressed, 33 bytes: whom the login is for. */
  readonly gatewayPublicKey: Uint8Array;
  /** Instead of the signed login, for a broker that knows devices by passwords, or by certificates alone. */
  readonly login?: PasswordLogin | "certificate";
  /** 1..65535; the broker publishes the will after one and a half of it in silence. */
  readonly keepaliveSeconds: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Waiting between two attempts to connect; RECONNECT when absent. */
  readonly reconnect?: Retry;
  /** Called with one line: why there is no connection, or why something was refused. */
  readonly onTrouble: (text: string) => void;
}

export interface PasswordLogin {
  /** The device's name when null. */
  readonly username: string | null;
  readonly password: string;
}

interface MqttLinkCounters {
  connections: number;
  /** Not sent: offline, too many unacknowledged, or too large. */
  refused: number;
  /** Received and dropped: another topic than ours, or the wrong direction. */
  ignored: number;
  /** Received and dropped: longer than its leaf allows. */
  oversize: number;
}

export interface MqttLink extends HostLink {
  readonly counters: Readonly<MqttLinkCounters>;
}

export const RECONNECT: Retry = { firstMs: 1000, maxMs: 60_000 };

/** A connection that held this long was a good one: back-off begins anew after it. */
const STABLE_MS = 30_000;

/** Publishes the broker has not acknowledged. */
const IN_FLIGHT_MAX = 32;

/** Bytes received without a whole packet among them: no leaf's largest comes near. */
const PACKET_BYTES_MAX = 262_144;

const CONNECT_MS = 10_000;

/** Longest goodbye: acknowledgements outstanding, then DISCONNECT. */
const CLOSE_MS = 2000;

const LOST: LostMessage = { v: 1, status: "lost" };

const LOGIN_REFUSALS: readonly number[] = [4, 5, 134, 135];

/** Throws on a broker URL it cannot read; every later trouble goes to `onTrouble`. */
export function openMqttLink(options: MqttLinkOptions): MqttLink {
  return new BrokerLink(options);
}

class BrokerLink implements MqttLink {
  readonly counters: MqttLinkCounters = { connections: 0, refused: 0, ignored: 0, oversize: 0 };
  readonly #options: MqttLinkOptions;
  readonly #address: BrokerAddress;
  /** 40 lower-case hex digits. */
  readonly #device: string;
  #client: MqttClient | null = null;
  #up = false;
  #upAtMs = 0;
  #attempts = 0;
  #inFlight = 0;
  #keptState: Uint8Array | null = null;
  #cancelAttempt: (() => void) | null = null;
  #closing: Promise<void> | null = null;
  #closed = false;
  #takeMessage: (leaf: string, payload: Uint8Array) => void = () => {};
  #takeChange: ((up: boolean) => void) | null = null;

  constructor(options: MqttLinkOptions) {
    this.#options = options;
    this.#address = readBrokerUrl(options.brokerUrl);
    this.#device = options.key.address.slice(2);
  }

  onMessage(take: (leaf: string, payload: Uint8Array) => void): void {
    this.#takeMessage = take;
  }

  onChange(take: (up: boolean) => void): void {
    const first = this.#takeChange === null;
    this.#takeChange = take;
    if (this.#up) take(true);
    if (first && !this.#closed) this.#connect();
  }

  publish(leaf: string, payload: Uint8Array, retained: boolean): void {
    if (!isLeaf(leaf) || LEAVES[leaf].direction !== "up" || payload.length > LEAVES[leaf].bytesMax) {
      this.counters.refused++;
      this.#options.onTrouble(
        `${leaf}: expected a leaf that goes up and fits it, found ${payload.length} bytes`,
      );
      return;
    }
    if (!this.#up && leaf === "state" && retained) this.#keptState = payload;
    else if (!this.#up || this.#inFlight >= IN_FLIGHT_MAX) this.counters.refused++;
    else this.#send(leaf, payload, retained);
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  // ---- one connection ----

  #connect(): void {
    const { protocolVersion } = this.#options;
    const login = this.#login();
    if (login === null) {
      this.#options.onTrouble(
        "login: expected a wall clock that is set, found none to trust; waiting for it",
      );
      this.#tryLater();
      return;
    }
    let trouble: string | null = null;
    let unframed = 0;
    const open = () => {
      const socket = openBrokerStream(this.#address, this.#options.tls ?? {});
      socket.on("error", (error) => {
        trouble ??= this.#explain(error);
      });
      socket.on("data", (chunk: Buffer) => {
        unframed += chunk.length;
        if (unframed > PACKET_BYTES_MAX)
          socket.destroy(new Error(`a packet above ${PACKET_BYTES_MAX} bytes`));
      });
      return socket;
    };
    const client = new MqttClient(open, {
      protocolId: "MQTT",
      protocolVersion,
      clientId: this.#device,
      clean: true,
      keepalive: this.#options.keepaliveSeconds,
      ...login,
      will: {
        topic: topicOf(this.#device, "state"),
        payload: Buffer.from(JSON.stringify(LOST)),
        qos: 1,
        retain: LEAVES.state.retained,
      },
      connectTimeout: CONNECT_MS,
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
      ...(protocolVersion === 5 ? { properties: { maximumPacketSize: PACKET_BYTES_MAX } } : {}),
    });
    this.#client = client;
    this.#inFlight = 0;
    client.on("packetreceive", () => {
      unframed = 0;
    });
    client.on("error", (error) => {
      trouble ??= this.#explain(error);
    });
    client.on("connect", () => {
      client.subscribe(this.#downTopics(), { qos: 1 }, (error) => {
        if (error) {
          trouble ??= `broker ${this.#options.brokerUrl} refused a subscription: ${error.message}`;
          client.end(true);
        } else if (this.#client === client && !this.#closed) this.#opened();
      });
    });
    client.on("message", (topic, payload) => this.#receive(topic, payload));
    client.on("close", () => {
      if (this.#client === client) this.#lost(trouble);
    });
  }

  /** Null while the clock that a signed login needs is not set. */
  #login(): { readonly username?: string; readonly password?: string } | null {
    const { key, gatewayPublicKey, clock, login } = this.#options;
    // Who says a user name is asked for its password by some brokers, whatever its certificate says.
    if (login === "certificate") return {};
    const username = login?.username ?? this.#device;
    if (login !== undefined) return { username, password: login.password };
    const wallSeconds = clock.wallSeconds();
    if (wallSeconds === null) return null;
    return { username, password: loginToken(key, addressOf(gatewayPublicKey), wallSeconds) };
  }

  #downTopics(): string[] {
    const down = (Object.keys(LEAVES) as Leaf[]).filter((leaf) => LEAVES[leaf].direction === "down");
    return down.map((leaf) => topicOf(this.#device, leaf));
  }

  #opened(): void {
    this.#up = true;
    this.#upAtMs = this.#options.clock.nowMs();
    this.counters.connections++;
    if (this.#keptState !== null) this.#send("state", this.#keptState, true);
    this.#keptState = null;
    this.#takeChange?.(true);
  }

  #lost(trouble: string | null): void {
    const wasUp = this.#up;
    this.#client = null;
    this.#up = false;
    if (wasUp && this.#options.clock.nowMs() - this.#upAtMs >= STABLE_MS) this.#attempts = 0;
    if (this.#closed) return;
    this.#options.onTrouble(trouble ?? `broker ${this.#options.brokerUrl} closed the connection`);
    this.#tryLater();
    if (wasUp) this.#takeChange?.(false);
  }

  #tryLater(): void {
    const { clock, random, reconnect } = this.#options;
    this.#attempts++;
    const atMs = nextAttemptMs(reconnect ?? RECONNECT, this.#attempts, clock.nowMs(), random());
    this.#cancelAttempt = clock.at(atMs, () => {
      this.#cancelAttempt = null;
      this.#connect();
    });
  }

  #explain(error: Error): string {
    const { code } = error as { code?: unknown };
    if (typeof code === "number" && LOGIN_REFUSALS.includes(code)) {
      const { brokerUrl, login } = this.#options;
      const mend = login
        ? "check the user name and the password, or the certificate, that the broker knows it by"
        : "check that the gateway admits this device, that its public key is the configured one, and both clocks";
      return `broker ${brokerUrl} refused the login of device 0x${this.#device}: ${mend}`;
    }
    // Node leaves the message of an error over several addresses empty.
    return `broker ${this.#options.brokerUrl}: ${error.message || String(code)}`;
  }

  // ---- messages ----

  #receive(topic: string, payload: Buffer): void {
    const known = readTopic(topic);
    if (known === null || known.device !== this.#device || LEAVES[known.leaf].direction !== "down") {
      this.counters.ignored++;
    } else if (payload.length > LEAVES[known.leaf].bytesMax) this.counters.oversize++;
    else this.#takeMessage(known.leaf, payload);
  }

  #send(leaf: Leaf, payload: Uint8Array, retain: boolean): void {
    const client = this.#client;
    if (client === null) return;
    const options: IClientPublishOptions = { qos: 1, retain };
    if (this.#options.protocolVersion === 5) options.properties = this.#propertiesOf(leaf, payload);
    this.#inFlight++;
    client.publish(topicOf(this.#device, leaf), Buffer.from(payload), options, () => {
      if (this.#client === client) this.#inFlight--;
    });
  }

  /** What MQTT 5 says beside the payload; the payload says it all by itself. */
  #propertiesOf(leaf: Leaf, payload: Uint8Array): NonNullable<IClientPublishOptions["properties"]> {
    if (leaf !== "pay") return { contentType: "application/json" };
    return {
      contentType: "application/octet-stream",
      responseTopic: topicOf(this.#device, "grant"),
      // Channel tag and cumulative amount: what the grant that answers is about.
      correlationData: Buffer.from(payload.slice(2, 12)),
    };
  }

  async #end(): Promise<void> {
    this.#closed = true;
    this.#cancelAttempt?.();
    const client = this.#client;
    if (client === null) return;
    await within(CLOSE_MS, this.#up ? client.endAsync(false) : client.endAsync(true), () => undefined);
    client.end(true);
    this.#client = null;
    this.#up = false;
  }
}
