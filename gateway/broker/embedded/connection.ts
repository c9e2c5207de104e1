/**
 * One device's MQTT 3.1.1 connection, from its first byte to its last.
 *
 * Promise: packets are taken in their order, none before an authenticated login but the login; messages
 * to the device are written at once in one piece; what it can make this side hold is bounded, and a connection that oversteps a bound is ended.
 * Sessions are clean: nothing is kept for a connection that is gone (section 3.1.2.4).
 */

import type { Duplex } from "node:stream";
import { countFailure, detach } from "#core/detach";
import { LEAVES, type Leaf, topicOf } from "#protocol/topics";
import { reasonOf } from "../../purchase/faults/note-failure.ts";
import { BACKLOG_BYTES_MAX, UNRELEASED_MAX } from "../auth/auth.ts";
import {
  ACCEPTED,
  connackPacket,
  type LoginRefusal,
  UNACCEPTABLE_VERSION,
  UNAVAILABLE,
} from "../auth/connack.ts";
import { loginFault, OTHER_PROTOCOL, packetFault } from "../limits/packet-fault.ts";
import { PACKETS_BURST, type PacketCount } from "../limits/packet-rate-limit.ts";
import {
  acknowledgement,
  type Connect,
  DISCONNECT,
  PacketReader,
  PINGREQ,
  PINGRESP,
  PUBACK,
  PUBCOMP,
  PUBLISH,
  PUBREC,
  PUBREL,
  type Publish,
  publishPacket,
  readConnect,
  readId,
  readPublish,
  readSubscribe,
  SUBSCRIBE,
  type Subscription,
  type Subscriptions,
  subackPacket,
  UNSUBACK,
  UNSUBSCRIBE,
} from "../mqtt-packets.ts";
import type { IncomingConnection } from "./listeners.ts";
import { type RetainedWill, retainedWill } from "./will.ts";

/** Acknowledgements of purchases that wait for the answer to go out with; what comes after goes at once. */
const WAITING_ACKS_MAX = 16;

/** Ids of QoS 1 messages to one device that it has not acknowledged: fewer than there are ids. */
const UNACKNOWLEDGED_MAX = 10_000;
const IDS = 65_535;

/** What a connection needs of its server. */
export interface ConnectionHost {
  /** Resolves with why a login is refused, or null. */
  authenticate(connection: Connection, login: Connect): Promise<LoginRefusal | null>;
  /** Makes an authenticated connection its device's session. False: a later one of the device is in already. */
  enter(connection: Connection): boolean;
  /** False: it may not publish that, and is ended. */
  takePublish(connection: Connection, message: Publish): boolean;
  /** QoS granted, or 128; null: it was refused too often. */
  takeSubscription(connection: Connection, subscription: Subscription): number | null;
  /** What is retained of a leaf, for a device that subscribes to it. */
  retained(connection: Connection, leaf: Leaf): Uint8Array | undefined;
  /** It has acknowledgements that wait: the host calls `flushAcks` shortly. */
  queueAck(connection: Connection): void;
  /** It does not read what it is sent, and is ended. */
  stuck(connection: Connection): void;
  /** It broke the protocol, and is ended. */
  ended(connection: Connection, reason: string): void;
  /** Its packets are too long or too many, and it is ended. */
  overstepped(connection: Connection, reason: string): void;
  /** It is closed; called once. @param will null after a DISCONNECT */
  left(connection: Connection, will: RetainedWill | null): void;
  /** Remaining length that a packet may have. */
  bytesMax(connection: Connection): number;
  /** False: it sends packets faster than any device has reason to. */
  takePacket(connection: Connection): boolean;
}

/** There are as many as devices: their state is flat members, and no listener is a closure of one. */
export class Connection implements PacketCount {
  readonly incoming: IncomingConnection;
  /** 40 hex digits once authenticated; before, the client id of its login. */
  device = "";
  isAuthenticated = false;
  isEnded = false;
  keepaliveSeconds = 0;
  /** Whether anything was received since the server last looked, and for how many looks nothing was. */
  hasReceived = true;
  silentLooks = 0;
  /** Looks in which it has not read everything it was sent. */
  stuckLooks = 0;
  /** Counts up from connection to connection. */
  readonly arrival: number;
  packetsLeft = PACKETS_BURST;
  packetsAtMs = Math.floor(performance.now());
  readonly #host: ConnectionHost;
  readonly #reader = new PacketReader();
  #hasLogin = false;
  #will: RetainedWill | null = null;
  /** QoS granted, by leaf: two bits for each, 0 where none is. */
  #subscribed = 0;
  #lastId = 0;
  #unacknowledged = 0;
  #waitingAcks: number[] = NO_ACKS;
  #unreleased: Set<number> | null = null;

