/**
 * x402's contracts at their canonical addresses, the same on every chain.
 *
 * Promise: constants alone, so that a board without EIP-712 has them too.
 */
import type { Hex } from "./bytes.ts";

/** x402BatchSettlement (x402 specification, scheme batch-settlement). */
export const BATCH_SETTLEMENT_ADDRESS: Hex = "0x4020074e9df2ce1dee5a9c1b5c3f541d02a10003";
