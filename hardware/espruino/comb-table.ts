/**
 * The comb table that lies in a board's flash beside its bundle, computed where BigInt is.
 *
 * Promise: 8,448 bytes, the same each time; entry i of table t is the sum over the teeth j of
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
} from "#espruino/signer/comb";

const LIMB_BITS = 24n;
const LIMBS = 11;

/** What `createVoucherSigner` takes as its table. */
export function combTable(): Uint8Array {
  const table = Buffer.alloc(COMB_TABLE_BYTES);
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
      for (let limb = 0; limb < 2 * LIMBS; limb++) {
        const coordinate = limb < LIMBS ? x : y;
        const value = BigInt.asUintN(24, coordinate >> (LIMB_BITS * BigInt(limb % LIMBS)));
        table.writeUIntLE(Number(value), offset + 3 * limb, 3);
      }
    }
  }
  return new Uint8Array(table);
}
