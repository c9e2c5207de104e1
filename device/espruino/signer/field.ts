/**
 * Arithmetic modulo secp256k1's prime p = 2^256 - 2^32 - 977, for an interpreter.
 *
 * Promise: a product is a number of native sums (E.convolve), one carry each, and no loop: in a script that
 * is read again each time it runs, that is what costs least. Values are any of a residue's representatives
 * below about 2^264, limbs in 0..2^24-1 (the fourth may be 2^10 beyond): every result can be a factor.
 * A difference of two results, or one result doubled, may be a factor too, but not both factors of a product.
 */
// biome-ignore-all lint/suspicious/noAssignInExpressions: a statement more for each of 21 columns is a tenth of the time
import { type Convolve, LIMB_INVERSE, LIMB_MASK, LIMBS, type Limbs } from "./limbs.ts";

/** 2^264 = FOLD_HIGH * 2^24 + FOLD_LOW modulo p. */
const FOLD_LOW = 250112;
const FOLD_HIGH = 65536;

export interface Field {
  /** Chooses the right factor of the products that follow, until chosen again. */
  by(factor: Limbs): void;
  /** The same, doubled. */
  byTwice(factor: Limbs): void;
  /** into = left * factor; `into` must be another array than `left`. */
  multiply(into: Limbs, left: Limbs): void;
  /** into = left * factor + times * addend, with |times| at most 8; `into` may be the addend. */
  multiplyAdd(into: Limbs, left: Limbs, addend: Limbs, times: number): void;
  /** into = left + times * right, limb by limb and nothing carried; `into` may be either. */
  add(into: Limbs, left: Limbs, times: number, right: Limbs): void;
  /** into = from * times, a result like a product's; |times| is at most 8. */
  scale(into: Limbs, from: Limbs, times: number): void;
}

