/**
 * The MQTT server on aedes, a broker library: every packet of MQTT 3.1.1, from any client.
 *
 * Promise: a login, message or subscription that BrokerAuth does not authorize is refused. Devices publish to the
 * gateway and it to them, so a message is taken where aedes asks whether it may be published, and an answer is
 * written to its device's connection; aedes routes retained messages only.
 */

import type { Duplex } from "node:stream";
import { Aedes, type AuthenticateError, type Client, type ConnectPacket, type PublishPacket } from "aedes";
import { detach } from "#core/detach";
import { type Leaf, topicOf } from "#protocol/topics";
import { noteFailure } from "../../purchase/faults/note-failure.ts";
import type { Logger } from "../../purchase/ports.ts";
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
import { publishedLeaf } from "../auth/topic-access.ts";
import type { Receive } from "../broker.ts";
import { guardPackets } from "../limits/packet-guard.ts";
import type { IncomingConnection } from "./listeners.ts";
import type { MqttServer } from "./server-port.ts";

/** Packets that a connection may send before it is logged in. */
const QUEUE_LIMIT = 42;
const TOPIC_LEVELS_MAX = 8;

/** Topic of messages that were taken or dropped: no client may subscribe to it. */
const NOWHERE = "$nowhere";
const NOTHING = Buffer.alloc(0);

interface Connection {
  readonly incoming: IncomingConnection;
  /** Counts up from connection to connection. */
  readonly arrival: number;
  client: Client | null;
  will: Will | null;
  isAuthenticated: boolean;
}

export async function openAedesServer(auth: BrokerAuth, note: Logger, receive: Receive): Promise<MqttServer> {
  const server = new AedesServer(auth, note, receive);
  await server.open();
  return server;
}

class AedesServer implements MqttServer {
  readonly #auth: BrokerAuth;
  readonly #note: Logger;
  readonly #receive: Receive;
  readonly #aedes: Aedes;
  readonly #connections = new WeakMap<Duplex, Connection>();
  readonly #sessions = new SessionRegistry<Connection>();
  #arrivals = 0;

