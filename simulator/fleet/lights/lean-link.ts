/**
 * The Link port over a socket and nothing else: for fleets of many thousands, where a client library weighs more than
 * the device. What the links of a fleet to one broker have in common is in LeanLinks.
 *
 * Promise: what device/node/mqtt-link.ts promises, as far as a fleet on a broker of this project needs it: MQTT 3.1.1
 * over TCP, every connection new, the last will set, the newest state kept while offline, all else refused. An
 * acknowledgement goes out with the next message, or shortly after.
 */

import { type ConnectOpts, Socket, type SocketConstructorOpts } from "node:net";
import type { Clock, Random } from "#core/ports";
import { nextAttemptMs, type Retry } from "#core/rungs";
import {
  acknowledgement,
  CONNACK,
  connectPacket,
  DISCONNECT,
  PacketReader,
  PINGREQ,
  PUBACK,
  PUBLISH,
  publishPacket,
  readPublish,
  SUBACK,
  subscribePacket,
} from "#gateway/broker/mqtt-packets";
import { readBrokerUrl } from "#node/broker-socket";
import type { HostLink } from "#node/host";
import type { Key } from "#payment/key";
import { loginToken } from "#payment/login";
import { Watt402Error } from "#payment/watt402-error";
import { isLeaf, LEAVES, type Leaf, topicOf } from "#protocol/topics";

interface LeanLinksOptions {
  /** mqtt://host:port */
  readonly brokerUrl: string;
  /** Whom the logins are for: 0x and 40 lower-case hex digits. */
  readonly gatewayAddress: string;
  readonly keepaliveSeconds: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly reconnect: Retry;
  readonly onTrouble: (text: string) => void;
}

/** Acknowledgements wait so long for a message to go out with. */
const SETTLE_MS = 20;

/** Links that are asked at one time whether they said anything: a wheel of so many parts. */
const WHEEL_PARTS = 16;

/** Publishes the broker has not acknowledged. */
const IN_FLIGHT_MAX = 32;

/** Largest remaining length of a packet from the broker. */
const PACKET_BYTES_MAX = 70_000;

/** A connection that held this long was a good one: back-off begins anew after it. */
const STABLE_MS = 30_000;

const LOST = Buffer.from(JSON.stringify({ v: 1, status: "lost" }));
const SUBSCRIBE_ID = 1;
const IDS = 65_535;

/** What a device reads: the leaves that its machine knows. */
const READ: readonly Leaf[] = ["offer", "grant"];

/** Read into and handed on at once: one for all links of a process. */
const INBOX = Buffer.alloc(65_536);

/** All links of a fleet to one broker: one timer for what is due shortly, one for who has to say that it is there. */
export class LeanLinks {
  readonly options: LeanLinksOptions;
  readonly host: string;
  readonly port: number;
  #owing: LeanLink[] = [];
  #isSettling = false;
  readonly #wheel: Set<LeanLink>[] = Array.from({ length: WHEEL_PARTS }, () => new Set());
  #part = 0;
  #links = 0;
  #cancelTurn: (() => void) | null = null;

  /** Throws on a broker URL that is not mqtt://; every later trouble goes to `onTrouble`. */
  constructor(options: LeanLinksOptions) {
    const { host, port, secure, path } = readBrokerUrl(options.brokerUrl);
    if (secure || path !== null) {
      throw new Watt402Error(
        "config-invalid",
        `broker ${options.brokerUrl}: expected mqtt:// for a lean fleet; TLS and WebSocket need the usual link`,
      );
    }
    this.options = options;
    this.host = host;
    this.port = port;
  }

