/**
 * secp256k1, by libsecp256k1 where its binary loads, else by @noble/curves, 25 times slower.
 *
 * Promise: both take and refuse the same (a test); which one it is, is said and never left to chance: the native one
 * is believed only when it has found the key of a known signature. A signature with a high s is refused by both: the
 * contract refuses it, so such a voucher buys nothing.
 */
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { toHex } from "#payment/bytes";
import { type Key, openKey, type RecoverSigner } from "#payment/key";
import { type Libsecp256k1, libsecp256k1 } from "./libsecp256k1.ts";
import { openNativeKey } from "./native-key.ts";

export interface Curve {
  readonly name: "native" | "noble";
  /**
   * The public key, 64 bytes without a prefix, that made `signature` (r and s, 64 bytes) over `digest`
   * (32 bytes); undefined when there is none. The bytes are good until the next call.
   */
  recover(signature: Uint8Array, recoveryId: 0 | 1, digest: Uint8Array): Uint8Array | undefined;
  /** @param secret 32 bytes, a valid scalar; throws otherwise without showing it */
  openKey(secret: Uint8Array): Key;
}

/** n / 2: the largest s that the contract accepts. */
const HALF_ORDER = Uint8Array.from(
  Buffer.from("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0", "hex"),
);
const UNCOMPRESSED_BYTES = 65;
const SIGNATURE_BYTES = 64;
const DIGEST_BYTES = 32;

/** Throws when the platform has no binary of libsecp256k1, or one that recovers wrongly. */
export function nativeCurve(load: () => Pick<Libsecp256k1, "ecdsaRecover"> = libsecp256k1): Curve {
  const library = load();
  const output = new Uint8Array(UNCOMPRESSED_BYTES);
  const key = output.subarray(1);
  const curve: Curve = {
    name: "native",
    recover(signature, recoveryId, digest) {
      if (!mayBeSigned(signature, digest)) return undefined;
      try {
        library.ecdsaRecover(signature, recoveryId, digest, false, output);
        return key;
      } catch {
        return undefined;
      }
    },
    openKey: openNativeKey,
  };
  prove(curve);
  return curve;
}

/** The same in JavaScript, on every platform. */
export function nobleCurve(): Curve {
  return {
    name: "noble",
    recover(signature, recoveryId, digest) {
      if (!mayBeSigned(signature, digest)) return undefined;
      try {
        return secp256k1.Signature.fromBytes(signature, "compact")
          .addRecoveryBit(recoveryId)
          .recoverPublicKey(digest)
          .toBytes(false)
          .subarray(1);
      } catch {
        return undefined;
      }
    },
    openKey,
  };
}

/** Native where it loads; `reason` says in one line why not. */
export function fastestCurve(native = nativeCurve): {
  readonly curve: Curve;
  readonly reason: string | undefined;
} {
  try {
    return { curve: native(), reason: undefined };
  } catch (error) {
    return { curve: nobleCurve(), reason: (error as Error).message.split("\n")[0] ?? "unknown" };
  }
}

/** What device/payment/key.ts's `recoverAddress` answers, by this curve. */
export function signersOn(curve: Curve): RecoverSigner {
  return (digest, signature) => {
    const recoveryId = signature[SIGNATURE_BYTES]! - 27;
    if (signature.length !== SIGNATURE_BYTES + 1 || (recoveryId !== 0 && recoveryId !== 1)) return null;
    const key = curve.recover(signature.subarray(0, SIGNATURE_BYTES), recoveryId, digest);
    return key === undefined ? null : toHex(keccak_256(key).subarray(12));
  };
}

function mayBeSigned(signature: Uint8Array, digest: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES || digest.length !== DIGEST_BYTES) return false;
  for (let index = 0; index < 32; index += 1) {
    const difference = signature[32 + index]! - HALF_ORDER[index]!;
    if (difference !== 0) return difference < 0;
  }
  return true;
}

function prove(curve: Curve): void {
  const secret = new Uint8Array(32).fill(7);
  const digest = new Uint8Array(32).fill(9);
  const signed = secp256k1.sign(digest, secret, { prehash: false, format: "recovered" });
  const expected = secp256k1.getPublicKey(secret, false).subarray(1);
  const found = curve.recover(signed.subarray(1), signed[0] as 0 | 1, digest);
  if (found === undefined || Buffer.compare(found, expected) !== 0) {
    throw new Error("libsecp256k1: expected the key of a known signature, found another");
  }
}
