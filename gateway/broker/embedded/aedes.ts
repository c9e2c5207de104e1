/**
 * MQTT spoken by aedes, a broker library: every packet of MQTT 3.1.1, whoever sends it.
 *
 * Promise: nothing passes but what the gatehouse lets pass. Devices speak to the gateway and it to them, so a message
 * is taken where aedes asks whether it may be published, and an answer is written to its device's connection;
 * routing is for what is retained.
 */

import type { Duplex } from "node:stream";
import { Aedes, type AuthenticateError, type Client } from "aedes";
import { detach } from "#core/detach";
import { type Leaf, topicOf } from "#protocol/topics";
import { noteFailure } from "../../purchase/faults/note-failure.ts";
import type { Logger } from "../../purchase/ports.ts";
import { publishedLeaf } from "../auth/access.ts";
import {
  BACKLOG_BYTES_MAX,
  BACKLOG_TIMEOUT_MS,
  type BrokerAuth,
  packetBytesMax,
  SessionRegistry,
  UNRELEASED_MAX,
  type Will,
} from "../auth/auth.ts";
import { type LoginRefusal, UNAVAILABLE } from "../auth/connack.ts";
import type { Receive } from "../broker.ts";
import { guardPackets } from "../limits/packet-guard.ts";
import type { IncomingConnection } from "./listeners.ts";
import type { MqttServer } from "./server-port.ts";

/** Packets that a connection may send before it is logged in. */
const QUEUE_LIMIT = 42;
const TOPIC_LEVELS_MAX = 8;

/** Where messages go that were taken, or are lost: nobody listens there. */
const NOWHERE = "$nowhere";
const NOTHING = Buffer.alloc(0);

/** A connection, from its door to its end. */
interface Connection {
  readonly visitor: IncomingConnection;
  /** Counts up from connection to connection. */
  readonly arrival: number;
  client: Client | null;
  will: Will | null;
  isProven: boolean;
}

