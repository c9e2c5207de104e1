/**
 * Topic names: `x402/1/<device>/<leaf>`.
 *
 * Promise: a topic built here is one this module reads back; anything else is no topic of the protocol. A device
 * name is its address in 40 lower-case hex digits, so no wildcard or separator can hide in it.
 */

export const TOPIC_PREFIX = "x402/1/";

/** Who speaks on a leaf, and whether the broker keeps the last word. */
interface LeafRule {
  readonly direction: "up" | "down";
  readonly retained: boolean;
  /** Largest payload in bytes that either side accepts. */
  readonly bytesMax: number;
}

export type Leaf =
  | "hello"
  | "offer"
  | "pay"
  | "grant"
  | "state"
  | "reading"
  | "request"
  | "payment-required"
  | "payment"
  | "response";

export const LEAVES: Readonly<Record<Leaf, LeafRule>> = {
  hello: { direction: "up", retained: false, bytesMax: 1024 },
  offer: { direction: "down", retained: true, bytesMax: 4096 },
  pay: { direction: "up", retained: false, bytesMax: 193 },
  grant: { direction: "down", retained: false, bytesMax: 42 },
  state: { direction: "up", retained: true, bytesMax: 1024 },
  reading: { direction: "up", retained: false, bytesMax: 512 },
  request: { direction: "up", retained: false, bytesMax: 16384 },
  "payment-required": { direction: "down", retained: false, bytesMax: 16384 },
  payment: { direction: "up", retained: false, bytesMax: 16384 },
  response: { direction: "down", retained: false, bytesMax: 65536 },
};

const DEVICE_DIGITS = 40;

/** True for 40 lower-case hex digits. */
export function isDeviceName(name: string): boolean {
  if (name.length !== DEVICE_DIGITS) return false;
  for (let i = 0; i < DEVICE_DIGITS; i++) if ("0123456789abcdef".indexOf(name.charAt(i)) < 0) return false;
  return true;
}

export function isLeaf(name: string): name is Leaf {
  return Object.keys(LEAVES).indexOf(name) >= 0;
}

/** @param device 40 lower-case hex digits */
export function topicOf(device: string, leaf: Leaf): string {
  return `${TOPIC_PREFIX + device}/${leaf}`;
}

/** The device and leaf of a topic; null for any other topic. */
export function readTopic(topic: string): { readonly device: string; readonly leaf: Leaf } | null {
  if (topic.indexOf(TOPIC_PREFIX) !== 0) return null;
  const device = topic.slice(TOPIC_PREFIX.length, TOPIC_PREFIX.length + DEVICE_DIGITS);
  const leaf = topic.slice(TOPIC_PREFIX.length + DEVICE_DIGITS + 1);
  if (topic.charAt(TOPIC_PREFIX.length + DEVICE_DIGITS) !== "/") return null;
  return isDeviceName(device) && isLeaf(leaf) ? { device, leaf } : null;
}
