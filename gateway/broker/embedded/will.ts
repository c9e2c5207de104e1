/**
 * MQTT's will of a connection, once it was authorized: published when it ends without a DISCONNECT.
 *
 * Promise: nothing of its packet is kept; wills that are equal are held once.
 */
import type { Leaf } from "#protocol/topics";
import { publishedLeaf } from "../auth/topic-access.ts";
import type { Will } from "../mqtt-packets.ts";

export interface RetainedWill {
  readonly leaf: Leaf;
  readonly payload: Uint8Array;
}

/** Devices of one kind have equal wills. */
let latest: RetainedWill | null = null;

/** Of a will that its device may publish; null of any other. */
export function retainedWill(device: string, { topic, payload, retain }: Will): RetainedWill | null {
  const leaf = publishedLeaf(device, topic, payload.length, retain);
  if (leaf === null) return null;
  if (latest?.leaf !== leaf || Buffer.compare(latest.payload, payload) !== 0) {
    latest = { leaf, payload: Uint8Array.from(payload) };
  }
  return latest;
}
