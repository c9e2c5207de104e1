/**
 * A broker inside the gateway: aedes, one login per device, deny by default.
 *
 * Promise: a connection that proves no device gets nothing; a message that access.ts does not allow ends
 * its connection; a device that floods is heard at its rate, then ended; one that does not read holds up
 * nobody. What a device can make the broker hold is bounded.
 */
import type { Duplex } from "node:stream";
import { Aedes, type AuthenticateError, type Client } from "aedes";
import type { Key } from "#payment/key";
import { LEAVES, readTopic, TOPIC_PREFIX, topicOf } from "#protocol/topics";
import type { Note, Read } from "../purchase/ports.ts";
import { rereadOnChange } from "../reread.ts";
import { mayPublish, maySubscribe, proveDevice } from "./access.ts";
import { Admission } from "./admission.ts";
import { Allowances, type Rate } from "./allowance.ts";
import type { Broker, BrokerWatch, Receive } from "./broker.ts";
import { type DoorOptions, openDoors, type Visitor } from "./doors.ts";
import { guardPackets } from "./packet-guard.ts";
import { openRefusals } from "./refusals.ts";
import { openTurns } from "./turns.ts";

export interface EmbeddedOptions extends DoorOptions {
  /** The gateway's key, or its address: logins are made for it; with an address alone none can be sealed. */
  readonly gateway: Key | string;
  readonly connectionsMax: number;
  /** What one device may publish. */
  readonly messages: Rate;
  /** Null when a device that proved itself may log in, else why not. */
  readonly barred: (device: string) => Read<string | null>;
  readonly note: Note;
}

export interface EmbeddedBroker extends Broker, BrokerWatch {
  /** Of all doors. */
  readonly urls: readonly string[];
  /** Reads the certificates again, as when they change; wrong ones change nothing. */
  reread(): void;
}

/** Packets that a connection may send before it is logged in. */
const QUEUE_LIMIT = 42;

/** Topic and packet id of a publish: generous, and nothing beside the payload. */
const PACKET_OVERHEAD_BYTES = 4_096;
const PACKET_BYTES_MAX =
  PACKET_OVERHEAD_BYTES + Math.max(...Object.values(LEAVES).map(({ bytesMax }) => bytesMax));

/** A login with its will. */
const LOGIN_BYTES_MAX = 4_096;

const TOPIC_LEVELS_MAX = 8;

/** QoS 2 messages of one device that wait for their release; devices of ours use QoS 1. */
const UNRELEASED_MAX = 16;

/** Bytes that wait for a device to read them; beyond, it has stopped to. */
const BACKLOG_BYTES_MAX = 262_144;
const BACKLOG_TIMEOUT_MS = 10_000;

/** Proven logins of one device: a link that comes and goes, not two devices with one key taking turns for ever. */
const LOGINS: Rate = { perSecond: 0.5, burst: 30 };

/** Where messages beyond a device's rate go: nobody listens there. */
const NOWHERE = "$nowhere";

/** A connection, from its door to its end. */
interface Connection {
  readonly visitor: Visitor;
  /** Counts up from connection to connection. */
  readonly arrival: number;
  will: { readonly topic: string; readonly payload: Uint8Array; readonly retain: boolean } | null;
  isProven: boolean;
}

