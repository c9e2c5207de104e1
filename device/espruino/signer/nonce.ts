/**
 * The nonce of a signature by RFC 6979, section 3.2, with HMAC-SHA256: one HMAC a slice.
 *
 * Promise: the same key and digest give the same nonce for ever, so a rung signed again after a power cut
 * has the same bytes; no entropy is asked of a board that has none.
 */
import type { Hmac } from "#core/ports";
import { ORDER } from "./curve.ts";
import { compareLimbs, isZero, type Limbs, limbsOf, reduceLimbs, writeLimbs } from "./limbs.ts";
import type { Sliced } from "./sliced.ts";

const HASH_BYTES = 32;

export interface Nonce extends Sliced {
  /** @param secret the key, 32 bytes @param digest what is signed, 32 bytes */
  start(secret: Uint8Array, digest: Uint8Array): void;
  /** 1..n-1, once step has returned true. */
  result(): Limbs;
  /** The digest as a number, 0..n-1 (section 2.3.4, bits2octets). */
  message(): Limbs;
}

export function createNonce(hmac: Hmac): Nonce {
  // V, a byte that counts the seedings, the secret, the digest: what HMAC is fed while seeding.
  const seed = new Uint8Array(3 * HASH_BYTES + 1);
  let key: Uint8Array = new Uint8Array(HASH_BYTES);
  let value: Uint8Array = new Uint8Array(HASH_BYTES);
  let message: Limbs = new Int32Array(0);
  let nonce: Limbs = new Int32Array(0);
  let part = 0;

  function mixed(separator: number): Uint8Array {
    seed.set(value);
    seed[HASH_BYTES] = separator;
    return seed;
  }

  return {
    start(secret, digest) {
      message = limbsOf(digest);
      reduceLimbs(message, ORDER);
      seed.set(secret, HASH_BYTES + 1);
      writeLimbs(message, seed, 2 * HASH_BYTES + 1);
      key = new Uint8Array(HASH_BYTES);
      value = new Uint8Array(HASH_BYTES).fill(1);
      part = 0;
    },

    step() {
      if (part === 0) key = hmac(key, mixed(0));
      else if (part === 2) key = hmac(key, mixed(1));
      else value = hmac(key, value);
      part++;
      if (part < 5) return false;
      nonce = limbsOf(value);
      if (!isZero(nonce) && compareLimbs(nonce, ORDER) < 0) return true;
      // Never seen by anyone: one digest in 2^128. Section 3.2, step h.
      const again = new Uint8Array(HASH_BYTES + 1);
      again.set(value);
      key = hmac(key, again);
      value = hmac(key, value);
      part = 4;
      return false;
    },

    result() {
      return nonce;
    },

    message() {
      return message;
    },
  };
}
