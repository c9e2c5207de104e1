/**
 * MQTT 3.1.1 packets as bytes: what a broker of devices needs of them, for either side.
 *
 * Promise: a reader yields whole packets, however they are cut, as views of what came wherever that is possible; a
 * packet above the bound, or of a form that the standard forbids, is a reason in words, never a guess. Encoders
 * give one buffer, to be written at once.
 */

/** Section 2.2.1. */
export const CONNECT = 1;
export const CONNACK = 2;
export const PUBLISH = 3;
export const PUBACK = 4;
export const PUBREC = 5;
export const PUBREL = 6;
export const PUBCOMP = 7;
export const SUBSCRIBE = 8;
export const SUBACK = 9;
export const UNSUBSCRIBE = 10;
export const UNSUBACK = 11;
export const PINGREQ = 12;
export const PINGRESP = 13;
export const DISCONNECT = 14;

/** Section 2.2.3: the remaining length takes at most four bytes. */
const LENGTH_BYTES_MAX = 4;

export interface Will {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
}

export interface Connect {
  readonly clientId: string;
  readonly keepaliveSeconds: number;
  readonly username: string;
  readonly password: string;
  readonly will: Will | null;
}

export interface Publish {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  /** 0 at QoS 0. */
  readonly id: number;
}

export interface Subscription {
  readonly filter: string;
  readonly qos: number;
}

/** Cuts a stream of bytes into packets. */
export class PacketReader {
  /** Bytes that are not a whole packet yet; null when there are none. */
  #rest: Buffer | null = null;

  /**
   * @param bytesMax largest remaining length now; asked before anything of a packet is kept
   * @param take called with the first byte of each packet, what its length counts, and all of it; false: no more of
   *   them for now
   * @returns why these bytes are no packets; null when nothing is wrong
   */
  feed(
    chunk: Buffer,
    bytesMax: () => number,
    take: (head: number, body: Buffer, packet: Buffer) => boolean,
  ): string | null {
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = null;
    let at = 0;
    let isWanted = true;
    while (at < bytes.length && isWanted) {
      let remaining = 0;
      let length = 1;
      let isWhole = false;
      for (; length <= LENGTH_BYTES_MAX && at + length < bytes.length && !isWhole; length++) {
        const byte = bytes[at + length]!;
        remaining += (byte & 0x7f) * 128 ** (length - 1);
        isWhole = (byte & 0x80) === 0;
      }
      const max = bytesMax();
      if (remaining > max || (!isWhole && length > LENGTH_BYTES_MAX)) {
        return `expected packets of at most ${max} bytes, found a longer one`;
      }
      const end = at + length + remaining;
      if (!isWhole || end > bytes.length) break;
      isWanted = take(bytes[at]!, bytes.subarray(at + length, end), bytes.subarray(at, end));
      at = end;
    }
    // A view would keep the whole of what came with it.
    if (at < bytes.length) this.#rest = Buffer.from(bytes.subarray(at));
    return null;
  }
}

/** What a decoder makes of a packet, or in a few words why it is none. */
type Read<Packet> = Packet | string;

/** Section 3.1. "version": another one than MQTT 3.1.1 was asked for. */
export function readConnect(body: Buffer): Read<Connect> | "version" {
  const fields = new Fields(body);
  const name = fields.text();
  const level = fields.byte();
  if (name !== "MQTT" || level !== 4) return fields.isBroken ? MALFORMED : "version";
  const flags = fields.byte();
  const keepaliveSeconds = fields.number();
  const clientId = fields.text();
  const hasWill = (flags & 0x04) !== 0;
  const qos = (flags >> 3) & 3;
  if ((flags & 1) !== 0 || qos === 3 || (!hasWill && (flags & 0x38) !== 0)) return MALFORMED;
  // Section 3.1.2.9: no password without a user name.
  if ((flags & 0xc0) === 0x40) return MALFORMED;
  let will: Will | null = null;
  if (hasWill) will = { topic: fields.text(), payload: fields.bytes(), qos, retain: (flags & 0x20) !== 0 };
  const username = (flags & 0x80) === 0 ? "" : fields.text();
  const password = (flags & 0x40) === 0 ? "" : fields.bytes().toString();
  if (fields.isBroken || fields.left > 0) return MALFORMED;
  return { clientId, keepaliveSeconds, username, password, will };
}

/** Section 3.3. @param head the packet's first byte */
export function readPublish(head: number, body: Buffer): Read<Publish> {
  const qos = (head >> 1) & 3;
  // Sections 3.3.1.1 and 3.3.2.1: QoS 0 is never sent again, and a topic has a character at least.
  if (qos === 3 || (qos === 0 && (head & 8) !== 0) || body.length < 2) return MALFORMED;
  const topicEnd = 2 + body.readUInt16BE(0);
  const payloadAt = qos === 0 ? topicEnd : topicEnd + 2;
  if (topicEnd === 2 || payloadAt > body.length) return MALFORMED;
  const id = qos === 0 ? 0 : body.readUInt16BE(topicEnd);
  if (qos > 0 && id === 0) return MALFORMED;
  // The protocol's topics are ASCII; any other is no device's topic, in any encoding.
  const topic = body.toString("latin1", 2, topicEnd);
  return { topic, payload: body.subarray(payloadAt), qos, retain: (head & 1) !== 0, id };
}

