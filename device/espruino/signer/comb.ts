/**
 * A multiple of the base point by a fixed comb, in slices of one field product.
 *
 * Promise: k * G in Jacobian coordinates for k in 1..n-1. The scalar is made odd and written in digits +1
 * and -1, so that every row adds exactly one point of each of two tables of 64: 37 additions and 18
 * doublings. Not constant in time: a board on a pole is not asked a second time by a stranger.
 */
import { ORDER } from "./curve.ts";
import type { Field } from "./field.ts";
import { combine, LIMB_BITS, LIMBS, type Limbs } from "./limbs.ts";
import { inOrder, type Sequence, type Sliced } from "./sliced.ts";

/** Bits of the scalar that one table entry decides. */
export const COMB_TEETH = 7;
export const COMB_TABLES = 2;
/** Distance of teeth: 14 teeth of 19 bits hold the 257 bits of a scalar made odd. */
export const COMB_ROWS = 19;
/** The highest tooth's sign is taken out of a point, so it takes no bit of the index. */
export const COMB_POINTS = 1 << (COMB_TEETH - 1);
/** x and y, eleven limbs each, a limb in three bytes, least first. */
export const COMB_POINT_BYTES = 2 * LIMBS * 3;
export const COMB_TABLE_BYTES = COMB_TABLES * COMB_POINTS * COMB_POINT_BYTES;

const TOP_DIGIT = COMB_TABLES * COMB_TEETH * COMB_ROWS - 1;

interface Comb extends Sliced {
  /** Begins. @param scalar 1..n-1 */
  start(scalar: Limbs): void;
  /** The point (x / z^2, y / z^3), once step has returned true. */
  x(): Limbs;
  y(): Limbs;
  z(): Limbs;
}

/**
 * @param table the points, as the flashing tool computed them: entry i of table t is the sum over the teeth j
 * of ± 2^(19 (7 t + j)) * G, with + for j = 6 and where bit j of i is set
 */
