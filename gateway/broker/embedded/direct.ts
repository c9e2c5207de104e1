/**
 * The gateway's own MQTT 3.1.1 server, as far as devices need it, for fleets in which a broker library is too slow.
 *
 * Promise: a login, message or subscription that BrokerAuth does not authorize is refused. Every message is from a
 * device to the gateway or back, so nothing is routed: a topic is its connection's own, or refused. A device that
 * does not read delays no other.
 */
import type { Leaf } from "#protocol/topics";
import type { Logger } from "../../purchase/ports.ts";
import { BACKLOG_TIMEOUT_MS, type BrokerAuth, packetBytesMax, SessionRegistry } from "../auth/auth.ts";
import { type LoginRefusal, UNAVAILABLE } from "../auth/connack.ts";
import type { Receive } from "../broker.ts";
import { TOO_MANY_PACKETS, takePacket } from "../limits/packet-rate-limit.ts";
import type { Connect, Publish, Subscription } from "../mqtt-packets.ts";
import { Connection, type ConnectionHost } from "./connection.ts";
import type { IncomingConnection } from "./listeners.ts";
import type { MqttServer } from "./server-port.ts";
import type { RetainedWill } from "./will.ts";

/** Between two looks for connections that are silent, or that do not read. */
const LOOK_MS = 500;
const BACKLOG_LOOKS_MAX = BACKLOG_TIMEOUT_MS / LOOK_MS;
/** Section 3.1.2.10: silence of one and a half keep-alive times ends a connection. */
const SILENT_LOOKS_PER_SECOND = 1.5 / (LOOK_MS / 1000);

/** An acknowledgement waits once to twice as long for an answer to go out with. */
const ACK_DELAY_MS = 50;

export class DirectServer implements MqttServer, ConnectionHost {
  readonly #auth: BrokerAuth;
  readonly #note: Logger;
  readonly #receive: Receive;
  readonly #connections = new Set<Connection>();
  readonly #sessions = new SessionRegistry<Connection>();
  /** Last retained message, by device, of each leaf: a string of its bytes, for there are many and a buffer weighs more. */
  readonly #retained = new Map<Leaf, Map<string, string>>();
  /** Connections with acknowledgements that wait: since the last flush, and since before it. */
  #waiting = new Set<Connection>();
  #waitingLonger = new Set<Connection>();
  #flushing: NodeJS.Timeout | null = null;
  readonly #looking: NodeJS.Timeout;
  #arrivals = 0;
  #isOpen = true;

  constructor(auth: BrokerAuth, note: Logger, receive: Receive) {
    this.#auth = auth;
    this.#note = note;
    this.#receive = receive;
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
  }

  // ---- the broker's side ----

  get takeOvers(): number {
    return this.#sessions.takeOvers;
  }

  isConnected(device: string): boolean {
    return this.#sessions.of(device) !== undefined;
  }

  accept(incoming: IncomingConnection): void {
    this.#connections.add(new Connection(incoming, this, this.#arrivals++));
  }

  publish(device: string, leaf: Leaf, payload: Uint8Array, isRetained: boolean): void {
    if (isRetained) this.#retain(device, leaf, payload);
    // Section 3.3.1.3: a device that subscribed before gets it as a message like any other.
    this.#sessions.of(device)?.publish(leaf, payload, false);
  }

  /** Nothing: only devices log in here, and they may read no such topic. */
  retain(): void {}

