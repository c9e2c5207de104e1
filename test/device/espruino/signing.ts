/** What the tests of a board's signing share: its parts on Node, and a key's own signature to compare with. */
import { createHmac } from "node:crypto";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import fc from "fast-check";
import { expect } from "vitest";
import { createEcdsa, type Ecdsa } from "#espruino/signer/ecdsa";
import { convolveInScript } from "#espruino/signer/limbs";
import type { Sliced } from "#espruino/signer/sliced";
import { combTable } from "#hardware/espruino/comb-table";
import { toHex } from "#payment/bytes";
import { openKey, recoverAddress } from "#payment/key";

export const TABLE = combTable();

export const hmacSha256 = (key: Uint8Array, message: Uint8Array): Uint8Array =>
  new Uint8Array(createHmac("sha256", key).update(message).digest());

/** A slice more than any signature has is a signature that does not end. */
const SLICES_MAX = 5_000;

/** Walks to the end; returns the number of slices. */
export function finish(work: Sliced): number {
  for (let slices = 1; slices <= SLICES_MAX; slices++) if (work.step()) return slices;
  throw new Error(`expected an end within ${SLICES_MAX} slices, found none`);
}

export function ecdsaOf(key: Uint8Array, table = TABLE): Ecdsa {
  return createEcdsa({ table, key, hmac: hmacSha256, convolve: convolveInScript });
}

/** A 256-bit integer as 32 bytes. */
export function bytesOf(value: bigint): Uint8Array {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(64, "0"), "hex"));
}

/** secp256k1's prime and order, written down once more and otherwise. */
export const P = 2n ** 256n - 2n ** 32n - 977n;
export const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/** The integer that limbs stand for, carried or not. */
export function integerOf(limbs: Int32Array): bigint {
  return Array.from(limbs).reduce((sum, limb, at) => sum + (BigInt(limb) << BigInt(24 * at)), 0n);
}

/** Signs that many drawn digests with drawn keys, each as @noble/curves does, and recovers every key from its first. */
export function expectSignaturesOf(count: number): void {
  const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const secrets = bytes.filter((secret) => secp256k1.utils.isValidSecretKey(secret));
  const digestsOfOneKey = 10;
  fc.assert(
    fc.property(
      secrets,
      fc.array(bytes, { minLength: digestsOfOneKey, maxLength: digestsOfOneKey }),
      (secret, digests) => {
        const ecdsa = ecdsaOf(secret);
        const key = openKey(secret);
        for (const digest of digests) {
          ecdsa.start(digest);
          finish(ecdsa);
          const signature = ecdsa.signature();
          expect(toHex(signature)).toBe(toHex(key.sign(digest)));
          if (digest === digests[0]) expect(recoverAddress(digest, signature)).toBe(key.address);
        }
      },
    ),
    { numRuns: Math.ceil(count / digestsOfOneKey) },
  );
}
