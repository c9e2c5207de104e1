/**
 * The Link port over MQTT 3.1.1 on Espruino's sockets.
 *
 * Promise: publishes are at QoS 1, and what was not acknowledged is sent again, marked so, on the next
 * connection of the same session. While offline only the newest retained state is kept; everything else is
 * refused, nothing grows. A broker that says no in its CONNACK is believed; a connection that is silent is
 * given up. It connects once somebody listens for its changes, and goes on trying with back-off.
 */
import type { Clock, Link, Random } from "#core/ports";
import { nextAttemptMs, type Retry } from "#core/rungs";
import { isLeaf, LEAVES, type Leaf, readTopic, topicOf } from "#protocol/topics";
import type { ByteStrings } from "../byte-strings.ts";
import {
  CONNACK,
  connectPacket,
  DISCONNECT,
  type Packet,
  PacketReader,
  PINGREQ,
  PUBACK,
  PUBLISH,
  pubackPacket,
  publishPacket,
  readPublish,
  SUBACK,
  subscribePacket,
  wordAt,
} from "./board-packets.ts";

/** A socket of Espruino's module `net`; its data are byte strings. */
export interface BoardSocket {
  on(event: "data", take: (bytes: string) => void): void;
  on(event: "close" | "error", take: (trouble: unknown) => void): void;
  write(bytes: string): void;
  end(): void;
}

export interface BoardNet {
  connect(to: { readonly host: string; readonly port: number }, connected: () => void): BoardSocket;
}

interface BoardLinkOptions {
  readonly net: BoardNet;
  readonly host: string;
  readonly port: number;
  /** 40 lower-case hex digits: user name and client id. */
  readonly device: string;
  /** The password of one connection; null while the clock is not set. */
  readonly login: () => string | null;
  readonly keepaliveSeconds: number;
  readonly bytes: ByteStrings;
  readonly clock: Clock;
  readonly random: Random;
  /** Called with one line why there is no connection. */
  readonly onTrouble: (text: string) => void;
}

interface BoardLinkCounters {
  connections: number;
  /** Publishes sent again on a later connection. */
  resent: number;
  /** Not sent: offline, too many unacknowledged, or too large. */
  refused: number;
}

export interface BoardLink extends Link {
  readonly counters: Readonly<BoardLinkCounters>;
  /** Disconnects in good order, so that the broker publishes no last will. */
  close(): void;
}

interface Unacknowledged {
  readonly id: number;
  readonly topic: string;
  readonly payload: string;
  readonly retain: boolean;
}

export const RECONNECT: Retry = { firstMs: 1000, maxMs: 60_000 };

/** Publishes the broker has not acknowledged: some 300 bytes each. */
export const UNACKNOWLEDGED_MAX = 8;

/** From the socket's opening to its subscriptions, and for any one acknowledgement. */
const ANSWER_MS = 20_000;

/** A connection that held this long was a good one: back-off begins anew after it. */
const STABLE_MS = 30_000;

const SUBSCRIBE_ID = 65_535;
const ID_MAX = 65_534;
const LOST = '{"v":1,"status":"lost"}';

/** Return codes of CONNACK, section 3.2.2.3. */
const REFUSALS = ["", "its protocol", "its name", "", "its user name or password", "no right to connect"];

export function openBoardLink(options: BoardLinkOptions): BoardLink {
  return new MqttConnection(options);
}

class MqttConnection implements BoardLink {
  readonly counters: BoardLinkCounters = { connections: 0, resent: 0, refused: 0 };
  private readonly options: BoardLinkOptions;
  private socket: BoardSocket | null = null;
  private reader = new PacketReader();
  private up = false;
  private upAtMs = 0;
  private attempts = 0;
  private heardAtMs = 0;
  private lastId = 0;
  private unacknowledged: Unacknowledged[] = [];
  private oldestAtMs = 0;
  private keptState: string | null = null;
  private cancelTimer: (() => void) | null = null;
  private closed = false;
  private takeMessage: (leaf: string, payload: Uint8Array) => void = () => {};
  private takeChange: ((up: boolean) => void) | null = null;

