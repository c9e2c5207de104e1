// secp256k1 public key recovery, the one operation a voucher costs: libsecp256k1 where its binary loads, else
// @noble/curves, 25 times slower. Which one it is, is said and never left to chance: the npm package's main
// entry would fall back to JavaScript in silence, so only its bindings are asked for, and made to prove
// themselves on a known signature before they are trusted.
//
// A signature with a high s is refused by both: the contract refuses it, so such a voucher buys nothing.

import { createRequire } from "node:module";
import { secp256k1 } from "@noble/curves/secp256k1.js";

export interface Curve {
  readonly name: "native" | "noble";
  /**
   * The public key, 64 bytes without a prefix, that made `signature` (r and s, 64 bytes) over `digest`
   * (32 bytes); undefined when there is none. The bytes are good until the next call.
   */
  recover(signature: Uint8Array, recoveryId: 0 | 1, digest: Uint8Array): Uint8Array | undefined;
}

interface Bindings {
  ecdsaRecover(
    signature: Uint8Array,
    recoveryId: number,
    digest: Uint8Array,
    compressed: boolean,
    output: Uint8Array,
  ): Uint8Array;
}

/** n / 2: the largest s that the contract accepts. */
const HALF_ORDER = Uint8Array.from(
  Buffer.from("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0", "hex"),
);
const UNCOMPRESSED_BYTES = 65;

const load = createRequire(import.meta.url);

/** Throws when the platform has no binary of the npm package secp256k1, or one that recovers wrongly. */
export function nativeCurve(loadBindings = () => load("secp256k1/bindings.js") as Bindings): Curve {
  const bindings = loadBindings();
  const output = new Uint8Array(UNCOMPRESSED_BYTES);
  const key = output.subarray(1);
  const curve: Curve = {
    name: "native",
    recover(signature, recoveryId, digest) {
      if (hasHighS(signature)) return undefined;
      try {
        bindings.ecdsaRecover(signature, recoveryId, digest, false, output);
        return key;
      } catch {
        return undefined;
      }
    },
  };
  prove(curve);
  return curve;
}

/** The same in JavaScript, on every platform. */
export function nobleCurve(): Curve {
  return {
    name: "noble",
    recover(signature, recoveryId, digest) {
      if (hasHighS(signature)) return undefined;
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

function hasHighS(signature: Uint8Array): boolean {
  for (let index = 0; index < 32; index += 1) {
    const difference = signature[32 + index]! - HALF_ORDER[index]!;
    if (difference !== 0) return difference > 0;
  }
  return false;
}

function prove(curve: Curve): void {
  const secret = new Uint8Array(32).fill(7);
  const digest = new Uint8Array(32).fill(9);
  const signed = secp256k1.sign(digest, secret, { prehash: false, format: "recovered" });
  const expected = secp256k1.getPublicKey(secret, false).subarray(1);
  const found = curve.recover(signed.subarray(1), signed[0] as 0 | 1, digest);
  if (found === undefined || Buffer.compare(found, expected) !== 0) {
    throw new Error("secp256k1 bindings: expected the key of a known signature, found another");
  }
}