  async close(): Promise<void> {
    this.#isOpen = false;
    clearInterval(this.#looking);
    if (this.#flushing !== null) clearTimeout(this.#flushing);
    for (const connection of [...this.#waitingLonger, ...this.#waiting]) connection.flushAcks();
    for (const connection of [...this.#connections]) connection.end();
  }

  // ---- the connections' side ----

  authenticate(connection: Connection, login: Connect): Promise<LoginRefusal | null> {
    return new Promise((resolve) => {
      this.#auth.inTurn(() => {
        const isOpen = this.#connections.has(connection);
        resolve(isOpen ? this.#auth.authenticate(connection.incoming, login) : GONE);
      });
    });
  }

  enter(connection: Connection): boolean {
    const before = this.#sessions.of(connection.device);
    if (!this.#sessions.enter(connection.device, connection)) return false;
    // Published now, and not when its socket is closed: messages of the new connection come after it.
    this.#publishWill(connection.device, before?.dismiss() ?? null);
    return true;
  }

  takePublish({ device }: Connection, { topic, payload, retain }: Publish): boolean {
    const decision = this.#auth.authorizePublish(device, topic, payload.length, retain);
    if (decision === "disconnect") return false;
    if (decision !== "drop") this.#receive(device, decision, payload);
    return true;
  }

  takeSubscription({ device }: Connection, { filter, qos }: Subscription): number | null {
    const decision = this.#auth.authorizeSubscription(device, filter);
    if (decision === "disconnect") return null;
    return decision === "grant" ? Math.min(qos, 1) : REFUSED;
  }

  retained({ device }: Connection, leaf: Leaf): Uint8Array | undefined {
    const bytes = this.#retained.get(leaf)?.get(device);
    return bytes === undefined ? undefined : Buffer.from(bytes, "latin1");
  }

  queueAck(connection: Connection): void {
    this.#waiting.add(connection);
    this.#flushing ??= setTimeout(() => this.#flushAcks(), ACK_DELAY_MS);
  }

  stuck(connection: Connection): void {
    this.#auth.refusals.report("backlog", { clientId: connection.device });
    connection.end();
  }

  ended(connection: Connection, reason: string): void {
    if (!this.#connections.has(connection)) return;
    const { incoming, device, isAuthenticated } = connection;
    if (!isAuthenticated) incoming.fail();
    this.#note("info", "connection ended", {
      clientId: device.slice(0, 64),
      address: incoming.address,
      reason,
    });
  }

  overstepped(connection: Connection, reason: string): void {
    if (!this.#connections.has(connection)) return;
    const { incoming } = connection;
    const refusal = incoming.fail() ? "packet" : "source";
    this.#auth.refusals.report(refusal, { address: incoming.address, reason });
    connection.end();
  }

  left(connection: Connection, will: RetainedWill | null): void {
    this.#connections.delete(connection);
    this.#waiting.delete(connection);
    this.#waitingLonger.delete(connection);
    this.#sessions.leave(connection.device, connection);
    if (this.#isOpen) this.#publishWill(connection.device, will);
  }

  bytesMax({ isAuthenticated }: Connection): number {
    return packetBytesMax(isAuthenticated);
  }

  takePacket(connection: Connection): boolean {
    if (takePacket(connection, monotonicMs)) return true;
    this.overstepped(connection, TOO_MANY_PACKETS);
    return false;
  }

  #publishWill(device: string, will: RetainedWill | null): void {
    if (will !== null) this.#receive(device, will.leaf, will.payload);
  }

  #retain(device: string, leaf: Leaf, payload: Uint8Array): void {
    const all = this.#retained.get(leaf) ?? new Map<string, string>();
    this.#retained.set(leaf, all);
    if (payload.length === 0) all.delete(device);
    else all.set(device, Buffer.from(payload).toString("latin1"));
  }

  #flushAcks(): void {
    for (const connection of this.#waitingLonger) connection.flushAcks();
    this.#waitingLonger.clear();
    [this.#waiting, this.#waitingLonger] = [this.#waitingLonger, this.#waiting];
    const isEmpty = this.#waitingLonger.size === 0;
    this.#flushing = isEmpty ? null : setTimeout(() => this.#flushAcks(), ACK_DELAY_MS);
  }

  /** Ends connections that were silent for too long, or have not read for too long what they were sent. */
  #look(): void {
    for (const connection of this.#connections) {
      connection.silentLooks = connection.hasReceived ? 0 : connection.silentLooks + 1;
      connection.hasReceived = false;
      connection.stuckLooks = connection.stream.writableNeedDrain ? connection.stuckLooks + 1 : 0;
      const { keepaliveSeconds, silentLooks, stuckLooks } = connection;
      if (stuckLooks > BACKLOG_LOOKS_MAX) this.stuck(connection);
      else if (keepaliveSeconds > 0 && silentLooks > keepaliveSeconds * SILENT_LOOKS_PER_SECOND) {
        this.#note("info", "connection ended", { clientId: connection.device, reason: "keep alive timeout" });
        connection.end();
      }
    }
  }
}

const monotonicMs = () => performance.now();

/** The connection is closed. */
const GONE: LoginRefusal = { code: UNAVAILABLE, reason: "gone" };

/** Section 3.9.3: the return code of a subscription that was not granted. */
const REFUSED = 128;