  /** @param incoming with a listener for errors on its stream */
  constructor(incoming: IncomingConnection, host: ConnectionHost, arrival: number) {
    this.incoming = incoming;
    this.arrival = arrival;
    this.#host = host;
    const stream: ConnectionStream = incoming.stream;
    stream[CONNECTION] = this;
    stream.on("data", received);
    stream.on("close", closed);
  }

  get stream(): Duplex {
    return this.incoming.stream;
  }

  /** Sends a message if the device asked for its leaf. */
  publish(leaf: Leaf, payload: Uint8Array, retain: boolean): void {
    const qos = this.#qosOf(leaf);
    if (qos === null || this.isEnded) return;
    let id = 0;
    if (qos > 0) {
      if (this.#unacknowledged >= UNACKNOWLEDGED_MAX) {
        this.#host.stuck(this);
        return;
      }
      this.#unacknowledged += 1;
      this.#lastId = (this.#lastId % IDS) + 1;
      id = this.#lastId;
    }
    const acks = this.#waitingAcks;
    this.#waitingAcks = NO_ACKS;
    this.#write(publishPacket(topicOf(this.device, leaf), payload, retain, id, acks));
  }

  /** Sends the acknowledgements that waited for an answer to go out with. */
  flushAcks(): void {
    const acks = this.#waitingAcks;
    this.#waitingAcks = NO_ACKS;
    if (!this.isEnded) for (const id of acks) this.#write(acknowledgement(PUBACK << 4, id));
  }

  /** Ends it; its will is published. */
  end(): void {
    this.isEnded = true;
    this.stream.destroy();
  }

  /** Ends it; publishing its will is left to the caller. */
  dismiss(): RetainedWill | null {
    const will = this.#will;
    this.#will = null;
    this.end();
    return will;
  }

  // ---- in ----

  /** An error over a device's bytes ends its connection, and nothing else. */
  receive(chunk: Buffer): void {
    if (this.isEnded) return;
    this.hasReceived = true;
    try {
      this.#feed(chunk);
    } catch (error) {
      countFailure();
      this.#failed(error);
    }
  }

