/**
 * The Link port over a socket and nothing else: for fleets of many thousands, where a client library weighs more than
 * the device.
 *
 * Promise: what device/node/mqtt-link.ts promises, as far as a fleet on a broker of this project needs it: MQTT 3.1.1
 * over TCP, every connection new, the last will set, the newest state kept while offline, all else refused. An
 * acknowledgement goes out with the next message, or shortly after.
 */
import { connect, type Socket } from "node:net";
import type { Clock, Random } from "#core/ports";
import { nextAttemptMs, type Retry } from "#core/purchase";
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
import { isLeaf, LEAVES, type Leaf, topicOf } from "#protocol/topics";

export interface LeanLinkOptions {
  /** mqtt://host:port */
  readonly brokerUrl: string;
  readonly key: Key;
  /** Whom the login is for: 0x and 40 lower-case hex digits. */
  readonly gatewayAddress: string;
  readonly keepaliveSeconds: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly reconnect: Retry;
  /** Shared by the fleet: what is due shortly, in one timer for all. */
  readonly soon: Soon;
  readonly onTrouble: (text: string) => void;
}

/** Calls back what asked to be called, a little later and all together. */
export class Soon {
  #asked: LeanLink[] = [];
  #timer: NodeJS.Timeout | null = null;

  ask(link: LeanLink): void {
    this.#asked.push(link);
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      for (const one of this.#asked.splice(0)) one.settle();
    }, SETTLE_MS);
  }
}

const SETTLE_MS = 20;

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

/** Throws on a broker URL that is not mqtt://; every later trouble goes to `onTrouble`. */
export function openLeanLink(options: LeanLinkOptions): HostLink {
  const { host, port, secure, path } = readBrokerUrl(options.brokerUrl);
  if (secure || path !== null) {
    throw new Error(
      `broker ${options.brokerUrl}: expected mqtt:// for a lean fleet; TLS and WebSocket need the usual link`,
    );
  }
  return new LeanLink(options, host, port);
}

class LeanLink implements HostLink {
  readonly #options: LeanLinkOptions;
  readonly #host: string;
  readonly #port: number;
  readonly #device: string;
  #socket: Socket | null = null;
  #reader = new PacketReader();
  #up = false;
  #upAtMs = 0;
  #attempts = 0;
  #inFlight = 0;
  #lastId = SUBSCRIBE_ID;
  #owed: number[] = [];
  #keptState: Uint8Array | null = null;
  #cancel: (() => void) | null = null;
  #isClosed = false;
  #hasSent = false;
  #trouble = "";
  #takeMessage: (leaf: string, payload: Uint8Array) => void = () => undefined;
  #takeChange: ((up: boolean) => void) | null = null;

  constructor(options: LeanLinkOptions, host: string, port: number) {
    this.#options = options;
    this.#host = host;
    this.#port = port;
    this.#device = options.key.address.slice(2);
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
      this.#options.onTrouble(
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
    this.#owed = [];
    this.#socket.write(Buffer.concat(owed.map((id) => acknowledgement(PUBACK << 4, id))));
  }

  // ---- one connection ----

  #connect(): void {
    const { key, gatewayAddress, clock, keepaliveSeconds } = this.#options;
    const wallSeconds = clock.wallSeconds();
    if (wallSeconds === null) {
      this.#tryLater();
      return;
    }
    this.#reader = new PacketReader();
    this.#inFlight = 0;
    this.#owed = [];
    this.#trouble = "";
    const socket = connect({
      host: this.#host,
      port: this.#port,
      noDelay: true,
      onread: {
        buffer: INBOX,
        callback: (bytes, buffer) => {
          this.#hear(socket, (buffer as Buffer).subarray(0, bytes));
          return true;
        },
      },
    });
    this.#socket = socket;
    socket.once("connect", () => {
      socket.write(
        connectPacket({
          clientId: this.#device,
          keepaliveSeconds,
          username: this.#device,
          password: loginToken(key, gatewayAddress, wallSeconds),
          will: { topic: topicOf(this.#device, "state"), payload: LOST, qos: 1, retain: true },
        }),
      );
    });
    socket.on("error", (error) => {
      this.#trouble = error.message;
    });
    socket.once("close", () => this.#lost());
  }

  #hear(socket: Socket, bytes: Buffer): void {
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
      if (this.#owed.length === 0) this.#options.soon.ask(this);
      this.#owed.push(message.id);
    }
    const leaf = READ.find((one) => message.topic.endsWith(one));
    // The inbox is everybody's: what is handed on is a copy.
    if (leaf !== undefined && message.topic === topicOf(this.#device, leaf)) {
      this.#takeMessage(leaf, Uint8Array.from(message.payload));
    }
  }

  #opened(): void {
    const { clock } = this.#options;
    this.#up = true;
    this.#upAtMs = clock.nowMs();
    this.#keepAlive();
    if (this.#keptState !== null) this.#send("state", this.#keptState, true);
    this.#keptState = null;
    this.#takeChange?.(true);
  }

  /** Who has said nothing for half a keep-alive time says that it is there. */
  #keepAlive(): void {
    const { clock, keepaliveSeconds } = this.#options;
    if (keepaliveSeconds === 0) return;
    this.#hasSent = false;
    this.#cancel = clock.at(clock.nowMs() + keepaliveSeconds * 500, () => {
      if (!this.#hasSent) this.#socket?.write(Buffer.from([PINGREQ << 4, 0]));
      this.#keepAlive();
    });
  }

  #send(leaf: Leaf, payload: Uint8Array, retain: boolean): void {
    this.#hasSent = true;
    this.#inFlight += 1;
    this.#lastId = (this.#lastId % IDS) + 1;
    const owed = this.#owed;
    if (owed.length > 0) this.#owed = [];
    this.#socket?.write(publishPacket(topicOf(this.#device, leaf), payload, retain, this.#lastId, owed));
  }

  #lost(): void {
    const wasUp = this.#up;
    const { clock, onTrouble, brokerUrl } = this.#options;
    this.#cancel?.();
    this.#socket = null;
    this.#up = false;
    if (wasUp && clock.nowMs() - this.#upAtMs >= STABLE_MS) this.#attempts = 0;
    if (this.#isClosed) return;
    onTrouble(`broker ${brokerUrl}: ${this.#trouble || "it closed the connection"}`);
    this.#tryLater();
    if (wasUp) this.#takeChange?.(false);
  }

  #tryLater(): void {
    const { clock, random, reconnect } = this.#options;
    this.#attempts += 1;
    const atMs = nextAttemptMs(reconnect, this.#attempts, clock.nowMs(), random());
    this.#cancel = clock.at(atMs, () => this.#connect());
  }
}
