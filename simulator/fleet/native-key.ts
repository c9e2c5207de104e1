/**
 * The device's key with libsecp256k1 in the place of JavaScript: for fleets whose signing is not what is looked at.
 *
 * Promise: the same bytes as device/payment/key.ts for every secret and digest (a test); where the platform has no
 * native library, opening a key throws: it never falls back to slow JavaScript in silence.
 */
import { createRequire } from "node:module";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { toHex, wordOfInteger } from "#payment/bytes";
import type { Key } from "#payment/key";

interface Native {
  privateKeyVerify(secret: Uint8Array): boolean;
  publicKeyCreate(secret: Uint8Array, compressed: boolean): Uint8Array;
  publicKeyTweakMul(publicKey: Uint8Array, tweak: Uint8Array, compressed: boolean): Uint8Array;
  ecdsaSign(
    digest: Uint8Array,
    secret: Uint8Array,
    options: object,
    output: Uint8Array,
  ): { readonly recid: number };
}

let native: Native | null = null;

/** Throws one line where there is no native library. */
function library(): Native {
  try {
    // The package's own entry falls back to JavaScript; its bindings do not.
    native ??= createRequire(import.meta.url)("secp256k1/bindings.js") as Native;
    return native;
  } catch (cause) {
    throw new Error(
      `native signing: expected secp256k1's library for ${process.platform} ${process.arch}, found none; leave it out`,
      { cause },
    );
  }
}

const OPTIONS = {};
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
  const { privateKeyVerify, publicKeyCreate, publicKeyTweakMul, ecdsaSign } = library();
  if (secret.length !== 32 || !privateKeyVerify(secret)) {
    throw new Error(`expected a secp256k1 secret of 32 bytes, found ${secret.length} bytes that are none`);
  }
  return {
    address: toHex(keccak_256(publicKeyCreate(secret, false).subarray(1)).subarray(12)),
    publicKey: publicKeyCreate(secret, true),
    sign(digest) {
      const signature = new Uint8Array(65);
      signature[64] = 27 + ecdsaSign(reduced(digest), secret, OPTIONS, signature.subarray(0, 64)).recid;
      return signature;
    },
    shareWith: (other) => publicKeyTweakMul(Uint8Array.from(other), secret, true).slice(1),
  };
}
