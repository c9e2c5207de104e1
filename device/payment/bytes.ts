/**
 * Fixed-width words of the EVM's ABI, and hex.
 *
 * Promise: every function returns fresh bytes or throws on a value that does not fit.
 */

import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { Watt402Error } from "./watt402-error.ts";

export const WORD_BYTES = 32;

/** 0x and lower-case hex digits. */
export type Hex = `0x${string}`;

export function toHex(bytes: Uint8Array): Hex {
  return `0x${bytesToHex(bytes)}`;
}

/** @param hex 0x and an even number of digits */
export function fromHex(hex: string): Uint8Array {
  if (!hex.startsWith("0x"))
    throw new Watt402Error("value-invalid", `expected hex beginning with 0x, found "${hex.slice(0, 12)}"`);
  return hexToBytes(hex.slice(2));
}

/** An unsigned integer as a 32-byte word. */
export function wordOfInteger(value: bigint | number): Uint8Array {
  const big = BigInt(value);
  if (big < 0n || big >= 1n << 256n)
    throw new Watt402Error("value-invalid", `expected an unsigned 256-bit integer, found ${value}`);
  return hexToBytes(big.toString(16).padStart(2 * WORD_BYTES, "0"));
}

/** An address, left-padded to a 32-byte word. */
export function wordOfAddress(address: string): Uint8Array {
  const bytes = fromHex(address);
  if (bytes.length !== 20)
    throw new Watt402Error(
      "value-invalid",
      `expected an address of 20 bytes, found ${bytes.length} in ${address}`,
    );
  const word = new Uint8Array(WORD_BYTES);
  word.set(bytes, 12);
  return word;
}

/** A 32-byte value as it is. */
export function wordOfBytes32(hex: string): Uint8Array {
  const bytes = fromHex(hex);
  if (bytes.length !== WORD_BYTES)
    throw new Watt402Error("value-invalid", `expected 32 bytes, found ${bytes.length} in ${hex}`);
  return bytes;
}
