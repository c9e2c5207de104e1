// What a voucher's signature covers, as device/payment/voucher.ts has it, written into two buffers that are used
// again for the next: for those who sign or verify thousands a second.

import { batchSettlementSeparator } from "#payment/channel";
import { typeHash } from "#payment/eip712";
import type { Keccak } from "./wasm-keccak.ts";

const WORD = 32;
const PREFIX_BYTES = 2;

export class VoucherDigest {
  readonly #keccak: Keccak;
  /** type hash, channel id, amount */
  readonly #struct = Buffer.alloc(3 * WORD);
  /** 0x1901, domain separator, struct hash */
  readonly #message = Buffer.alloc(PREFIX_BYTES + 2 * WORD);

  constructor(keccak: Keccak, chainId: number) {
    this.#keccak = keccak;
    this.#struct.set(typeHash("Voucher(bytes32 channelId,uint128 maxClaimableAmount)"));
    this.#message.set([0x19, 0x01]);
    this.#message.set(batchSettlementSeparator(chainId), PREFIX_BYTES);
  }

  /**
   * 32 bytes, the caller's to keep.
   * @param channelId 0x and 64 hex digits
   * @param maxClaimable atomic units, cumulative, at most 2^128 - 1
   */
  of(channelId: string, maxClaimable: bigint): Uint8Array {
    const struct = this.#struct;
    struct.write(channelId.slice(2), WORD, "hex");
    struct.writeBigUInt64BE(maxClaimable >> 64n, 2 * WORD + 16);
    struct.writeBigUInt64BE(maxClaimable & 0xffff_ffff_ffff_ffffn, 2 * WORD + 24);
    this.#message.set(this.#keccak(struct), PREFIX_BYTES + WORD);
    return this.#keccak(this.#message);
  }
}