  constructor(options: BoardLinkOptions) {
    this.options = options;
  }

  onMessage(take: (leaf: string, payload: Uint8Array) => void): void {
    this.takeMessage = take;
  }

  onChange(take: (up: boolean) => void): void {
    const isFirst = this.takeChange === null;
    this.takeChange = take;
    if (this.up) take(true);
    if (isFirst && !this.closed) this.connect();
  }

  publish(leaf: string, payload: Uint8Array, retained: boolean): void {
    if (!isLeaf(leaf) || LEAVES[leaf].direction !== "up" || payload.length > LEAVES[leaf].bytesMax) {
      this.counters.refused++;
      this.options.onTrouble(`${leaf}: expected a leaf that goes up and fits, found ${payload.length} bytes`);
      return;
    }
    const text = this.options.bytes.textOf(payload);
    if (!this.up && leaf === "state" && retained) this.keptState = text;
    else if (!this.up || this.unacknowledged.length >= UNACKNOWLEDGED_MAX) this.counters.refused++;
    else this.send(leaf, text, retained);
  }

  close(): void {
    this.closed = true;
    this.cancel();
    if (this.socket === null) return;
    const socket = this.socket;
    this.socket = null;
    this.up = false;
    socket.write(DISCONNECT);
    socket.end();
  }

  // ---- one connection ----

  private connect(): void {
    const { net, host, port, device, keepaliveSeconds, clock } = this.options;
    const password = this.options.login();
    if (password === null) {
      this.options.onTrouble(
        "login: expected a clock that is set, found none; waiting for the network's time",
      );
      this.tryLater();
      return;
    }
    this.reader = new PacketReader();
    this.heardAtMs = clock.nowMs();
    let socket: BoardSocket | null = null;
    const lose = (reason: string) => {
      if (socket !== null && this.socket === socket) this.lost(reason);
    };
    try {
      socket = net.connect({ host, port }, () => {
        if (socket === null || this.socket !== socket) return;
        const willTopic = topicOf(device, "state");
        const names = { clientId: device, username: device, password };
        socket.write(connectPacket({ ...names, keepaliveSeconds, willTopic, willPayload: LOST }));
      });
    } catch (error) {
      this.options.onTrouble(`broker ${host}:${port}: ${String(error)}`);
      this.tryLater();
      return;
    }
    this.socket = socket;
    socket.on("data", (bytes) => {
      if (this.socket === socket) this.receive(bytes);
    });
    socket.on("error", (trouble) => lose(messageOf(trouble)));
    socket.on("close", () => lose("closed the connection"));
    this.watch();
  }

  /** Looks at the connection now and then: pings, and gives it up when nothing is heard. */
  private watch(): void {
    const { clock, keepaliveSeconds } = this.options;
    const everyMs = Math.min(ANSWER_MS, 500 * keepaliveSeconds);
    this.cancel();
    this.cancelTimer = clock.at(clock.nowMs() + everyMs, () => {
      this.cancelTimer = null;
      const nowMs = clock.nowMs();
      const silentMs = nowMs - this.heardAtMs;
      const isLate = this.unacknowledged.length > 0 && this.up && nowMs - this.oldestAtMs >= ANSWER_MS;
      if (silentMs >= (this.up ? 1500 * keepaliveSeconds : ANSWER_MS)) this.lost("says nothing");
      else if (isLate) this.lost("does not acknowledge");
      else {
        if (this.up && this.socket !== null) this.socket.write(PINGREQ);
        this.watch();
      }
    });
  }

  private receive(bytes: string): void {
    this.heardAtMs = this.options.clock.nowMs();
    const packets = this.reader.take(bytes);
    if (packets === null) {
      this.lost("sent what is no packet for a device");
      return;
    }
    const socket = this.socket;
    for (const packet of packets) if (this.socket === socket) this.takePacket(packet);
  }

  private takePacket(packet: Packet): void {
    const { type, body } = packet;
    if (type === CONNACK) this.welcomed(body.charCodeAt(1));
    else if (type === SUBACK) this.subscribed(body);
    else if (type === PUBACK) this.acknowledged(wordAt(body, 0));
    else if (type === PUBLISH) this.published(packet);
  }

