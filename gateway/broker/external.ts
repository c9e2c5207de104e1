/**
 * A broker that somebody else runs: mqtt.js over MQTT 3.1.1 or 5, TCP or TLS.
 *
 * Promise: only up leaves of well-formed topics come through; while the broker is away nothing is queued
 * here, because every device presents its rung again.
 */
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import mqtt from "mqtt";
import { LEAVES, type Leaf, readTopic, TOPIC_PREFIX, topicOf } from "#protocol/topics";
import type { Note } from "../purchase/ports.ts";
import type { Broker, Receive } from "./broker.ts";

export interface ExternalOptions {
  readonly url: string;
  readonly version: 4 | 5;
  readonly username: string | null;
  readonly password: string | null;
  /** PEM file of the authority that signed the broker's certificate. */
  readonly caFile: string | null;
  readonly clientId: string;
  readonly note: Note;
}

const RECONNECT_MS = 1_000;
const CONNECT_TIMEOUT_MS = 10_000;

/** MQTT 3.1.1 section 3.9.3; MQTT 5 has only higher ones. */
const SUBSCRIPTION_REFUSED = 128;

const UP_FILTERS = (Object.keys(LEAVES) as Leaf[])
  .filter((leaf) => LEAVES[leaf].direction === "up")
  .map((leaf) => `${TOPIC_PREFIX}+/${leaf}`);

export async function openExternalBroker(options: ExternalOptions, receive: Receive): Promise<Broker> {
  const { url, note } = options;
  const client = mqtt.connect(url, {
    protocolVersion: options.version,
    clientId: options.clientId,
    clean: true,
    reconnectPeriod: RECONNECT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    queueQoSZero: false,
    // Below, on every connection: one that ends before its SUBACK would leave the gateway deaf for ever.
    resubscribe: false,
    ...(options.username === null ? {} : { username: options.username }),
    ...(options.password === null ? {} : { password: options.password }),
    ...(options.caFile === null ? {} : { ca: readFileSync(options.caFile) }),
  });
  let lastError = "";
  client.on("connect", () => {
    lastError = "";
    // mqtt.js leaves Nagle on; an answer 2 ms after its PUBACK would wait 40 ms for the other side's ACK.
    (client.stream as unknown as Partial<Socket>).setNoDelay?.(true);
    client.subscribe(UP_FILTERS, { qos: 1 }, (error, granted = []) => {
      // The connection ended first; the next one asks again.
      if (!client.connected) return;
      const refused = granted.filter(({ qos }) => qos >= SUBSCRIPTION_REFUSED).map(({ topic }) => topic);
      if (error === null && refused.length === 0) return note("info", "connected to the broker", { url });
      const reason = error?.message ?? `refused ${refused.join(", ")}`;
      note("warn", "the broker refuses subscriptions: devices are not heard", { url, reason });
      client.stream.destroy();
    });
  });
  client.on("error", (error) => {
    if (error.message === lastError) return;
    lastError = error.message;
    note("warn", "broker error", { url, reason: error.message || String((error as { code?: string }).code) });
  });
  client.on("message", (topic, payload) => {
    const read = readTopic(topic);
    if (read === null || LEAVES[read.leaf].direction !== "up") return;
    if (payload.length <= LEAVES[read.leaf].bytesMax) receive(read.device, read.leaf, payload);
  });
  return {
    url,
    publish(device, leaf, payload, retained) {
      if (!client.connected) return;
      client.publish(topicOf(device, leaf), Buffer.from(payload), { qos: 1, retain: retained });
    },
    isUp: () => client.connected,
    retain(topic, text) {
      client.publish(topic, text, { qos: 1, retain: true });
    },
    async close() {
      await client.endAsync(!client.connected);
    },
  };
}