export async function openAedesServer(
  gatehouse: BrokerAuth,
  note: Logger,
  receive: Receive,
): Promise<MqttServer> {
  const { refusals, inTurn } = gatehouse;
  const connections = new WeakMap<Duplex, Connection>();
  const proven = new SessionRegistry<Connection>();
  let arrivals = 0;

  /** Why a connection may not be its device's, or null. */
  async function judge(client: Client, connection: Connection, username: string, password: string) {
    const { visitor, will } = connection;
    const refusal = await gatehouse.authenticate(visitor, { clientId: client.id, username, password, will });
    if (refusal !== null) return refusal;
    if (client.closed) return GONE;
    if (!proven.enter(client.id, connection)) return GONE;
    connection.isProven = true;
    visitor.stream.once("close", () => proven.leave(client.id, connection));
    return null;
  }

  function isBacklogged(client: Client): boolean {
    if (client.conn.writableLength <= BACKLOG_BYTES_MAX) return false;
    if (!client.conn.destroyed) refusals.tell("backlog", { clientId: client.id });
    client.conn.destroy();
    return true;
  }

  const aedes = await Aedes.createBroker({
    queueLimit: QUEUE_LIMIT,
    // Unbounded at once, so that one device that does not read never holds up the messages to others.
    concurrency: 0,
    drainTimeout: BACKLOG_TIMEOUT_MS,
    maxInflightInbound: UNRELEASED_MAX,
    maxTopicLevels: TOPIC_LEVELS_MAX,
    preConnect(client, packet, done) {
      // A session kept for a client that stays away would gather messages for ever; devices need none.
      packet.clean = true;
      const connection = connections.get(client.conn)!;
      connection.client = client;
      connection.visitor.speak();
      const { will } = packet;
      if (will !== undefined) {
        const payload = Buffer.from(will.payload);
        connection.will = { topic: will.topic, payload, retain: will.retain === true };
      }
      done(null, true);
    },
    authenticate(client, username, password, done) {
      inTurn(() => {
        if (client.closed) return;
        const connection = connections.get(client.conn)!;
        const judged = judge(client, connection, username ?? "", password?.toString() ?? "").then(
          (refusal) => {
            if (refusal === null) done(null, true);
            else done(refusedLogin(refusal), false);
          },
        );
        detach(judged, noteFailure(note, "judging a login"));
      });
    },
    authorizePublish(client, packet, done) {
      const { topic, payload, retain } = packet;
      if (client === null) return done(new Error("not allowed"));
      // What comes after its connection is the will: one, and judged at the login.
      const verdict = client.closed
        ? publishedLeaf(client.id, topic, payload.length, retain)
        : gatehouse.authorizePublish(client.id, topic, payload.length, retain);
      if (verdict === null || verdict === "end") return done(new Error("not allowed"));
      if (verdict !== "lose") receive(client.id, verdict, payload as Buffer);
      // What is left of it is its acknowledgement.
      Object.assign(packet, { topic: NOWHERE, payload: NOTHING, retain: false });
      done(null);
    },
    authorizeSubscribe(client, subscription, done) {
      const verdict = gatehouse.authorizeSubscription(client.id, subscription.topic);
      if (verdict === "end") done(new Error("too many subscriptions that are not allowed"));
      else done(null, verdict === "grant" ? subscription : null);
    },
    authorizeForward: (client, packet) => (isBacklogged(client) ? null : packet),
  });
  aedes.on("clientError", (client: Client, error: Error) => {
    note("info", "connection ended", { clientId: client.id.slice(0, 64), reason: error.message });
  });
  aedes.on("connectionError", (_client, error) => {
    note("info", "connection ended before its login", { reason: error.message });
  });

  /** To whom is connected and subscribed; who is not hears nothing, as MQTT has it. */
  function answer(device: string, leaf: Leaf, payload: Uint8Array): void {
    const client = proven.of(device)?.client as (Client & Subscribed) | null | undefined;
    const topic = topicOf(device, leaf);
    if (!client || client.closed || client.subscriptions[topic] === undefined || isBacklogged(client)) return;
    const packet = { cmd: "publish" as const, topic, qos: 1 as const, dup: false, retain: false };
    client.publish({ ...packet, payload: Buffer.from(payload) }, () => {});
  }

  function retain(topic: string, payload: Buffer): void {
    aedes.publish({ cmd: "publish", topic, qos: 1, dup: false, retain: true, payload }, () => {});
  }

  return {
    get takeOvers() {
      return proven.takeOvers;
    },
    isConnected: (device) => proven.of(device) !== undefined,
    welcome(visitor) {
      const connection: Connection = {
        visitor,
        arrival: arrivals++,
        client: null,
        will: null,
        isProven: false,
      };
      connections.set(visitor.stream, connection);
      guardPackets(visitor.stream, {
        bytesMax: () => packetBytesMax(connection.isProven),
        nowMs: () => performance.now(),
        refuse(reason) {
          refusals.tell(visitor.fail() ? "packet" : "source", { address: visitor.address, reason });
        },
        end(reason) {
          if (!connection.isProven) visitor.fail();
          const clientId = connection.client?.id?.slice(0, 64) ?? "";
          note("info", "connection ended", { clientId, address: visitor.address, reason });
        },
      });
      aedes.handle(visitor.stream);
    },
    publish(device, leaf, payload, isRetained) {
      if (isRetained) retain(topicOf(device, leaf), Buffer.from(payload));
      else answer(device, leaf, payload);
    },
    retain: (topic, text) => retain(topic, Buffer.from(text)),
    close: () => new Promise((resolve) => aedes.close(() => resolve())),
  };
}

/** What aedes knows of a client and its types do not tell: its subscriptions, by topic. */
interface Subscribed {
  readonly subscriptions: Readonly<Record<string, object | undefined>>;
}

/** Nobody hears it any more, or a later connection of the device is in. */
const GONE: LoginRefusal = { code: UNAVAILABLE, reason: "gone" };

function refusedLogin({ code, reason }: LoginRefusal): AuthenticateError {
  return Object.assign(new Error(reason), { returnCode: code }) as AuthenticateError;
}