  /** The link of one device. */
  open(key: Key): HostLink {
    const link = new LeanLink(this, key, this.#links % WHEEL_PARTS);
    this.#links += 1;
    return link;
  }

  /** Settles it shortly, with all others that owe something then. */
  owes(link: LeanLink): void {
    this.#owing.push(link);
    if (this.#isSettling) return;
    this.#isSettling = true;
    setTimeout(() => {
      this.#isSettling = false;
      for (const one of this.#owing.splice(0)) one.settle();
    }, SETTLE_MS);
  }

  watch(link: LeanLink): void {
    this.#wheel[link.part]!.add(link);
    if (this.#cancelTurn === null && this.options.keepaliveSeconds > 0) this.#turnLater();
  }

  unwatch(link: LeanLink): void {
    this.#wheel[link.part]!.delete(link);
    if (this.#wheel.some(({ size }) => size > 0)) return;
    this.#cancelTurn?.();
    this.#cancelTurn = null;
  }

  /** Every link's turn comes once in half a keep-alive time. */
  #turnLater(): void {
    const { clock, keepaliveSeconds } = this.options;
    this.#cancelTurn = clock.at(clock.nowMs() + (keepaliveSeconds * 500) / WHEEL_PARTS, () => {
      this.#part = (this.#part + 1) % WHEEL_PARTS;
      for (const link of this.#wheel[this.#part]!) link.pingUnlessHeard();
      this.#turnLater();
    });
  }
}

/** A socket that knows its link, so that its listeners are everybody's. */
class LeanSocket extends Socket {
  readonly link: LeanLink;

  constructor(link: LeanLink) {
    super(readingFor(link));
    this.link = link;
    this.on("connect", login);
    this.on("close", lost);
    // Reported when it is closed.
    this.on("error", nothing);
  }
}

/** A socket's constructor takes what `connect` takes, which its type does not say. */
function readingFor(link: LeanLink): SocketConstructorOpts {
  const reading: SocketConstructorOpts & ConnectOpts = {
    onread: {
      buffer: INBOX,
      callback(bytes, buffer) {
        link.hear((buffer as Buffer).subarray(0, bytes));
        return true;
      },
    },
  };
  return reading;
}

function login(this: LeanSocket): void {
  this.link.login();
}

function lost(this: LeanSocket): void {
  this.link.lost(this.errored);
}

function nothing(): void {}

class LeanLink implements HostLink {
  /** Of the wheel of all links. */
  readonly part: number;
  readonly #links: LeanLinks;
  readonly #key: Key;
  #socket: LeanSocket | null = null;
  #reader = new PacketReader();
  #up = false;
  #upAtMs = 0;
  #attempts = 0;
  #inFlight = 0;
  #lastId = SUBSCRIBE_ID;
  #owed: number[] = NOTHING_OWED;
  #keptState: Uint8Array | null = null;
  #cancel: (() => void) | null = null;
  #isClosed = false;
  #hasSent = false;
  #takeMessage: ((leaf: string, payload: Uint8Array) => void) | null = null;
  #takeChange: ((up: boolean) => void) | null = null;

  constructor(links: LeanLinks, key: Key, part: number) {
    this.#links = links;
    this.#key = key;
    this.part = part;
  }

  get #device(): string {
    return this.#key.address.slice(2);
  }

  onMessage(take: (leaf: string, payload: Uint8Array) => void): void {
    this.#takeMessage = take;
  }

  onChange(take: (up: boolean) => void): void {
    const isFirst = this.#takeChange === null;
    this.#takeChange = take;
    if (isFirst) this.#connect();
  }

  publish(leaf: string, payload: Uint8Array, retained: boolean): void {
    if (!isLeaf(leaf) || LEAVES[leaf].direction !== "up" || payload.length > LEAVES[leaf].bytesMax) {
      this.#links.options.onTrouble(
        `${leaf}: expected a leaf that goes up and fits it, found ${payload.length} bytes`,
      );
      return;
    }
    if (!this.#up && leaf === "state" && retained) this.#keptState = payload;
    else if (this.#up && this.#inFlight < IN_FLIGHT_MAX) this.#send(leaf, payload, retained);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    const socket = this.#socket;
    if (socket === null) return;
    const ended = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    if (this.#up) {
      this.settle();
      socket.end(Buffer.from([DISCONNECT << 4, 0]));
    } else socket.destroy();
    await ended;
  }

  /** Sends the acknowledgements that waited for a message to go out with. */
  settle(): void {
    const owed = this.#owed;
    if (owed.length === 0 || this.#socket === null) return;
    this.#owed = NOTHING_OWED;
    this.#socket.write(Buffer.concat(owed.map((id) => acknowledgement(PUBACK << 4, id))));
  }

  // ---- one connection ----

  #connect(): void {
    const { host, port, options } = this.#links;
    if (options.clock.wallSeconds() === null) {
      this.#tryLater();
      return;
    }
    this.#reader = new PacketReader();
    this.#inFlight = 0;
    this.#owed = NOTHING_OWED;
    this.#cancel = null;
    this.#socket = new LeanSocket(this);
    this.#socket.setNoDelay(true);
    this.#socket.connect({ host, port });
  }

  login(): void {
    const { gatewayAddress, keepaliveSeconds, clock } = this.#links.options;
    // A clock that is not trusted any more makes a login that is refused, and tried again.
    const wallSeconds = clock.wallSeconds() ?? 0;
    this.#socket?.write(
      connectPacket({
        clientId: this.#device,
        keepaliveSeconds,
        username: this.#device,
        password: loginToken(this.#key, gatewayAddress, wallSeconds),
        will: { topic: topicOf(this.#device, "state"), payload: LOST, qos: 1, retain: true },
      }),
    );
  }

  hear(bytes: Buffer): void {
    const socket = this.#socket;
    if (socket === null) return;
    const fault = this.#reader.feed(
      bytes,
      () => PACKET_BYTES_MAX,
      (head, body) => {
        this.#take(socket, head, body);
        return !socket.destroyed;
      },
    );
    if (fault !== null) socket.destroy(new Error(fault));
  }

  #take(socket: Socket, head: number, body: Buffer): void {
    const type = head >> 4;
    if (type === PUBLISH) this.#takePublish(head, body);
    else if (type === PUBACK) this.#inFlight = Math.max(0, this.#inFlight - 1);
    else if (type === CONNACK && body[1] === 0) {
      socket.write(
        subscribePacket(
          SUBSCRIBE_ID,
          READ.map((leaf) => topicOf(this.#device, leaf)),
          1,
        ),
      );
    } else if (type === CONNACK) socket.destroy(new Error(`the login was refused with code ${body[1]}`));
    else if (type === SUBACK) this.#opened();
  }

  #takePublish(head: number, body: Buffer): void {
    const message = readPublish(head, body);
    if (typeof message === "string") return;
    if (message.qos === 1) {
      if (this.#owed.length === 0) this.#links.owes(this);
      this.#owed = [...this.#owed, message.id];
    }
    const leaf = READ.find((one) => message.topic.endsWith(one));
    // The inbox is everybody's: what is handed on is a copy.
    if (leaf !== undefined && message.topic === topicOf(this.#device, leaf)) {
      this.#takeMessage?.(leaf, Uint8Array.from(message.payload));
    }
  }

  #opened(): void {
    this.#up = true;
    this.#upAtMs = this.#links.options.clock.nowMs();
    this.#hasSent = false;
    this.#links.watch(this);
    if (this.#keptState !== null) this.#send("state", this.#keptState, true);
    this.#keptState = null;
    this.#takeChange?.(true);
  }

  /** Who has said nothing since it was its turn says that it is there. */
  pingUnlessHeard(): void {
    if (!this.#hasSent) this.#socket?.write(Buffer.from([PINGREQ << 4, 0]));
    this.#hasSent = false;
  }

  #send(leaf: Leaf, payload: Uint8Array, retain: boolean): void {
    this.#hasSent = true;
    this.#inFlight += 1;
    this.#lastId = (this.#lastId % IDS) + 1;
    const owed = this.#owed;
    this.#owed = NOTHING_OWED;
    this.#socket?.write(publishPacket(topicOf(this.#device, leaf), payload, retain, this.#lastId, owed));
  }

  lost(error: Error | null): void {
    const wasUp = this.#up;
    const { clock, onTrouble, brokerUrl } = this.#links.options;
    this.#cancel?.();
    this.#links.unwatch(this);
    this.#socket = null;
    this.#up = false;
    if (wasUp && clock.nowMs() - this.#upAtMs >= STABLE_MS) this.#attempts = 0;
    if (this.#isClosed) return;
    onTrouble(`broker ${brokerUrl}: ${error?.message ?? "it closed the connection"}`);
    this.#tryLater();
    if (wasUp) this.#takeChange?.(false);
  }

  #tryLater(): void {
    const { clock, random, reconnect } = this.#links.options;
    this.#attempts += 1;
    const atMs = nextAttemptMs(reconnect, this.#attempts, clock.nowMs(), random());
    this.#cancel = clock.at(atMs, () => this.#connect());
  }
}

/** Shared by all that owe nothing, which is nearly all. */
const NOTHING_OWED: number[] = [];
