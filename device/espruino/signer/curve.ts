/**
 * The numbers of secp256k1 (SEC 2, section 2.4.1) as limbs.
 */
import type { Limbs } from "./limbs.ts";

/** The field's prime, 2^256 - 2^32 - 977. */
export const PRIME: Limbs = new Int32Array([
  0xfffc2f, 0xfffeff, 0xffffff, 0xffffff, 0xffffff, 0xffffff, 0xffffff, 0xffffff, 0xffffff, 0xffffff, 0xffff,
]);

/** The group's order n. */
export const ORDER: Limbs = new Int32Array([
  0x364141, 0x5e8cd0, 0x3bbfd2, 0xaf48a0, 0xaedce6, 0xfffeba, 0xffffff, 0xffffff, 0xffffff, 0xffffff, 0xffff,
]);

/** (n - 1) / 2: the greatest s that is low. */
export const ORDER_HALF: Limbs = new Int32Array([
  0x1b20a0, 0x2f4668, 0x1ddfe9, 0x57a450, 0x576e73, 0xffff5d, 0xffffff, 0xffffff, 0xffffff, 0xffffff, 0x7fff,
]);

/** 2^264 modulo n. */
export const ORDER_FOLD: Limbs = new Int32Array([
  0xbebf00, 0x732fc9, 0x402da1, 0xb75fc4, 0x231950, 0x14551, 0x0, 0x0, 0x0, 0x0, 0x0,
]);