  #feed(chunk: Buffer): void {
    const reason = this.#reader.feed(
      chunk,
      () => this.#host.bytesMax(this),
      (head, body) => this.#take(head, body),
    );
    if (reason !== null && !this.isEnded) this.#host.overstepped(this, reason);
  }

  /** False when nothing more of this connection is to be taken, for now or for ever. */
  #take(head: number, body: Buffer): boolean {
    if (this.isEnded || !this.#host.takePacket(this)) return false;
    if (head >> 4 === PUBLISH && this.isAuthenticated) this.#takePublish(readPublish(head, body));
    else if (this.isAuthenticated) this.#takeOther(head, body);
    else this.#takeConnect(loginFault(head, body), body);
    // Packets behind a login wait until it is authenticated.
    return !this.isEnded && (this.isAuthenticated || !this.#hasLogin);
  }

  #takeConnect(fault: string | null, body: Buffer): void {
    this.#hasLogin = true;
    this.incoming.loginReceived();
    if (fault === OTHER_PROTOCOL) {
      this.#host.ended(this, fault);
      this.#refuse(UNACCEPTABLE_VERSION);
      return;
    }
    if (fault !== null) {
      this.#fault(fault);
      return;
    }
    const login = readConnect(body) as Connect;
    this.device = login.clientId;
    this.keepaliveSeconds = login.keepaliveSeconds;
    this.stream.pause();
    const authenticated = this.#host.authenticate(this, login).then((refusal) => {
      if (this.isEnded) return;
      if (refusal !== null || !this.#host.enter(this)) {
        this.#refuse(refusal?.code ?? UNAVAILABLE);
        return;
      }
      this.#will = login.will === null ? null : retainedWill(this.device, login.will);
      this.isAuthenticated = true;
      this.#write(connackPacket(ACCEPTED));
      // An empty piece lets the reader go on with what it kept.
      this.receive(Buffer.alloc(0));
      this.stream.resume();
    });
    detach(authenticated, (error) => this.#failed(error));
  }

  #takePublish(message: ReturnType<typeof readPublish>): void {
    if (typeof message === "string") {
      this.#fault(message);
      return;
    }
    const { qos, id } = message;
    if (qos === 2) {
      this.#takeExactlyOnce(message);
      return;
    }
    // The answer to a purchase comes within milliseconds: acknowledged in the same piece, it costs nothing.
    const mayWait = qos === 1 && this.#qosOf("grant") !== null && this.#waitingAcks.length < WAITING_ACKS_MAX;
    const isAnswered = mayWait && message.topic.endsWith(PAY);
    if (isAnswered) {
      this.#waitingAcks = this.#waitingAcks === NO_ACKS ? [id] : [...this.#waitingAcks, id];
      this.#host.queueAck(this);
    }
    if (!this.#host.takePublish(this, message)) this.end();
    else if (qos === 1 && !isAnswered) this.#write(acknowledgement(PUBACK << 4, id));
  }

  /** Section 4.3.3: delivered when it comes first, and its id kept until it is released. */
  #takeExactlyOnce(message: Publish): void {
    this.#unreleased ??= new Set();
    if (!this.#unreleased.has(message.id)) {
      if (this.#unreleased.size >= UNRELEASED_MAX) {
        this.#fault(`expected at most ${UNRELEASED_MAX} messages unreleased, found more`);
        return;
      }
      this.#unreleased.add(message.id);
      if (!this.#host.takePublish(this, message)) {
        this.end();
        return;
      }
    }
    this.#write(acknowledgement(PUBREC << 4, message.id));
  }

  #takeOther(head: number, body: Buffer): void {
    const fault = packetFault(head, body);
    if (fault !== null) {
      this.#fault(fault);
      return;
    }
    switch (head) {
      case PUBACK << 4:
        if (this.#unacknowledged > 0) this.#unacknowledged -= 1;
        return;
      case (PUBREL << 4) | 2:
        this.#unreleased?.delete(readId(body));
        this.#write(acknowledgement(PUBCOMP << 4, readId(body)));
        return;
      case (SUBSCRIBE << 4) | 2:
        this.#takeSubscribe(readSubscribe(body, true) as Subscriptions);
        return;
      case (UNSUBSCRIBE << 4) | 2:
        this.#takeUnsubscribe(readSubscribe(body, false) as Subscriptions);
        return;
      case PINGREQ << 4:
        this.#write(Buffer.from([PINGRESP << 4, 0]));
        return;
      case DISCONNECT << 4:
        this.dismiss();
    }
  }

  #takeSubscribe(asked: Subscriptions): void {
    const granted: number[] = [];
    const leaves: Leaf[] = [];
    for (const subscription of asked.subscriptions) {
      const qos = this.#host.takeSubscription(this, subscription);
      if (qos === null) {
        this.end();
        return;
      }
      granted.push(qos);
      const leaf = leafOf(subscription.filter);
      if (qos > 1) continue;
      this.#subscribe(leaf, qos);
      if (LEAVES[leaf].retained) leaves.push(leaf);
    }
    this.#write(subackPacket(asked.id, granted));
    for (const leaf of leaves) {
      const payload = this.#host.retained(this, leaf);
      if (payload !== undefined) this.publish(leaf, payload, true);
    }
  }

  #takeUnsubscribe(asked: Subscriptions): void {
    for (const { filter } of asked.subscriptions) {
      if (filter === topicOf(this.device, leafOf(filter))) this.#subscribe(leafOf(filter), null);
    }
    this.#write(acknowledgement(UNSUBACK << 4, asked.id));
  }

  #qosOf(leaf: Leaf): number | null {
    const bits = (this.#subscribed >> bitsOf(leaf)) & 3;
    return bits === 0 ? null : bits - 1;
  }

  #subscribe(leaf: Leaf, qos: number | null): void {
    const at = bitsOf(leaf);
    this.#subscribed = (this.#subscribed & ~(3 << at)) | ((qos === null ? 0 : qos + 1) << at);
  }

  // ---- out, and the end ----

  #write(packet: Buffer): void {
    if (this.isEnded) return;
    if (this.stream.writableLength > BACKLOG_BYTES_MAX) this.#host.stuck(this);
    else this.stream.write(packet);
  }

  #refuse(code: number): void {
    this.isEnded = true;
    this.stream.end(connackPacket(code));
    this.stream.resume();
  }

  #fault(reason: string): void {
    this.#host.ended(this, reason);
    this.end();
  }

  #failed(error: unknown): void {
    this.#fault(`what it sent could not be taken: ${reasonOf(error)}`);
  }

  closed(): void {
    this.isEnded = true;
    const will = this.#will;
    this.#will = null;
    this.#host.left(this, will);
  }
}

/** A stream that knows its connection, so that all streams share their listeners. */
const CONNECTION = Symbol("connection");
interface ConnectionStream extends Duplex {
  [CONNECTION]?: Connection;
}

function received(this: ConnectionStream, chunk: Buffer): void {
  this[CONNECTION]!.receive(chunk);
}

function closed(this: ConnectionStream): void {
  this[CONNECTION]!.closed();
}

/** Shared by all connections without waiting acknowledgements: nearly all. */
const NO_ACKS: number[] = [];

const PAY = "/pay";

const LEAF_NAMES = Object.keys(LEAVES);

function bitsOf(leaf: Leaf): number {
  return 2 * LEAF_NAMES.indexOf(leaf);
}

/** The leaf that a filter of one's own names. */
function leafOf(filter: string): Leaf {
  return filter.slice(filter.lastIndexOf("/") + 1) as Leaf;
}
