/**
 * A secp256k1 key and the signatures it makes: 65 bytes r, s, v as Ethereum writes them.
 *
 * Promise: RFC 6979 nonces and low s, so the same digest gives the same bytes for ever; a secret never
 * leaves the closure that holds it.
 */

import { secp256k1 } from "@noble/curves/secp256k1.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { type Hex, toHex } from "./bytes.ts";
import { Watt402Error } from "./watt402-error.ts";

export interface Key {
  /** 0x and 40 lower-case hex digits. */
  readonly address: Hex;
  /** Compressed, 33 bytes. */
  readonly publicKey: Uint8Array;
  /** Signs a 32-byte digest. */
  sign(digest: Uint8Array): Uint8Array;
  /** ECDH (SEC 1 section 3.3.1): the shared point's x, 32 bytes. */
  shareWith(publicKey: Uint8Array): Uint8Array;
}

/** @param secret 32 bytes, a valid scalar; throws otherwise without showing it */
export function openKey(secret: Uint8Array): Key {
  if (!secp256k1.utils.isValidSecretKey(secret)) {
    throw new Watt402Error(
      "value-invalid",
      `expected a secp256k1 secret of 32 bytes, found ${secret.length} bytes that are none`,
    );
  }
  const publicKey = secp256k1.getPublicKey(secret, true);
  return {
    address: addressOf(publicKey),
    publicKey,
    sign: (digest) => signDigest(secret, digest),
    shareWith: (other) => secp256k1.getSharedSecret(secret, other, true).slice(1),
  };
}

/** The Ethereum address of a public key, compressed or not: 0x and 40 lower-case hex digits. */
export function addressOf(publicKey: Uint8Array): Hex {
  return addressOfPoint(secp256k1.Point.fromBytes(publicKey));
}

/** The compressed public key that signed a digest of 32 bytes; null when the signature is none of this curve. */
export function recoverPublicKey(digest: Uint8Array, signature: Uint8Array): Uint8Array | null {
  return recoverPoint(digest, signature)?.toBytes(true) ?? null;
}

/** Who signed: `recoverAddress`, or what answers the same faster. */
export type RecoverSigner = (digest: Uint8Array, signature: Uint8Array) => Hex | null;

/** The address that signed a digest of 32 bytes, or null. */
export function recoverAddress(digest: Uint8Array, signature: Uint8Array): Hex | null {
  const point = recoverPoint(digest, signature);
  return point === null ? null : addressOfPoint(point);
}

function recoverPoint(digest: Uint8Array, signature: Uint8Array): Point | null {
  const v = signature[64];
  if (digest.length !== 32 || signature.length !== 65 || (v !== 27 && v !== 28)) return null;
  const recovered = new Uint8Array(65);
  recovered[0] = v - 27;
  recovered.set(signature.subarray(0, 64), 1);
  try {
    const parsed = secp256k1.Signature.fromBytes(recovered, "recovered");
    // A high s is the same signature a second time: the contracts refuse it, and so do we.
    return parsed.hasHighS() ? null : parsed.recoverPublicKey(digest);
  } catch {
    return null;
  }
}

type Point = ReturnType<typeof secp256k1.Point.fromBytes>;

function addressOfPoint(point: Point): Hex {
  return toHex(keccak_256(point.toBytes(false).subarray(1)).subarray(12));
}

function signDigest(secret: Uint8Array, digest: Uint8Array): Uint8Array {
  const recovered = secp256k1.sign(digest, secret, { prehash: false, format: "recovered" });
  const signature = new Uint8Array(65);
  signature.set(recovered.subarray(1));
  signature[64] = 27 + recovered[0]!;
  return signature;
}
