/**
 * The identity of an x402 batch-settlement channel: the EIP-712 digest of its configuration.
 *
 * Promise: the id can be recomputed from the configuration alone, so no peer has to be believed about it.
 */
import type { ChannelConfig } from "#protocol/messages";
import { type Hex, toHex, wordOfAddress, wordOfBytes32, wordOfInteger } from "./bytes.ts";
import { domainSeparator, hashStruct, typedDataDigest, typeHash } from "./eip712.ts";
import { BATCH_SETTLEMENT_ADDRESS } from "./network.ts";

export { BATCH_SETTLEMENT_ADDRESS };

/** Collector of deposits by EIP-3009, likewise canonical. */
export const DEPOSIT_COLLECTOR_ADDRESS: Hex = "0x4020806089470a89826cb9fb1f4059150b550004";

const CHANNEL_TYPE_HASH = typeHash(
  "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)",
);

/** The separator of the chain asked for last: a device buys on one, and its hashes outweigh a voucher's own. */
let separator: { readonly chainId: number; readonly bytes: Uint8Array } = {
  chainId: 0,
  bytes: new Uint8Array(0),
};

/** Separator of the contract's four structs. */
export function batchSettlementSeparator(chainId: number): Uint8Array {
  if (separator.chainId !== chainId) {
    const bytes = domainSeparator({
      name: "x402 Batch Settlement",
      version: "1",
      chainId,
      verifyingContract: BATCH_SETTLEMENT_ADDRESS,
    });
    separator = { chainId, bytes };
  }
  return separator.bytes;
}

/** The channel id on a chain: 0x and 64 lower-case hex digits. */
export function channelIdOf(config: ChannelConfig, chainId: number): Hex {
  const struct = hashStruct(CHANNEL_TYPE_HASH, [
    wordOfAddress(config.payer),
    wordOfAddress(config.payerAuthorizer),
    wordOfAddress(config.receiver),
    wordOfAddress(config.receiverAuthorizer),
    wordOfAddress(config.token),
    wordOfInteger(config.withdrawDelay),
    wordOfBytes32(config.salt),
  ]);
  return toHex(typedDataDigest(batchSettlementSeparator(chainId), struct));
}
