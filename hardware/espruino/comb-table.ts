/**
 * The comb table that lies in a board's flash beside its bundle, computed where BigInt is.
 *
 * Promise: 11,264 bytes, the same each time; entry i of table t is the sum over the teeth j of
 * ± 2^(19 (7 t + j)) * G, with + for the highest tooth and where bit j of i is set.
 */
import { secp256k1 } from "@noble/curves/secp256k1.js";
import {
  COMB_POINT_BYTES,
  COMB_POINTS,
  COMB_ROWS,
  COMB_TABLE_BYTES,
  COMB_TABLES,
  COMB_TEETH,
} from "#espruino/comb";

const LIMB_BITS = 24n;
const LIMBS = 11;

/** What `createVoucherSigner` takes as its table. */
export function combTable(): Uint8Array {
  const table = new Uint8Array(COMB_TABLE_BYTES);
  const words = new DataView(table.buffer);
  for (let block = 0; block < COMB_TABLES; block++) {
    const teeth = Array.from({ length: COMB_TEETH }, (_, tooth) =>
      secp256k1.Point.BASE.multiply(1n << BigInt(COMB_ROWS * (COMB_TEETH * block + tooth))),
    );
    for (let index = 0; index < COMB_POINTS; index++) {
      const sum = teeth.reduce(
        (so, tooth, at) =>
          at === COMB_TEETH - 1 || (index >> at) & 1 ? so.add(tooth) : so.add(tooth.negate()),
        secp256k1.Point.ZERO,
      );
      const { x, y } = sum.toAffine();
      const offset = COMB_POINT_BYTES * (COMB_POINTS * block + index);
      for (let limb = 0; limb < LIMBS; limb++) {
        words.setInt32(offset + 4 * limb, Number(BigInt.asUintN(24, x >> (LIMB_BITS * BigInt(limb)))), true);
        words.setInt32(
          offset + 4 * (LIMBS + limb),
          Number(BigInt.asUintN(24, y >> (LIMB_BITS * BigInt(limb)))),
          true,
        );
      }
    }
  }
  return table;
}
