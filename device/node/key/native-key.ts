/**
 * A device's or gateway's key with libsecp256k1 instead of JavaScript.
 *
 * Promise: the same bytes as device/payment/key.ts for every secret and digest (a test); where the platform has no
 * native library, opening a key throws: it never falls back to slow JavaScript in silence.
 */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { type Hex, toHex, wordOfInteger } from "#payment/bytes";
import type { Key } from "#payment/key";
import { laidDown } from "#payment/packed-bytes";
import { Watt402Error } from "#payment/watt402-error";
import { libsecp256k1 } from "./libsecp256k1.ts";

const OPTIONS = {};
const SHARED_X = { hashfn: (x: Uint8Array) => x };
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/** RFC 6979 section 2.3.4 takes a digest modulo the order, which the library leaves to its caller. */
function reduced(digest: Uint8Array): Uint8Array {
  // Below the order it is as it is: 1 of 2^32 is looked at, 1 of 2^128 changed.
  if (digest[0] !== 255 || digest[1] !== 255 || digest[2] !== 255 || digest[3] !== 255) return digest;
  const value = BigInt(toHex(digest));
  return value < ORDER ? digest : wordOfInteger(value - ORDER);
}

/** @param secret 32 bytes, a valid scalar; throws otherwise without showing it */
export function openNativeKey(secret: Uint8Array): Key {
  if (secret.length !== 32 || !libsecp256k1().privateKeyVerify(secret)) {
    throw new Watt402Error(
      "value-invalid",
      `expected a secp256k1 secret of 32 bytes, found ${secret.length} bytes that are none`,
    );
  }
  return new NativeKey(secret);
}

/** A class, and the public key made anew when it is asked for: a fleet has many keys in one process. */
class NativeKey implements Key {
  readonly address: Hex;
  readonly #secret: Uint8Array;

  constructor(secret: Uint8Array) {
    this.#secret = laidDown(secret);
    const point = libsecp256k1().publicKeyCreate(secret, false).subarray(1);
    this.address = toHex(keccak_256(point).subarray(12));
  }

  get publicKey(): Uint8Array {
    return libsecp256k1().publicKeyCreate(this.#secret, true);
  }

  sign(digest: Uint8Array): Uint8Array {
    const signature = new Uint8Array(65);
    const rs = signature.subarray(0, 64);
    signature[64] = 27 + libsecp256k1().ecdsaSign(reduced(digest), this.#secret, OPTIONS, rs).recid;
    return signature;
  }

  shareWith(other: Uint8Array): Uint8Array {
    // The library's own choice is a hash of the point; what is agreed on is its x.
    return libsecp256k1().ecdh(Uint8Array.from(other), this.#secret, SHARED_X, new Uint8Array(32));
  }
}
