/**
 * The key that authenticates messages between one device and one gateway.
 *
 * Promise: enrolment is an exchange of public keys; the 32-byte key is HKDF-SHA256 over their ECDH, so
 * both sides compute it once and no secret travels.
 */
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import type { Key } from "./key.ts";
import { laidDown } from "./packed-bytes.ts";

const INFO = utf8ToBytes("watt402 message tag 1");
const TAG_KEY_BYTES = 32;

/** @param otherPublicKey compressed, of the other side */
export function tagKeyBetween(own: Key, otherPublicKey: Uint8Array): Uint8Array {
  return laidDown(hkdf(sha256, own.shareWith(otherPublicKey), undefined, INFO, TAG_KEY_BYTES));
}
