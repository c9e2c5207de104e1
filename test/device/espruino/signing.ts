/** What the tests of a board's signing share: its parts on Node, and a key's own signature to compare with. */
import { createHmac } from "node:crypto";
import { createEcdsa, type Ecdsa } from "#espruino/ecdsa";
import { convolveInScript } from "#espruino/limbs";
import type { Sliced } from "#espruino/sliced";
import { combTable } from "#hardware/espruino/comb-table";

export const TABLE = combTable();

export const hmacSha256 = (key: Uint8Array, message: Uint8Array): Uint8Array =>
  new Uint8Array(createHmac("sha256", key).update(message).digest());

/** A slice more than any signature has is a signature that does not end. */
const SLICES_MAX = 5_000;

/** Walks to the end; returns the number of slices. */
export function finish(work: Sliced): number {
  for (let slices = 1; slices <= SLICES_MAX; slices++) if (work.step()) return slices;
  throw new Error(`expected an end within ${SLICES_MAX} slices, found none`);
}

export function ecdsaOf(key: Uint8Array, table = TABLE): Ecdsa {
  return createEcdsa({ table, key, hmac: hmacSha256, convolve: convolveInScript });
}

/** A 256-bit integer as 32 bytes. */
export function bytesOf(value: bigint): Uint8Array {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(64, "0"), "hex"));
}