export function createField(convolve: Convolve): Field {
  // These names stand first, the ones used most often foremost: the interpreter looks names up one by one.
  const sum = convolve;
  // The right factor reversed, then zeros: shifted cyclically, it gives each column of a product.
  const right = new Int32Array(2 * LIMBS - 1);
  const mask = LIMB_MASK;
  const inverse = LIMB_INVERSE;
  const low = FOLD_LOW;
  const high = FOLD_HIGH;
  const upper = new Int32Array(LIMBS);
  const rightLimbs = right.subarray(0, LIMBS);

  /** Columns 11 to 20 into `upper`; returns their carry, the 22nd limb. */
  function multiplyUpper(a: Limbs): number {
    let x = sum(a, right, 20);
    x = sum(a, right, 19) + (x - (upper[0] = x & mask)) * inverse;
    x = sum(a, right, 18) + (x - (upper[1] = x & mask)) * inverse;
    x = sum(a, right, 17) + (x - (upper[2] = x & mask)) * inverse;
    x = sum(a, right, 16) + (x - (upper[3] = x & mask)) * inverse;
    x = sum(a, right, 15) + (x - (upper[4] = x & mask)) * inverse;
    x = sum(a, right, 14) + (x - (upper[5] = x & mask)) * inverse;
    x = sum(a, right, 13) + (x - (upper[6] = x & mask)) * inverse;
    x = sum(a, right, 12) + (x - (upper[7] = x & mask)) * inverse;
    x = sum(a, right, 11) + (x - (upper[8] = x & mask)) * inverse;
    upper[9] = x & mask;
    upper[10] = (x - upper[9]!) * inverse;
    return upper[10]!;
  }

  /** Takes the last column's sum x and what carries beyond: folds 2^264 and settles the lowest limbs. */
  function settle(into: Limbs, x: number, beyond: number): void {
    const top = x & mask;
    into[10] = top;
    const over = (x - top) * inverse + beyond;
    const near = over & mask;
    const far = (over - near) * inverse;
    let y = into[0]! + low * near;
    let limb = y & mask;
    into[0] = limb;
    y = into[1]! + high * near + low * far + (y - limb) * inverse;
    limb = y & mask;
    into[1] = limb;
    y = into[2]! + high * far + (y - limb) * inverse;
    limb = y & mask;
    into[2] = limb;
    into[3] = into[3]! + (y - limb) * inverse;
  }

  return {
    by(factor) {
      right.set(factor);
      rightLimbs.reverse();
    },

    byTwice(factor) {
      for (let at = 0; at < LIMBS; at++) right[10 - at] = 2 * factor[at]!;
    },

    multiply(into, left) {
      const h = upper;
      const o = into;
      const a = left;
      const last = multiplyUpper(a);
      let x = sum(a, right, 10) + low * h[0]!;
      x = sum(a, right, 9) + low * h[1]! + high * h[0]! + (x - (o[0] = x & mask)) * inverse;
      x = sum(a, right, 8) + low * h[2]! + high * h[1]! + (x - (o[1] = x & mask)) * inverse;
      x = sum(a, right, 7) + low * h[3]! + high * h[2]! + (x - (o[2] = x & mask)) * inverse;
      x = sum(a, right, 6) + low * h[4]! + high * h[3]! + (x - (o[3] = x & mask)) * inverse;
      x = sum(a, right, 5) + low * h[5]! + high * h[4]! + (x - (o[4] = x & mask)) * inverse;
      x = sum(a, right, 4) + low * h[6]! + high * h[5]! + (x - (o[5] = x & mask)) * inverse;
      x = sum(a, right, 3) + low * h[7]! + high * h[6]! + (x - (o[6] = x & mask)) * inverse;
      x = sum(a, right, 2) + low * h[8]! + high * h[7]! + (x - (o[7] = x & mask)) * inverse;
      x = sum(a, right, 1) + low * h[9]! + high * h[8]! + (x - (o[8] = x & mask)) * inverse;
      x = sum(a, right, 0) + low * h[10]! + high * h[9]! + (x - (o[9] = x & mask)) * inverse;
      settle(o, x, high * last);
    },

    multiplyAdd(into, left, addend, times) {
      const h = upper;
      const o = into;
      const a = left;
      const last = multiplyUpper(a);
      let x = sum(a, right, 10) + low * h[0]! + times * addend[0]!;
      x =
        sum(a, right, 9) +
        low * h[1]! +
        high * h[0]! +
        times * addend[1]! +
        (x - (o[0] = x & mask)) * inverse;
      x =
        sum(a, right, 8) +
        low * h[2]! +
        high * h[1]! +
        times * addend[2]! +
        (x - (o[1] = x & mask)) * inverse;
      x =
        sum(a, right, 7) +
        low * h[3]! +
        high * h[2]! +
        times * addend[3]! +
        (x - (o[2] = x & mask)) * inverse;
      x =
        sum(a, right, 6) +
        low * h[4]! +
        high * h[3]! +
        times * addend[4]! +
        (x - (o[3] = x & mask)) * inverse;
      x =
        sum(a, right, 5) +
        low * h[5]! +
        high * h[4]! +
        times * addend[5]! +
        (x - (o[4] = x & mask)) * inverse;
      x =
        sum(a, right, 4) +
        low * h[6]! +
        high * h[5]! +
        times * addend[6]! +
        (x - (o[5] = x & mask)) * inverse;
      x =
        sum(a, right, 3) +
        low * h[7]! +
        high * h[6]! +
        times * addend[7]! +
        (x - (o[6] = x & mask)) * inverse;
      x =
        sum(a, right, 2) +
        low * h[8]! +
        high * h[7]! +
        times * addend[8]! +
        (x - (o[7] = x & mask)) * inverse;
      x =
        sum(a, right, 1) +
        low * h[9]! +
        high * h[8]! +
        times * addend[9]! +
        (x - (o[8] = x & mask)) * inverse;
      x =
        sum(a, right, 0) +
        low * h[10]! +
        high * h[9]! +
        times * addend[10]! +
        (x - (o[9] = x & mask)) * inverse;
      settle(o, x, high * last);
    },

    add(into, left, times, other) {
      into[0] = left[0]! + times * other[0]!;
      into[1] = left[1]! + times * other[1]!;
      into[2] = left[2]! + times * other[2]!;
      into[3] = left[3]! + times * other[3]!;
      into[4] = left[4]! + times * other[4]!;
      into[5] = left[5]! + times * other[5]!;
      into[6] = left[6]! + times * other[6]!;
      into[7] = left[7]! + times * other[7]!;
      into[8] = left[8]! + times * other[8]!;
      into[9] = left[9]! + times * other[9]!;
      into[10] = left[10]! + times * other[10]!;
    },

    scale(into, from, times) {
      let x = 0;
      for (let at = 0; at < LIMBS; at++) {
        x += times * from[at]!;
        if (at < LIMBS - 1) {
          const limb = x & mask;
          into[at] = limb;
          x = (x - limb) * inverse;
        }
      }
      settle(into, x, 0);
    },
  };
}
