/**
 * 256-bit integers as eleven limbs of 24 bits, least first, for a board without BigInt.
 *
 * Promise: a column of a product, eleven products of two limbs, stays below 2^53, where a double is exact.
 * Limbs lie in 0..2^24-1 except where a function says otherwise; the top one carries the sign.
 */

export const LIMBS = 11;
export const LIMB_BITS = 24;

/** 2^24 as a mask, and its inverse: a carry is an exact product with it. */
export const LIMB_MASK = 0xffffff;
export const LIMB_INVERSE = 1 / 0x1000000;

/** Limbs 0..10; Int32Array because its elements are the cheapest the interpreter has to walk. */
export type Limbs = Int32Array;

/**
 * The sum over i of left[i] * right[(i + offset) mod right.length]; the offset is below right.length.
 * A board does it in its firmware (`E.convolve`).
 */
export type Convolve = (left: Int32Array, right: Int32Array, offset: number) => number;

/** The same where no firmware offers it. */
export function convolveInScript(left: Int32Array, right: Int32Array, offset: number): number {
  let sum = 0;
  let at = offset;
  for (let i = 0; i < left.length; i++) {
    sum += left[i]! * right[at]!;
    at++;
    if (at === right.length) at = 0;
  }
  return sum;
}

/** Reads 32 bytes, most significant first. */
export function limbsOf(bytes: Uint8Array): Limbs {
  const limbs = new Int32Array(LIMBS);
  for (let at = 0; at < 32; at++) {
    const place = 31 - at;
    const limb = Math.floor(place / 3);
    limbs[limb] = limbs[limb]! | (bytes[at]! << (8 * (place - 3 * limb)));
  }
  return limbs;
}

/** Writes a value of 0..2^256-1 as 32 bytes, most significant first. */
export function writeLimbs(limbs: Limbs, bytes: Uint8Array, offset: number): void {
  for (let at = 0; at < 32; at++) {
    const place = 31 - at;
    const limb = Math.floor(place / 3);
    bytes[offset + at] = (limbs[limb]! >> (8 * (place - 3 * limb))) & 255;
  }
}

/** Compares canonical values: negative, zero or positive. */
export function compareLimbs(left: Limbs, right: Limbs): number {
  for (let at = LIMBS - 1; at >= 0; at--) {
    if (left[at] !== right[at]) return left[at]! - right[at]!;
  }
  return 0;
}

/** True for no value but zero; limbs must be canonical. */
export function isZero(limbs: Limbs): boolean {
  for (let at = 0; at < LIMBS; at++) {
    if (limbs[at] !== 0) return false;
  }
  return true;
}

/** into = a * left + b * right, limbs carried; a and b are integers below 2^27, `into` may be one of the two. */
export function combine(into: Limbs, a: number, left: Limbs, b: number, right: Limbs): void {
  let sum = 0;
  for (let at = 0; at < LIMBS; at++) {
    sum += a * left[at]! + b * right[at]!;
    const low = sum & LIMB_MASK;
    into[at] = low;
    sum = (sum - low) * LIMB_INVERSE;
  }
  into[LIMBS - 1] = into[LIMBS - 1]! + sum * 0x1000000;
}

/**
 * Reduces in place to 0..modulus-1. Takes any value whose limbs are 32-bit integers.
 * @param modulus between 2^255 and 2^256
 */
export function reduceLimbs(value: Limbs, modulus: Limbs): void {
  let quotient = 0;
  do {
    combine(value, 1, value, -quotient, modulus);
    // Bits above the 256th; the modulus is so near 2^256 that this is the quotient or one beside it.
    quotient = value[LIMBS - 1]! >> 16;
  } while (quotient !== 0);
  if (compareLimbs(value, modulus) >= 0) combine(value, 1, value, -1, modulus);
}
