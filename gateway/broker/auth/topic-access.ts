/**
 * Which device may use which topic: deny by default.
 *
 * Promise: a device proves itself to log in, by its key or by a certificate that names it; it publishes its
 * own up leaves within their sizes, subscribes to its own down leaves, and nothing else is allowed.
 */
import type { Hex } from "#payment/bytes";
import type { Key, RecoverSigner } from "#payment/key";
import { provenLogin, provenSealedLogin } from "#payment/login";
import { isDeviceName, LEAVES, type Leaf, TOPIC_PREFIX } from "#protocol/topics";
import {
  BAD_CREDENTIALS,
  IDENTIFIER_REJECTED,
  type LoginCode,
  type LoginRefusal,
  NOT_AUTHORISED,
} from "./connack.ts";

export interface Login {
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
  /** Devices that its checked TLS certificate names; null without one. */
  readonly certified: readonly string[] | null;
  /** By its listener a certificate alone proves a device. */
  readonly needsCertificate: boolean;
}

/**
 * The device that a login proves, or why it proves none.
 * @param gateway the gateway's key; its address alone where no sealed login is to be believed
 */
export function proveDevice(
  login: Login,
  gateway: Key | string,
  wallSeconds: number,
  recoverSigner: RecoverSigner,
):
  | { readonly device: string; readonly refusal: null }
  | { readonly device: null; readonly refusal: LoginRefusal } {
  const { username, certified } = login;
  if (!isDeviceName(username)) {
    return refused(BAD_CREDENTIALS, "expected the device's address (40 lower-case hex digits) as user name");
  }
  if (login.clientId !== username) {
    return refused(IDENTIFIER_REJECTED, "expected a client id equal to the user name");
  }
  if (certified?.includes(username)) return { device: username, refusal: null };
  // A certificate that names others is theirs, with any password.
  if (certified !== null && certified.length > 0) {
    return refused(NOT_AUTHORISED, "expected a certificate of this device, found another device's");
  }
  if (login.needsCertificate) {
    return refused(
      NOT_AUTHORISED,
      "expected a certificate with the device's address as common name, found another name",
    );
  }
  const device: Hex = `0x${username}`;
  const address = typeof gateway === "string" ? gateway : gateway.address;
  const isSealed =
    typeof gateway !== "string" && provenSealedLogin(login.password, device, gateway, wallSeconds) !== null;
  if (!isSealed && provenLogin(login.password, device, address, wallSeconds, recoverSigner) === null) {
    return refused(
      BAD_CREDENTIALS,
      "the password proves no key of this device now: check its clock, and the gateway it was provisioned for",
    );
  }
  return { device: username, refusal: null };
}

function refused(code: LoginCode, reason: string) {
  return { device: null, refusal: { code, reason } };
}

/** Whether this device may publish so many bytes, retained or not, on this topic. */
export function mayPublish(device: string, topic: string, bytes: number, retained: boolean): boolean {
  return publishedLeaf(device, topic, bytes, retained) !== null;
}

/** The leaf that a device may publish so many bytes on by this topic, retained or not; null when it may not. */
export function publishedLeaf(device: string, topic: string, bytes: number, retained: boolean): Leaf | null {
  const leaf = ownLeaf(device, topic);
  if (leaf === null) return null;
  const { direction, bytesMax, retained: mayRetain } = LEAVES[leaf];
  return direction === "up" && bytes <= bytesMax && (!retained || mayRetain) ? leaf : null;
}

/** Whether this device may subscribe to this filter. A filter with wildcards names no leaf. */
export function maySubscribe(device: string, filter: string): boolean {
  const leaf = ownLeaf(device, filter);
  return leaf !== null && LEAVES[leaf].direction === "down";
}

/** The leaf of a device's own topic. Looked at for every message: nothing of the topic is read twice. */
function ownLeaf(device: string, topic: string): Leaf | null {
  const leafAt = TOPIC_PREFIX.length + device.length + 1;
  const isOwn = topic.startsWith(TOPIC_PREFIX) && topic.startsWith(device, TOPIC_PREFIX.length);
  if (!isOwn || topic.charAt(leafAt - 1) !== "/") return null;
  const leaf = topic.slice(leafAt);
  return Object.hasOwn(LEAVES, leaf) ? (leaf as Leaf) : null;
}
