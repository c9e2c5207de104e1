/**
 * ECDSA over secp256k1 in slices: RFC 6979 nonce, low s, recovery id.
 *
 * Promise: the same 65 bytes r, s, v as device/payment's key makes of the same secret and digest. The point
 * is proved to lie on the curve before anything is made of it: a damaged table or a bit that fell over in
 * memory ends in an error, not in a signature from which, beside the right one, the key could be computed.
 */
import type { Hmac } from "#core/ports";
import { createComb } from "./comb.ts";
import { ORDER, ORDER_HALF, PRIME } from "./curve.ts";
import { createField } from "./field.ts";
import { createInverse } from "./inverse.ts";
import {
  type Convolve,
  combine,
  compareLimbs,
  isZero,
  LIMBS,
  type Limbs,
  limbsOf,
  reduceLimbs,
  writeLimbs,
} from "./limbs.ts";
import { createNonce } from "./nonce.ts";
import { createScalarProduct } from "./scalar.ts";
import { inOrder, type Sliced } from "./sliced.ts";

const SIGNATURE_BYTES = 65;
/** Ethereum's v for recovery id 0. */
const V_BASE = 27;

interface EcdsaParts {
  /** The comb's points, COMB_TABLE_BYTES. */
  readonly table: Uint8Array;
  /** The secret, 32 bytes, 1..n-1. */
  readonly key: Uint8Array;
  readonly hmac: Hmac;
  readonly convolve: Convolve;
}

export interface Ecdsa extends Sliced {
  /** Begins, and forgets what was under way. @param digest 32 bytes */
  start(digest: Uint8Array): void;
  /** 65 bytes r, s, v, once step has returned true. */
  signature(): Uint8Array;
}

/** Throws on a table or key that is none, without showing it; step throws when the table is damaged. */
export function createEcdsa({ table, key, hmac, convolve }: EcdsaParts): Ecdsa {
  const secret = limbsOf(key);
  if (key.length !== 32 || isZero(secret) || compareLimbs(secret, ORDER) >= 0) {
    throw new Error(
      `expected a secp256k1 secret of 32 bytes, found ${key.length} bytes that are none; provision the board again`,
    );
  }
  const field = createField(convolve);
  const comb = createComb(field, table);
  const nonce = createNonce(hmac);
  const inverse = createInverse();
  const scalar = createScalarProduct(convolve);
  const x = new Int32Array(LIMBS);
  const y = new Int32Array(LIMBS);
  const a = new Int32Array(LIMBS);
  const b = new Int32Array(LIMBS);
  let r: Limbs = x;
  let s: Limbs = y;
  let recovery = 0;
  let signature: Uint8Array = new Uint8Array(0);

  function offCurve(): Error {
    return new Error("expected the comb's sum on the curve, found it beside; flash the comb table again");
  }

  /** x^3 + 7 - y^2 is zero modulo p. */
  function proveOnCurve(): void {
    field.by(y);
    field.multiply(a, y);
    a[0] = a[0]! - 7;
    field.by(x);
    field.multiply(b, x);
    field.multiplyAdd(a, b, a, -1);
    reduceLimbs(a, PRIME);
    if (!isZero(a)) throw offCurve();
  }

  const parts = inOrder([
    () => {
      if (!nonce.step()) return false;
      comb.start(nonce.result());
      return true;
    },
    comb.step,
    () => {
      const z = comb.z();
      reduceLimbs(z, PRIME);
      if (isZero(z)) throw offCurve();
      inverse.start(z, PRIME);
      return true;
    },
    inverse.step,
    () => {
      field.by(inverse.result());
      field.multiply(a, inverse.result());
      field.multiply(b, a);
      return true;
    },
    () => {
      field.by(a);
      field.multiply(x, comb.x());
      reduceLimbs(x, PRIME);
      return true;
    },
    () => {
      field.by(b);
      field.multiply(y, comb.y());
      reduceLimbs(y, PRIME);
      return true;
    },
    () => {
      proveOnCurve();
      recovery = y[0]! & 1;
      r = x;
      if (compareLimbs(r, ORDER) >= 0) {
        recovery |= 2;
        combine(r, 1, r, -1, ORDER);
      }
      scalar.start(r, secret);
      return true;
    },
    scalar.step,
    () => {
      // z + r d, below 2 n.
      combine(b, 1, scalar.result(), 1, nonce.message());
      inverse.start(nonce.result(), ORDER);
      return true;
    },
    inverse.step,
    () => {
      scalar.start(b, inverse.result());
      return true;
    },
    scalar.step,
    () => {
      s = scalar.result();
      // One digest in 2^256, which RFC 6979 would sign with the next nonce; it does not occur in practice.
      if (isZero(r) || isZero(s))
        throw new Error("expected r and s above zero, found a zero; sign another rung");
      if (compareLimbs(s, ORDER_HALF) > 0) {
        combine(s, -1, s, 1, ORDER);
        recovery ^= 1;
      }
      return true;
    },
    () => {
      signature = new Uint8Array(SIGNATURE_BYTES);
      signature[64] = V_BASE + recovery;
      writeLimbs(r, signature, 0);
      return true;
    },
    () => {
      writeLimbs(s, signature, 32);
      return true;
    },
  ]);

  return {
    start(digest) {
      nonce.start(key, digest);
      parts.restart();
    },
    step: parts.step,
    signature() {
      return signature;
    },
  };
}
