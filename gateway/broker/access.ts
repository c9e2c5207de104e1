/**
 * Who may speak on which topic: deny by default.
 *
 * Promise: a device proves its key to log in, publishes its own up leaves within their sizes, subscribes
 * to its own down leaves, and nothing else passes.
 */
import type { Hex } from "#payment/bytes";
import { provenLogin } from "#payment/login";
import { isDeviceName, LEAVES, type LeafRule, readTopic } from "#protocol/topics";

export interface Login {
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
}

/** The device that a login proves; null, and in a few words why, when it proves none. */
export function proveDevice(
  login: Login,
  gateway: string,
  wallSeconds: number,
): { readonly device: string | null; readonly reason: string } {
  if (!isDeviceName(login.username)) {
    return { device: null, reason: "expected the device's address (40 hex digits) as user name" };
  }
  if (login.clientId !== login.username) {
    return { device: null, reason: "expected a client id equal to the user name" };
  }
  const device: Hex = `0x${login.username}`;
  if (provenLogin(login.password, device, gateway, wallSeconds) === null) {
    return {
      device: null,
      reason:
        "the password proves no key of this device now: check its clock, and the gateway it was provisioned for",
    };
  }
  return { device: login.username, reason: "" };
}

/** May this device publish so many bytes, retained or not, on this topic? */
export function mayPublish(device: string, topic: string, bytes: number, retained: boolean): boolean {
  const rule = ruleFor(device, topic);
  return rule?.direction === "up" && bytes <= rule.bytesMax && (!retained || rule.retained);
}

/** May this device subscribe to this filter? A filter with wildcards names no leaf. */
export function maySubscribe(device: string, filter: string): boolean {
  return ruleFor(device, filter)?.direction === "down";
}

function ruleFor(device: string, topic: string): LeafRule | null {
  const read = readTopic(topic);
  return read !== null && read.device === device ? LEAVES[read.leaf] : null;
}
