/**
 * How a device proves its key to a broker: a signed, time-bound token as MQTT password.
 *
 * Promise: only the key's holder can make a token for its address and this gateway, and a token read on
 * the wire is worth nothing a day later.
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { fromHex, type Hex, toHex } from "./bytes.ts";
import { type Key, recoverAddress } from "./key.ts";

/** Farthest that a token's time may be from the gateway's clock, seconds, either way. */
export const LOGIN_WINDOW_SECONDS = 86_400;

const TOKEN = /^([0-9]{1,12})\.(0x[0-9a-f]{130})$/;

/**
 * The password of one connection.
 * @param gateway the gateway's address, so that a token is of no use elsewhere
 */
export function loginToken(key: Key, gateway: string, wallSeconds: number): string {
  const seconds = Math.floor(wallSeconds);
  return `${seconds}.${toHex(key.sign(loginDigest(key.address, gateway, seconds)))}`;
}

/** The address that a token proves; null when it is malformed, out of its time, or somebody else's. */
export function provenLogin(token: string, device: Hex, gateway: string, wallSeconds: number): Hex | null {
  const parts = TOKEN.exec(token);
  if (!parts) return null;
  const seconds = Number(parts[1]);
  if (Math.abs(seconds - wallSeconds) > LOGIN_WINDOW_SECONDS) return null;
  const signer = recoverAddress(loginDigest(device, gateway, seconds), fromHex(parts[2]!));
  return signer === device ? signer : null;
}

/** An EIP-191 personal message, so that it can never be taken for a payment. */
function loginDigest(device: string, gateway: string, seconds: number): Uint8Array {
  const text = `watt402 login\ndevice ${device}\ngateway ${gateway}\ntime ${seconds}`;
  return keccak_256(utf8ToBytes(`\x19Ethereum Signed Message:\n${text.length}${text}`));
}