export function createComb(field: Field, table: Uint8Array): Comb {
  if (table.length !== COMB_TABLE_BYTES) {
    throw new Error(
      `expected a comb table of ${COMB_TABLE_BYTES} bytes, found ${table.length}; flash it again`,
    );
  }
  const x = new Int32Array(LIMBS);
  const y = new Int32Array(LIMBS);
  let z: Limbs = new Int32Array(LIMBS);
  let nextZ: Limbs = new Int32Array(LIMBS);
  const a = new Int32Array(LIMBS);
  const b = new Int32Array(LIMBS);
  const h = new Int32Array(LIMBS);
  const r = new Int32Array(LIMBS);
  const odd = new Int32Array(LIMBS);
  const pointX = new Int32Array(LIMBS);
  const pointY = new Int32Array(LIMBS);
  let sign = 1;
  let row = 0;
  let tableAt = 0;

  /** Digit i of the scalar, true for +1: 2 * bit - 1 of (odd + 2^266 - 1) / 2. */
  function digit(i: number): boolean {
    const limb = Math.floor((i + 1) / LIMB_BITS);
    if (limb >= LIMBS) return i === TOP_DIGIT;
    return ((odd[limb]! >> ((i + 1) % LIMB_BITS)) & 1) === 1;
  }

  function readLimbs(into: Limbs, offset: number): void {
    let at = offset;
    for (let limb = 0; limb < LIMBS; limb++) {
      into[limb] = table[at]! | (table[at + 1]! << 8) | (table[at + 2]! << 16);
      at += 3;
    }
  }

  /** Finds the table entry of this row, and the sign it is added with. */
  function pick(): boolean {
    const lowest = row + COMB_ROWS * COMB_TEETH * tableAt;
    const positive = digit(lowest + COMB_ROWS * (COMB_TEETH - 1));
    let index = COMB_POINTS * tableAt;
    for (let tooth = 0; tooth < COMB_TEETH - 1; tooth++) {
      if (digit(lowest + COMB_ROWS * tooth) === positive) index += 1 << tooth;
    }
    readLimbs(pointX, COMB_POINT_BYTES * index);
    readLimbs(pointY, COMB_POINT_BYTES * index + COMB_POINT_BYTES / 2);
    sign = positive ? 1 : -1;
    return true;
  }

  function beginWithPoint(): boolean {
    x.set(pointX);
    field.scale(y, pointY, sign);
    z.fill(0);
    z[0] = 1;
    tableAt = 1;
    return true;
  }

  function exchangeZ(): void {
    const before = z;
    z = nextZ;
    nextZ = before;
  }

  // (x, y, z) + (pointX, sign * pointY): Z^2, Z^3; H = x2 Z^2 - X; R = y2 Z^3 - Y; then H^2, H^3, V = X H^2,
  // X' = R^2 - H^3 - 2 V, Y' = R (V - X') - Y H^3, Z' = Z H. With a minus, R and V - X' change their signs.
  const addition: readonly (() => boolean)[] = [
    pick,
    () => {
      field.by(z);
      field.multiply(a, z);
      return true;
    },
    () => {
      field.by(a);
      field.multiply(b, z);
      return true;
    },
    () => {
      field.multiplyAdd(h, pointX, x, -1);
      return true;
    },
    () => {
      field.by(b);
      field.multiplyAdd(r, pointY, y, -sign);
      return true;
    },
    () => {
      field.by(h);
      field.multiply(nextZ, z);
      return true;
    },
    () => {
      exchangeZ();
      field.multiply(a, h);
      return true;
    },
    () => {
      field.by(a);
      field.multiply(b, h);
      return true;
    },
    () => {
      field.multiply(h, x);
      return true;
    },
    () => {
      field.by(b);
      field.multiply(a, y);
      return true;
    },
    () => {
      field.by(r);
      field.add(b, b, 2, h);
      field.multiplyAdd(x, r, b, -1);
      return true;
    },
    () => {
      if (sign > 0) field.add(h, h, -1, x);
      else field.add(h, x, -1, h);
      field.multiplyAdd(y, h, a, -1);
      return true;
    },
  ];

  // Twice (x, y, z): M = 3 X^2, B = 2 Y^2, S = 2 X B; X' = M^2 - 2 S, Y' = M (S - X') - 2 B^2, Z' = 2 Y Z.
  const doubling: readonly (() => boolean)[] = [
    () => {
      field.by(x);
      field.multiply(a, x);
      return true;
    },
    () => {
      field.scale(b, a, 3);
      field.byTwice(y);
      return true;
    },
    () => {
      field.multiply(a, y);
      return true;
    },
    () => {
      field.multiply(nextZ, z);
      exchangeZ();
      return true;
    },
    () => {
      field.byTwice(a);
      field.multiply(h, x);
      return true;
    },
    () => {
      field.multiply(r, a);
      return true;
    },
    () => {
      field.by(b);
      field.multiplyAdd(x, b, h, -2);
      return true;
    },
    () => {
      field.add(h, h, -1, x);
      field.multiplyAdd(y, h, r, -1);
      return true;
    },
  ];

  const beginning = inOrder([pick, beginWithPoint]);
  const adding = inOrder(addition);
  const twice = inOrder(doubling);
  let now = beginning;

  function go(next: Sequence): void {
    now = next;
    next.restart();
  }

  return {
    start(scalar) {
      odd.set(scalar);
      if ((odd[0]! & 1) === 0) combine(odd, 1, scalar, 1, ORDER);
      row = COMB_ROWS - 1;
      tableAt = 0;
      go(beginning);
    },

    step() {
      if (!now.step()) return false;
      if (now === twice || now === beginning) {
        go(adding);
        return false;
      }
      if (tableAt === 0) {
        tableAt = 1;
        go(adding);
        return false;
      }
      if (row === 0) return true;
      row--;
      tableAt = 0;
      go(twice);
      return false;
    },

    x: () => x,
    y: () => y,
    z: () => z,
  };
}
