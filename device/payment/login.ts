/**
 * How a device proves its key to a broker: a signed or sealed, time-bound token as MQTT password.
 *
 * Promise: only the key's holder can make a token for its address and this gateway, and a token read on
 * the wire is worth nothing a day later. A sealed one (protocol/sealed-login.ts) could be made by its gateway
 * as well, which is the one it is shown to.
 */
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { loginTag } from "#protocol/sealed-login";
import { fromHex, type Hex, toHex } from "./bytes.ts";
import { addressOf, type Key, type RecoverSigner, recoverAddress } from "./key.ts";
import { tagKeyBetween } from "./tag-key.ts";

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

/**
 * The address that a token proves; null when it is malformed, out of its time, or somebody else's.
 * @param recoverSigner what costs: a native one where many log in
 */
export function provenLogin(
  token: string,
  device: Hex,
  gateway: string,
  wallSeconds: number,
  recoverSigner: RecoverSigner = recoverAddress,
): Hex | null {
  const parts = TOKEN.exec(token);
  if (!parts) return null;
  const seconds = Number(parts[1]);
  if (Math.abs(seconds - wallSeconds) > LOGIN_WINDOW_SECONDS) return null;
  const signer = recoverSigner(loginDigest(device, gateway, seconds), fromHex(parts[2]!));
  return signer === device ? signer : null;
}

const SEALED = /^([0-9]{1,12})\.(0x0[23][0-9a-f]{64})\.0x([0-9a-f]{32})$/;

/** The address that a sealed token proves to the gateway of this key; null as above. */
export function provenSealedLogin(token: string, device: Hex, gateway: Key, wallSeconds: number): Hex | null {
  const [, seconds, publicKey, tag] = SEALED.exec(token) ?? [];
  if (seconds === undefined || Math.abs(Number(seconds) - wallSeconds) > LOGIN_WINDOW_SECONDS) return null;
  const point = fromHex(publicKey! as Hex);
  try {
    if (addressOf(point) !== device) return null;
    const key = tagKeyBetween(gateway, point);
    const tagger = { hmac: (own: Uint8Array, text: Uint8Array) => hmac(sha256, own, text), key };
    return loginTag(tagger, device.slice(2), Number(seconds)) === tag ? device : null;
  } catch {
    // No point of the curve.
    return null;
  }
}

/** An EIP-191 personal message, so that it can never be taken for a payment. */
function loginDigest(device: string, gateway: string, seconds: number): Uint8Array {
  const text = `watt402 login\ndevice ${device}\ngateway ${gateway}\ntime ${seconds}`;
  return keccak_256(utf8ToBytes(`\x19Ethereum Signed Message:\n${text.length}${text}`));
}