/** A SUBSCRIBE, or an UNSUBSCRIBE with QoS 0 throughout. */
export interface Subscriptions {
  readonly id: number;
  readonly subscriptions: readonly Subscription[];
}

/** Section 3.8; section 3.10 when `hasQos` is false. */
export function readSubscribe(body: Buffer, hasQos: boolean): Read<Subscriptions> {
  const fields = new Fields(body);
  const id = fields.number();
  const subscriptions: Subscription[] = [];
  do {
    const filter = fields.text();
    const qos = hasQos ? fields.byte() : 0;
    if (qos > 2 || filter === "") return MALFORMED;
    subscriptions.push({ filter, qos });
  } while (fields.left > 0 && !fields.isBroken);
  return fields.isBroken || id === 0 ? MALFORMED : { id, subscriptions };
}

/** The packet id that an acknowledgement is of; 0 when it names none. */
export function readId(body: Buffer): number {
  return body.length === 2 ? body.readUInt16BE(0) : 0;
}

export const MALFORMED = "expected a packet of MQTT 3.1.1, found a malformed one";

/** Reads a packet's fields in their order; once one does not fit, all are empty. */
class Fields {
  isBroken = false;
  readonly #body: Buffer;
  #at = 0;

  constructor(body: Buffer) {
    this.#body = body;
  }

  get left(): number {
    return this.#body.length - this.#at;
  }

  byte(): number {
    return this.#take(1)[0] ?? 0;
  }

  number(): number {
    const bytes = this.#take(2);
    return bytes.length === 2 ? bytes.readUInt16BE(0) : 0;
  }

  bytes(): Buffer {
    return this.#take(this.number());
  }

  text(): string {
    return this.bytes().toString();
  }

  #take(count: number): Buffer {
    if (count > this.left) this.isBroken = true;
    if (this.isBroken) return Buffer.alloc(0);
    this.#at += count;
    return this.#body.subarray(this.#at - count, this.#at);
  }
}

/** Section 3.4 and its likes: a packet that is an id and nothing else. @param head type and flags */
export function acknowledgement(head: number, id: number): Buffer {
  return Buffer.from([head, 2, id >> 8, id & 0xff]);
}

/**
 * Acknowledgements of QoS 1 messages and a PUBLISH behind them, in one buffer.
 * @param id 0 for QoS 0, else 1..65535 for QoS 1
 * @param acknowledged ids of messages that are acknowledged by the way
 */
export function publishPacket(
  topic: string,
  payload: Uint8Array,
  retain: boolean,
  id: number,
  acknowledged: readonly number[],
): Buffer {
  const remaining = 2 + topic.length + (id === 0 ? 0 : 2) + payload.length;
  const packet = Buffer.allocUnsafe(4 * acknowledged.length + 1 + lengthBytes(remaining) + remaining);
  let at = 0;
  for (const one of acknowledged) {
    packet[at] = PUBACK << 4;
    packet[at + 1] = 2;
    packet.writeUInt16BE(one, at + 2);
    at += 4;
  }
  packet[at++] = (PUBLISH << 4) | (id === 0 ? 0 : 2) | (retain ? 1 : 0);
  at = putLength(packet, at, remaining);
  at = packet.writeUInt16BE(topic.length, at);
  at += packet.write(topic, at, "latin1");
  if (id > 0) at = packet.writeUInt16BE(id, at);
  packet.set(payload, at);
  return packet;
}

/** Section 3.1, with a clean session. Texts are ASCII. */
export function connectPacket({ clientId, keepaliveSeconds, username, password, will }: Connect): Buffer {
  const flags = 0xc2 | (will === null ? 0 : 0x04 | (will.qos << 3) | (will.retain ? 0x20 : 0));
  const fixed = Buffer.from([0, 4, 77, 81, 84, 84, 4, flags, keepaliveSeconds >> 8, keepaliveSeconds & 0xff]);
  const fields = [clientId, ...(will === null ? [] : [will.topic, will.payload]), username, password];
  return packetOf(CONNECT << 4, [fixed, ...fields.map(fieldOf)]);
}

/** Section 3.8. @param filters ASCII */
export function subscribePacket(id: number, filters: readonly string[], qos: number): Buffer {
  const parts = filters.flatMap((filter) => [fieldOf(filter), Buffer.from([qos])]);
  return packetOf((SUBSCRIBE << 4) | 2, [Buffer.from([id >> 8, id & 0xff]), ...parts]);
}

/** Section 3.9. @param granted for each filter its QoS, or 128 */
export function subackPacket(id: number, granted: readonly number[]): Buffer {
  return packetOf(SUBACK << 4, [Buffer.from([id >> 8, id & 0xff, ...granted])]);
}

function packetOf(head: number, parts: readonly Buffer[]): Buffer {
  const remaining = parts.reduce((sum, part) => sum + part.length, 0);
  const header = Buffer.alloc(1 + lengthBytes(remaining));
  header[0] = head;
  putLength(header, 1, remaining);
  return Buffer.concat([header, ...parts]);
}

function fieldOf(value: string | Buffer): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

function lengthBytes(remaining: number): number {
  if (remaining < 128) return 1;
  if (remaining < 128 ** 2) return 2;
  return remaining < 128 ** 3 ? 3 : 4;
}

function putLength(packet: Buffer, at: number, remaining: number): number {
  let rest = remaining;
  let next = at;
  do {
    packet[next++] = (rest % 128) | (rest >= 128 ? 0x80 : 0);
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return next;
}
