// Whose signature a voucher bears: the EIP-712 digest written by hand into one buffer, then recovery, then a
// comparison with the public key known for the channel's authorizer. The key is recovered rather than verified
// against: the contract recovers too, so a wrong recovery id, which a verification would not notice, would make
// a voucher that buys energy and cannot be claimed.

import type { Curve } from "#node/curve";
import { batchSettlementSeparator } from "#payment/channel";
import { typeHash } from "#payment/eip712";
import type { Keccak } from "./keccak.ts";

/** Authorizers whose public keys are kept, 64 bytes each; full means start again. */
export const KEYS_MAX = 100_000;

const WORD = 32;
const PREFIX_BYTES = 2;
/** 0x and 65 bytes. */
const SIGNATURE_DIGITS = 132;

export class VoucherSignatures {
  readonly #curve: Curve;
  readonly #keccak: Keccak;
  readonly #keys = new Map<string, Buffer>();
  /** type hash, channel id, amount */
  readonly #struct = Buffer.alloc(3 * WORD);
  /** 0x1901, domain separator, struct hash */
  readonly #message = Buffer.alloc(PREFIX_BYTES + 2 * WORD);
  readonly #signature = Buffer.alloc(65);

  constructor(curve: Curve, keccak: Keccak, chainId: number) {
    this.#curve = curve;
    this.#keccak = keccak;
    this.#struct.set(typeHash("Voucher(bytes32 channelId,uint128 maxClaimableAmount)"));
    this.#message.set([0x19, 0x01]);
    this.#message.set(batchSettlementSeparator(chainId), PREFIX_BYTES);
  }

  /**
   * Whether `authorizer` (0x and 40 hex digits, lower case) signed this voucher, as the contract would see it:
   * 65 bytes, v 27 or 28, s in the lower half.
   * @param channelId 0x and 64 hex digits
   * @param maxClaimable atomic units, cumulative, at most 2^128 - 1
   * @param signature as it was presented
   */
  isSignedBy(authorizer: string, channelId: string, maxClaimable: bigint, signature: string): boolean {
    const bytes = this.#signature;
    if (signature.length !== SIGNATURE_DIGITS || !signature.startsWith("0x")) return false;
    // Decoding ends at the first character that is no hex digit.
    if (bytes.write(signature.slice(2), "hex") !== bytes.length) return false;
    const recoveryId = bytes[64]! - 27;
    if (recoveryId !== 0 && recoveryId !== 1) return false;
    const digest = this.#digest(channelId, maxClaimable);
    const key = this.#curve.recover(bytes.subarray(0, 64), recoveryId, digest);
    return key !== undefined && this.#isKeyOf(authorizer, key);
  }

  #digest(channelId: string, maxClaimable: bigint): Uint8Array {
    const struct = this.#struct;
    struct.write(channelId.slice(2), WORD, "hex");
    struct.writeBigUInt64BE(maxClaimable >> 64n, 2 * WORD + 16);
    struct.writeBigUInt64BE(maxClaimable & 0xffff_ffff_ffff_ffffn, 2 * WORD + 24);
    this.#message.set(this.#keccak(struct), PREFIX_BYTES + WORD);
    return this.#keccak(this.#message);
  }

  #isKeyOf(authorizer: string, key: Uint8Array): boolean {
    const known = this.#keys.get(authorizer);
    if (known !== undefined) return known.equals(key);
    const address = Buffer.from(this.#keccak(key)).subarray(12).toString("hex");
    if (`0x${address}` !== authorizer) return false;
    if (this.#keys.size >= KEYS_MAX) this.#keys.clear();
    this.#keys.set(authorizer, Buffer.from(key));
    return true;
  }
}
