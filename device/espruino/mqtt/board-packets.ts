/**
 * MQTT 3.1.1 packets as byte strings, the form in which Espruino's sockets carry them.
 *
 * Promise: whole packets come out however the network split or joined them; a length that no leaf of ours has
 * is an error, so no peer can make a board gather bytes for ever. Section numbers are those of the OASIS
 * standard.
 */

export const CONNACK = 2;
export const PUBLISH = 3;
export const PUBACK = 4;
export const SUBACK = 9;
export const PINGRESP = 13;

/** Longest packet accepted: an offer of 4,096 bytes with its topic. */
export const PACKET_BYTES_MAX = 4400;

export interface Packet {
  /** 1..15, section 2.2.1 */
  readonly type: number;
  /** 0..15 */
  readonly flags: number;
  readonly body: string;
}

interface ConnectOptions {
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
  readonly keepaliveSeconds: number;
  readonly willTopic: string;
  readonly willPayload: string;
}

/** Will retained and at QoS 1, user name, password, and the session of before: section 3.1.2. */
const CONNECT_FLAGS = 0xec;

export function connectPacket(options: ConnectOptions): string {
  const head = `${text("MQTT")}\x04${String.fromCharCode(CONNECT_FLAGS)}${word(options.keepaliveSeconds)}`;
  const will = text(options.willTopic) + text(options.willPayload);
  return packet(0x10, head + text(options.clientId) + will + text(options.username) + text(options.password));
}

/** At QoS 1. @param id 1..65535 */
export function publishPacket(
  topic: string,
  payload: string,
  id: number,
  retain: boolean,
  again: boolean,
): string {
  return packet(0x32 | (again ? 8 : 0) | (retain ? 1 : 0), text(topic) + word(id) + payload);
}

export function subscribePacket(topics: readonly string[], id: number): string {
  let body = word(id);
  for (const topic of topics) body += `${text(topic)}\x01`;
  return packet(0x82, body);
}

export function pubackPacket(id: number): string {
  return packet(0x40, word(id));
}

export const PINGREQ = "\xc0\x00";
export const DISCONNECT = "\xe0\x00";

/** A big-endian number of two bytes at an offset. */
export function wordAt(body: string, offset: number): number {
  return body.charCodeAt(offset) * 256 + body.charCodeAt(offset + 1);
}

export interface Published {
  readonly topic: string;
  readonly payload: string;
  /** 0 at QoS 0. */
  readonly id: number;
}

/** Null when the packet is none (section 3.3). */
export function readPublish({ flags, body }: Packet): Published | null {
  const qos = (flags >> 1) & 3;
  if (qos > 1 || body.length < 2) return null;
  const topicEnd = 2 + wordAt(body, 0);
  const payloadAt = topicEnd + (qos === 0 ? 0 : 2);
  if (payloadAt > body.length) return null;
  return {
    topic: body.slice(2, topicEnd),
    payload: body.slice(payloadAt),
    id: qos === 0 ? 0 : wordAt(body, topicEnd),
  };
}

/** Gathers what a socket brings until packets are whole. */
export class PacketReader {
  private bytes = "";

  /** The packets that are whole with these bytes; null when what came is none of ours. */
  take(chunk: string): Packet[] | null {
    this.bytes += chunk;
    const packets: Packet[] = [];
    for (;;) {
      const bytes = this.bytes;
      let length = 0;
      let scale = 1;
      let at = 1;
      let isLast = false;
      // Section 2.2.3: seven bits a byte, at most four of them.
      while (!isLast && at < bytes.length && at <= 4) {
        const digit = bytes.charCodeAt(at);
        length += (digit & 127) * scale;
        scale *= 128;
        isLast = digit < 128;
        at++;
      }
      if (!isLast) return at > 4 ? null : packets;
      if (length > PACKET_BYTES_MAX) return null;
      if (bytes.length < at + length) return packets;
      const first = bytes.charCodeAt(0);
      packets.push({ type: first >> 4, flags: first & 15, body: bytes.slice(at, at + length) });
      this.bytes = bytes.slice(at + length);
    }
  }
}

function packet(first: number, body: string): string {
  let length = "";
  let rest = body.length;
  do {
    const digit = rest % 128;
    rest = Math.floor(rest / 128);
    length += String.fromCharCode(rest > 0 ? digit + 128 : digit);
  } while (rest > 0);
  return String.fromCharCode(first) + length + body;
}

function text(value: string): string {
  return word(value.length) + value;
}

function word(value: number): string {
  return String.fromCharCode(Math.floor(value / 256)) + String.fromCharCode(value % 256);
}
