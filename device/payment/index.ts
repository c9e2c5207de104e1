/**
 * `watt402/payment`: what a device signs, and who can check it.
 *
 * Promise: digests are those of EIP-712 and of x402's schemes batch-settlement and exact, byte for byte.
 */
export {
  type Authorization,
  depositNonce,
  exactAccountOf,
  purchaseNonce,
  receiveDigest,
  type Token,
  transferDigest,
} from "./authorization.ts";
export { fromHex, type Hex, toHex } from "./bytes.ts";
export { BATCH_SETTLEMENT_ADDRESS, channelIdOf } from "./channel.ts";
export { type Key, openKey, recoverAddress, recoverPublicKey } from "./key.ts";
export { loginToken } from "./login.ts";
export { tagKeyBetween } from "./tag-key.ts";
export { voucherDigest } from "./voucher.ts";
export { type ErrorCode, hasCode, Watt402Error } from "./watt402-error.ts";
