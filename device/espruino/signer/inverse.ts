/**
 * The inverse modulo a prime, in slices: Lehmer's greatest common divisor.
 *
 * Promise: inverse * value = 1 modulo the prime, for every value but zero. Each round takes Euclid's
 * quotients from the leading limbs, as doubles, and applies them to the whole numbers at once. A quotient
 * guessed wrong costs a little time and nothing else: what is applied keeps the greatest common divisor
 * whatever the guess, and numbers that come out negative are turned around.
 */
import { combine, isZero, LIMBS, type Limbs, reduceLimbs } from "./limbs.ts";
import type { Sliced } from "./sliced.ts";

/** Bound of a round's factors: two products of a factor and a limb stay exact, and 25 bits go a round. */
const FACTOR_MAX = 0x2000000;

const LIMB = 0x1000000;

interface Inverse extends Sliced {
  /** Begins; throws on zero. @param value 1..modulus-1 @param modulus a prime between 2^255 and 2^256 */
  start(value: Limbs, modulus: Limbs): void;
  /** The inverse, 1..modulus-1, once step has returned true. */
  result(): Limbs;
}

export function createInverse(): Inverse {
  let modulus: Limbs = new Int32Array(LIMBS);
  // u = p * value and v = q * value modulo the modulus; v goes to zero and u to one.
  let u: Limbs = new Int32Array(LIMBS);
  let v: Limbs = new Int32Array(LIMBS);
  let p: Limbs = new Int32Array(LIMBS);
  let q: Limbs = new Int32Array(LIMBS);
  let spare: Limbs = new Int32Array(LIMBS);
  let other: Limbs = new Int32Array(LIMBS);
  // A round's matrix: (u, v) becomes (a u + b v, c u + d v).
  let a = 1;
  let b = 0;
  let c = 0;
  let d = 1;
  let part = 0;

  function top(limbs: Limbs): number {
    let at = LIMBS - 1;
    while (at >= 0 && limbs[at] === 0) at--;
    return at;
  }

  /** The value of the three limbs down from `at`, the lowest of them as ones. */
  function leading(limbs: Limbs, at: number): number {
    const next = at > 0 ? limbs[at - 1]! : 0;
    const lowest = at > 1 ? limbs[at - 2]! : 0;
    return (limbs[at]! * LIMB + next) * LIMB + lowest;
  }

  function swap(): void {
    const number = u;
    u = v;
    v = number;
    const factor = p;
    p = q;
    q = factor;
  }

  /** Euclid on the leading limbs, as far as one matrix of bounded factors goes. */
  function guess(at: number): void {
    a = 1;
    b = 0;
    c = 0;
    d = 1;
    let x = leading(u, at);
    let y = leading(v, at);
    while (y > 0) {
      const quotient = Math.floor(x / y);
      const e = a - quotient * c;
      const f = b - quotient * d;
      if (quotient > FACTOR_MAX || e > FACTOR_MAX || e < -FACTOR_MAX || f > FACTOR_MAX || f < -FACTOR_MAX)
        return;
      const rest = x - quotient * y;
      x = y;
      y = rest;
      a = c;
      b = d;
      c = e;
      d = f;
    }
  }

  /** Where v is much shorter than u, one long quotient at a time: u loses a multiple of v shifted by whole limbs. */
  function shorten(topOfU: number, topOfV: number): void {
    let shift = topOfU - topOfV;
    let quotient = leading(u, topOfU) / leading(v, topOfV);
    if (quotient < 1) {
      shift--;
      quotient *= LIMB;
    }
    shifted(spare, v, shift);
    combine(u, 1, u, -Math.floor(quotient), spare);
    shifted(spare, q, shift);
    combine(p, 1, p, -Math.floor(quotient), spare);
  }

  function shifted(into: Limbs, from: Limbs, shift: number): void {
    into.fill(0);
    for (let at = LIMBS - 1; at >= shift; at--) into[at] = from[at - shift]!;
    // The top limb of a negative number bears the sign, also where it was not the top before.
    if (shift > 0 && from[LIMBS - 1]! < 0) into[LIMBS - 1] = into[LIMBS - 1]! - LIMB;
  }

  function positive(number: Limbs, factor: Limbs): void {
    if (number[LIMBS - 1]! >= 0) return;
    combine(number, -1, number, 0, number);
    combine(factor, -1, factor, 0, factor);
  }

  return {
    start(value, prime) {
      if (isZero(value)) throw new Error("expected a value that has an inverse, found zero");
      modulus = prime;
      u.set(prime);
      v.set(value);
      p.fill(0);
      q.fill(0);
      q[0] = 1;
      part = 0;
    },

    step() {
      if (part === 0) {
        positive(u, p);
        positive(v, q);
        let topOfU = top(u);
        let topOfV = top(v);
        if (topOfU < topOfV || (topOfU === topOfV && leading(u, topOfU) < leading(v, topOfU))) {
          swap();
          const topBefore = topOfU;
          topOfU = topOfV;
          topOfV = topBefore;
        }
        if (topOfV < 0) {
          reduceLimbs(p, modulus);
          return true;
        }
        guess(topOfU);
        if (c === 0) shorten(topOfU, topOfV);
        else part = 1;
      } else if (part === 1) {
        combine(spare, a, u, b, v);
        part = 2;
      } else if (part === 2) {
        combine(other, c, u, d, v);
        const number = u;
        u = spare;
        spare = number;
        const next = v;
        v = other;
        other = next;
        part = 3;
      } else if (part === 3) {
        combine(spare, a, p, b, q);
        part = 4;
      } else {
        combine(other, c, p, d, q);
        const factor = p;
        p = spare;
        spare = factor;
        const next = q;
        q = other;
        other = next;
        part = 0;
      }
      return false;
    },

    result() {
      return p;
    },
  };
}