  constructor(auth: BrokerAuth, note: Logger, receive: Receive) {
    this.#auth = auth;
    this.#note = note;
    this.#receive = receive;
    this.#aedes = new Aedes({
      queueLimit: QUEUE_LIMIT,
      // Unbounded at once, so that one device that does not read never holds up the messages to others.
      concurrency: 0,
      drainTimeout: BACKLOG_TIMEOUT_MS,
      maxInflightInbound: UNRELEASED_MAX,
      maxTopicLevels: TOPIC_LEVELS_MAX,
      preConnect: (client, packet, done) => {
        this.#takeConnect(client, packet);
        done(null, true);
      },
      authenticate: (client, username, password, done) => {
        auth.inTurn(() => this.#authenticate(client, username ?? "", password?.toString() ?? "", done));
      },
      authorizePublish: (client, packet, done) => {
        done(client !== null && this.#takePublish(client, packet) ? null : new Error("not allowed"));
      },
      authorizeSubscribe: (client, subscription, done) => {
        const decision = auth.authorizeSubscription(client.id, subscription.topic);
        if (decision === "disconnect") done(new Error("too many subscriptions that are not allowed"));
        else done(null, decision === "grant" ? subscription : null);
      },
      authorizeForward: (client, packet) => (this.#isBacklogged(client) ? null : packet),
    });
    this.#aedes.on("clientError", (client: Client, error: Error) => {
      note("info", "connection ended", { clientId: client.id.slice(0, 64), reason: error.message });
    });
    this.#aedes.on("connectionError", (_client, error) => {
      note("info", "connection ended before its login", { reason: error.message });
    });
  }

  get takeOvers(): number {
    return this.#sessions.takeOvers;
  }

  open(): Promise<void> {
    return this.#aedes.listen();
  }

  isConnected(device: string): boolean {
    return this.#sessions.of(device) !== undefined;
  }

  accept(incoming: IncomingConnection): void {
    const { refusals } = this.#auth;
    const { stream, address } = incoming;
    const arrival = this.#arrivals++;
    const connection: Connection = { incoming, arrival, client: null, will: null, isAuthenticated: false };
    this.#connections.set(stream, connection);
    guardPackets(stream, {
      bytesMax: () => packetBytesMax(connection.isAuthenticated),
      nowMs: () => performance.now(),
      refuse(reason) {
        refusals.report(incoming.fail() ? "packet" : "source", { address, reason });
      },
      end: (reason) => {
        if (!connection.isAuthenticated) incoming.fail();
        const clientId = connection.client?.id?.slice(0, 64) ?? "";
        this.#note("info", "connection ended", { clientId, address, reason });
      },
    });
    this.#aedes.handle(stream);
  }

  publish(device: string, leaf: Leaf, payload: Uint8Array, isRetained: boolean): void {
    if (isRetained) this.#retain(topicOf(device, leaf), Buffer.from(payload));
    else this.#answer(device, leaf, payload);
  }

  retain(topic: string, text: string): void {
    this.#retain(topic, Buffer.from(text));
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#aedes.close(() => resolve()));
  }

  #takeConnect(client: Client, packet: ConnectPacket): void {
    // A session kept for a client that stays away would gather messages for ever; devices need none.
    packet.clean = true;
    const connection = this.#connections.get(client.conn)!;
    connection.client = client;
    connection.incoming.loginReceived();
    const { will } = packet;
    if (will === undefined) return;
    connection.will = {
      topic: will.topic,
      payload: Buffer.from(will.payload),
      retain: will.retain === true,
    };
  }

  #authenticate(client: Client, username: string, password: string, done: Authenticated): void {
    if (client.closed) return;
    const authenticated = this.#refusalOf(client, username, password).then((refusal) => {
      if (refusal === null) done(null, true);
      else done(refusedLogin(refusal), false);
    });
    detach(authenticated, noteFailure(this.#note, "authenticating a login"));
  }

  /** Enters the connection as its device's session; returns why it may not be, or null. */
  async #refusalOf(client: Client, username: string, password: string): Promise<LoginRefusal | null> {
    const connection = this.#connections.get(client.conn)!;
    const { incoming, will } = connection;
    const login = { clientId: client.id, username, password, will };
    const refusal = await this.#auth.authenticate(incoming, login);
    if (refusal !== null) return refusal;
    if (client.closed) return GONE;
    if (!this.#sessions.enter(client.id, connection)) return GONE;
    connection.isAuthenticated = true;
    incoming.stream.once("close", () => this.#sessions.leave(client.id, connection));
    return null;
  }

  /** False: the client may not publish that, and is disconnected. */
  #takePublish(client: Client, packet: PublishPacket): boolean {
    const { topic, payload, retain } = packet;
    // What comes after its connection is the will: one, and authorized at the login.
    const decision = client.closed
      ? publishedLeaf(client.id, topic, payload.length, retain)
      : this.#auth.authorizePublish(client.id, topic, payload.length, retain);
    if (decision === null || decision === "disconnect") return false;
    if (decision !== "drop") this.#receive(client.id, decision, payload as Buffer);
    // What is left of it is its acknowledgement.
    Object.assign(packet, { topic: NOWHERE, payload: NOTHING, retain: false });
    return true;
  }

  #isBacklogged(client: Client): boolean {
    if (client.conn.writableLength <= BACKLOG_BYTES_MAX) return false;
    if (!client.conn.destroyed) this.#auth.refusals.report("backlog", { clientId: client.id });
    client.conn.destroy();
    return true;
  }

  /** Writes to a device that is connected and subscribed; a message to any other is dropped, as MQTT has it. */
  #answer(device: string, leaf: Leaf, payload: Uint8Array): void {
    const client = this.#sessions.of(device)?.client as (Client & Subscribed) | null | undefined;
    const topic = topicOf(device, leaf);
    if (!client || client.closed || client.subscriptions[topic] === undefined) return;
    if (this.#isBacklogged(client)) return;
    const packet = { cmd: "publish" as const, topic, qos: 1 as const, dup: false, retain: false };
    client.publish({ ...packet, payload: Buffer.from(payload) }, () => {});
  }

  #retain(topic: string, payload: Buffer): void {
    this.#aedes.publish({ cmd: "publish", topic, qos: 1, dup: false, retain: true, payload }, () => {});
  }
}

type Authenticated = (error: AuthenticateError | null, success: boolean | null) => void;

/** A member of aedes's client that its types lack: the subscriptions, by topic. */
interface Subscribed {
  readonly subscriptions: Readonly<Record<string, object | undefined>>;
}

/** The connection is closed, or a later one of the device is in. */
const GONE: LoginRefusal = { code: UNAVAILABLE, reason: "gone" };

function refusedLogin({ code, reason }: LoginRefusal): AuthenticateError {
  return Object.assign(new Error(reason), { returnCode: code }) as AuthenticateError;
}
