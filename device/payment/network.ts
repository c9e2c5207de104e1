/**
 * CAIP-2 names of EVM networks, and x402's contract, which has the same address on each.
 *
 * Promise: one chain id, one name; parsed by hand, because the boards' regular expressions cannot.
 */
import type { Hex } from "./bytes.ts";

/** x402BatchSettlement (x402 specification, scheme batch-settlement). */
export const BATCH_SETTLEMENT_ADDRESS: Hex = "0x4020074e9df2ce1dee5a9c1b5c3f541d02a10003";

const PREFIX = "eip155:";
const DIGITS_MAX = 15;

/** Chain id of a network of the namespace eip155, 1..10^15-1; null for any other name. */
export function chainIdIn(network: string): number | null {
  if (network.slice(0, PREFIX.length) !== PREFIX) return null;
  const digits = network.slice(PREFIX.length);
  if (digits.length < 1 || digits.length > DIGITS_MAX || digits.charAt(0) === "0") return null;
  for (let i = 0; i < digits.length; i++) if ("0123456789".indexOf(digits.charAt(i)) < 0) return null;
  return Number(digits);
}