export async function openEmbeddedBroker(
  options: EmbeddedOptions,
  receive: Receive,
): Promise<EmbeddedBroker> {
  const { gateway, note, connectionsMax } = options;
  const nowMs = () => performance.now();
  const refusals = openRefusals(note);
  const admission = new Admission({ connectionsMax, nowMs });
  const messages = new Allowances(options.messages, connectionsMax, nowMs);
  const excess = new Allowances(options.messages, connectionsMax, nowMs);
  const logins = new Allowances(LOGINS, connectionsMax, nowMs);
  const inTurn = openTurns(nowMs);
  const connections = new WeakMap<Duplex, Connection>();
  /** The latest proven connection of each device that has one. */
  const proven = new Map<string, Connection>();
  let arrivals = 0;
  let takeOvers = 0;

  /** Why a login is refused, told; null when it is right. */
  async function judge(client: Client, connection: Connection, login: Credentials): Promise<string | null> {
    const { visitor, will } = connection;
    const { certified, needsCertificate, address } = visitor;
    const { device, reason } = proveDevice(
      { ...login, certified, needsCertificate },
      gateway,
      Date.now() / 1000,
    );
    const fields = { clientId: login.clientId, address };
    if (device === null) {
      refusals.tell("login", { ...fields, reason });
      return reason;
    }
    if (will !== null && !mayPublish(device, will.topic, will.payload.length, will.retain)) {
      refusals.tell("will", { ...fields, topic: will.topic });
      return "expected a will on the device's own state";
    }
    if (!logins.take(device)) {
      refusals.tell("login-rate", fields);
      return "too many logins of this device: is there another one with its key?";
    }
    const barred = await options.barred(device);
    if (barred !== null) {
      refusals.tell("not-enrolled", { ...fields, reason: barred });
      return barred;
    }
    if (client.closed) return "gone";
    visitor.place.prove();
    const present = proven.get(device);
    // The device gave up waiting and came again: its first attempt, judged last, must not take over.
    if (present !== undefined && present.arrival > connection.arrival) return "gone";
    connection.isProven = true;
    if (present !== undefined) takeOvers += 1;
    proven.set(device, connection);
    visitor.stream.once("close", () => {
      if (proven.get(device) === connection) proven.delete(device);
    });
    return null;
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
      const { will } = packet;
      if (will !== undefined) {
        const payload = Buffer.from(will.payload);
        connections.get(client.conn)!.will = { topic: will.topic, payload, retain: will.retain === true };
      }
      done(null, true);
    },
    authenticate(client, username, password, done) {
      const connection = connections.get(client.conn)!;
      const login = { clientId: client.id, username: username ?? "", password: password?.toString() ?? "" };
      inTurn(() => {
        if (client.closed) return;
        void judge(client, connection, login)
          .catch((error: unknown) => {
            note("warn", "a login could not be judged", { reason: String(error) });
            return "the gateway cannot judge logins now";
          })
          .then((reason) => {
            if (reason === null) return done(null, true);
            connection.visitor.place.fail();
            done(refusedLogin(reason), false);
          });
      });
    },
    authorizePublish(client, packet, done) {
      const { topic, payload, retain } = packet;
      if (client === null || !mayPublish(client.id, topic, payload.length, retain)) {
        refusals.tell("publish", { clientId: client?.id, topic });
        return done(new Error("not allowed"));
      }
      // What comes after its connection is the will: one, and judged at the login.
      if (client.closed || messages.take(client.id)) return done(null);
      if (!excess.take(client.id)) {
        refusals.tell("flood", { clientId: client.id });
        return done(new Error("too many messages"));
      }
      refusals.tell("rate", { clientId: client.id, topic });
      // Acknowledged and lost: without its PUBACK a device would hold the message, and send it again.
      Object.assign(packet, { topic: NOWHERE, payload: Buffer.alloc(0), retain: false });
      done(null);
    },
    authorizeSubscribe(client, subscription, done) {
      if (maySubscribe(client.id, subscription.topic)) return done(null, subscription);
      refusals.tell("subscription", { clientId: client.id, topic: subscription.topic });
      if (excess.take(client.id)) done(null, null);
      else done(new Error("too many subscriptions that are not allowed"));
    },
    authorizeForward(client, packet) {
      if (client.conn.writableLength <= BACKLOG_BYTES_MAX) return packet;
      if (!client.conn.destroyed) refusals.tell("backlog", { clientId: client.id });
      client.conn.destroy();
      return null;
    },
  });
  aedes.on("clientError", (client: Client, error: Error) => {
    note("info", "connection ended", { clientId: client.id.slice(0, 64), reason: error.message });
  });
  aedes.on("connectionError", (_client, error) => {
    note("info", "connection ended before its login", { reason: error.message });
  });
  await subscribeAll(aedes, receive);

  function welcome(visitor: Visitor): void {
    const connection: Connection = { visitor, arrival: arrivals++, will: null, isProven: false };
    connections.set(visitor.stream, connection);
    guardPackets(visitor.stream, {
      bytesMax: () => (connection.isProven ? PACKET_BYTES_MAX : LOGIN_BYTES_MAX),
      nowMs,
      refuse(reason) {
        visitor.place.fail();
        refusals.tell("packet", { address: visitor.address, reason });
      },
    });
    aedes.handle(visitor.stream);
  }

  const doors = await openDoors(options, admission, refusals, welcome).catch(async (error) => {
    // Its heartbeat would keep a process alive that has nothing to serve.
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
    throw error;
  });
  const { tls } = options;
  const files = tls === null ? [] : [tls.certFile, tls.keyFile, tls.clientCaFile ?? []].flat();
  const certificates =
    tls === null ? null : rereadOnChange("the broker's certificate", files, () => doors.renew(), note);
  note("info", "devices may connect", { urls: doors.urls });
  return {
    url: doors.urls[0]!,
    urls: doors.urls,
    refused: refusals.counts,
    get takeOvers() {
      return takeOvers;
    },
    get connections() {
      return admission.connections;
    },
    publish(device, leaf, payload, retained) {
      const packet = { cmd: "publish" as const, topic: topicOf(device, leaf), qos: 1 as const, dup: false };
      aedes.publish({ ...packet, payload: Buffer.from(payload), retain: retained }, () => {});
    },
    isUp: () => doors.isOpen(),
    retain(topic, text) {
      const packet = { cmd: "publish" as const, topic, qos: 1 as const, dup: false, retain: true };
      aedes.publish({ ...packet, payload: Buffer.from(text) }, () => {});
    },
    reread: () => certificates?.now(),
    async close() {
      certificates?.stop();
      await new Promise<void>((resolve) => aedes.close(() => resolve()));
      await doors.close();
    },
  };
}

interface Credentials {
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
}

function subscribeAll(aedes: Aedes, receive: Receive): Promise<void> {
  return new Promise((resolve) => {
    aedes.subscribe(
      `${TOPIC_PREFIX}#`,
      (packet, done) => {
        const read = readTopic(packet.topic);
        // Our own publishes come by here too.
        if (read !== null && LEAVES[read.leaf].direction === "up")
          receive(read.device, read.leaf, packet.payload as Buffer);
        done();
      },
      () => resolve(),
    );
  });
}

function refusedLogin(reason: string): AuthenticateError {
  // MQTT 3.1.1 section 3.2.2.3: return code 5, not authorised.
  return Object.assign(new Error(reason), { returnCode: 5 }) as AuthenticateError;
}
