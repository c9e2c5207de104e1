/**
 * libsecp256k1 where the platform has it: a fortieth of JavaScript's time for what a signature costs.
 *
 * Promise: it is this library or nothing. The npm package's own entry would fall back to JavaScript in silence, so only
 * its bindings are asked for.
 */

import { createRequire } from "node:module";
import { Watt402Error } from "#payment/watt402-error";

export interface Libsecp256k1 {
  privateKeyVerify(secret: Uint8Array): boolean;
  publicKeyCreate(secret: Uint8Array, compressed: boolean): Uint8Array;
  ecdh(
    publicKey: Uint8Array,
    secret: Uint8Array,
    options: { readonly hashfn: (x: Uint8Array) => Uint8Array },
    output: Uint8Array,
  ): Uint8Array;
  ecdsaSign(
    digest: Uint8Array,
    secret: Uint8Array,
    options: object,
    output: Uint8Array,
  ): { readonly recid: number };
  ecdsaRecover(
    signature: Uint8Array,
    recoveryId: number,
    digest: Uint8Array,
    compressed: boolean,
    output: Uint8Array,
  ): Uint8Array;
}

let loaded: Libsecp256k1 | null = null;

/** Throws one line where the platform has no binary of it. */
export function libsecp256k1(): Libsecp256k1 {
  try {
    loaded ??= createRequire(import.meta.url)("secp256k1/bindings.js") as Libsecp256k1;
    return loaded;
  } catch (cause) {
    throw new Watt402Error(
      "not-found",
      `expected libsecp256k1 for ${process.platform} ${process.arch}, found none`,
      { cause },
    );
  }
}