  private welcomed(code: number): void {
    if (code !== 0) {
      this.lost(`refused the device for ${REFUSALS[code] || `code ${code}`}`);
      return;
    }
    const topics: string[] = [];
    for (const leaf of Object.keys(LEAVES) as Leaf[]) {
      // A board has no use for the general transport's long answers.
      if (leaf === "offer" || leaf === "grant") topics.push(topicOf(this.options.device, leaf));
    }
    if (this.socket !== null) this.socket.write(subscribePacket(topics, SUBSCRIBE_ID));
  }

  private subscribed(body: string): void {
    for (let i = 2; i < body.length; i++) {
      if (body.charCodeAt(i) >= 128) {
        this.lost("refused a subscription");
        return;
      }
    }
    const { clock } = this.options;
    this.up = true;
    this.upAtMs = clock.nowMs();
    this.oldestAtMs = clock.nowMs();
    this.counters.connections++;
    for (const { id, topic, payload, retain } of this.unacknowledged) {
      this.counters.resent++;
      if (this.socket !== null) this.socket.write(publishPacket(topic, payload, id, retain, true));
    }
    const kept = this.keptState;
    this.keptState = null;
    if (kept !== null && this.unacknowledged.length < UNACKNOWLEDGED_MAX) this.send("state", kept, true);
    if (this.takeChange !== null) this.takeChange(true);
  }

  private lost(reason: string): void {
    const { host, port, clock } = this.options;
    const socket = this.socket;
    const wasUp = this.up;
    this.socket = null;
    this.up = false;
    this.cancel();
    if (socket !== null) socket.end();
    if (wasUp && clock.nowMs() - this.upAtMs >= STABLE_MS) this.attempts = 0;
    if (this.closed) return;
    this.options.onTrouble(`broker ${host}:${port}: ${reason}`);
    this.tryLater();
    if (wasUp && this.takeChange !== null) this.takeChange(false);
  }

  private tryLater(): void {
    const { clock, random } = this.options;
    this.attempts++;
    const atMs = nextAttemptMs(RECONNECT, this.attempts, clock.nowMs(), random());
    this.cancel();
    this.cancelTimer = clock.at(atMs, () => {
      this.cancelTimer = null;
      this.connect();
    });
  }

  private cancel(): void {
    if (this.cancelTimer !== null) this.cancelTimer();
    this.cancelTimer = null;
  }

  // ---- messages ----

  private published(packet: Packet): void {
    const message = readPublish(packet);
    if (message === null) {
      this.lost("sent a publish that is none");
      return;
    }
    const known = readTopic(message.topic);
    const isOurs = known !== null && known.device === this.options.device;
    if (known !== null && isOurs && LEAVES[known.leaf].direction === "down") {
      this.takeMessage(known.leaf, this.options.bytes.bytesOf(message.payload));
    }
    if (message.id > 0 && this.socket !== null) this.socket.write(pubackPacket(message.id));
  }

  private send(leaf: Leaf, payload: string, retain: boolean): void {
    const id = this.freeId();
    const topic = topicOf(this.options.device, leaf);
    if (this.unacknowledged.length === 0) this.oldestAtMs = this.options.clock.nowMs();
    this.unacknowledged.push({ id, topic, payload, retain });
    if (this.socket !== null) this.socket.write(publishPacket(topic, payload, id, retain, false));
  }

  private freeId(): number {
    for (;;) {
      this.lastId = (this.lastId % ID_MAX) + 1;
      let isFree = true;
      for (const { id } of this.unacknowledged) if (id === this.lastId) isFree = false;
      if (isFree) return this.lastId;
    }
  }

  private acknowledged(id: number): void {
    this.unacknowledged = this.unacknowledged.filter((waiting) => waiting.id !== id);
    this.oldestAtMs = this.options.clock.nowMs();
  }
}

function messageOf(trouble: unknown): string {
  if (typeof trouble === "object" && trouble !== null && "message" in trouble) return String(trouble.message);
  return String(trouble);
}
