/**
 * Batch-settlement vouchers: `Voucher(bytes32 channelId,uint128 maxClaimableAmount)`.
 *
 * Promise: the digest depends on channel, cumulative amount and chain only, so signing a rung again
 * yields the same bytes (RFC 6979).
 */
import { wordOfBytes32, wordOfInteger } from "./bytes.ts";
import { batchSettlementSeparator } from "./channel.ts";
import { hashStruct, typedDataDigest, typeHash } from "./eip712.ts";

const VOUCHER_TYPE_HASH = typeHash("Voucher(bytes32 channelId,uint128 maxClaimableAmount)");

/**
 * What the device signs for one rung.
 * @param maxClaimable cumulative, atomic units
 */
export function voucherDigest(channelId: string, maxClaimable: number, chainId: number): Uint8Array {
  const struct = hashStruct(VOUCHER_TYPE_HASH, [wordOfBytes32(channelId), wordOfInteger(maxClaimable)]);
  return typedDataDigest(batchSettlementSeparator(chainId), struct);
}
