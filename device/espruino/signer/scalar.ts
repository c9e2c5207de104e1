/**
 * Products modulo the group's order n, in slices: a signature takes two of them.
 *
 * Promise: result = left * right modulo n, canonical, for any two factors below 2^264. One slice is the
 * product or one fold of its upper half; 2^264 modulo n has 137 bits, so three folds leave eleven limbs.
 */
import { ORDER, ORDER_FOLD } from "./curve.ts";
import { type Convolve, LIMB_INVERSE, LIMB_MASK, LIMBS, type Limbs, reduceLimbs } from "./limbs.ts";
import type { Sliced } from "./sliced.ts";

const FOLDS = 3;
const COLUMNS = 2 * LIMBS - 1;

interface ScalarProduct extends Sliced {
  start(left: Limbs, right: Limbs): void;
  /** 0..n-1, once step has returned true. */
  result(): Limbs;
}

export function createScalarProduct(convolve: Convolve): ScalarProduct {
  const wide = new Int32Array(2 * LIMBS);
  const right = new Int32Array(COLUMNS);
  const left = new Int32Array(LIMBS);
  const product = new Int32Array(LIMBS);
  let slicesDone = 0;

  function multiplyBy(factor: Limbs): void {
    for (let at = 0; at < LIMBS; at++) right[LIMBS - 1 - at] = factor[at]!;
  }

  return {
    start(a, b) {
      left.set(a);
      multiplyBy(b);
      wide.fill(0);
      slicesDone = 0;
    },

    step() {
      let x = 0;
      for (let at = 0; at < COLUMNS; at++) {
        x += wide[at]! + convolve(left, right, (COLUMNS + LIMBS - 1 - at) % COLUMNS);
        const limb = x & LIMB_MASK;
        wide[at] = limb;
        x = (x - limb) * LIMB_INVERSE;
      }
      wide[COLUMNS] = x;
      if (slicesDone === FOLDS) {
        product.set(wide.subarray(0, LIMBS));
        reduceLimbs(product, ORDER);
        return true;
      }
      if (slicesDone === 0) multiplyBy(ORDER_FOLD);
      left.set(wide.subarray(LIMBS));
      for (let at = LIMBS; at < 2 * LIMBS; at++) wide[at] = 0;
      slicesDone++;
      return false;
    },

    result() {
      return product;
    },
  };
}
