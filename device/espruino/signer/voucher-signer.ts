/**
 * Signs vouchers on a board, a few milliseconds at a time.
 *
 * Promise: the signature of `Voucher(bytes32 channelId,uint128 maxClaimableAmount)` that device/payment's
 * signer makes, byte for byte; between two slices the board may do anything else.
 */
import type { Hmac } from "#core/ports";
import { createEcdsa } from "./ecdsa.ts";
import { createKeccak } from "./keccak.ts";
import { type Convolve, convolveInScript } from "./limbs.ts";
import { inOrder, type Sliced } from "./sliced.ts";

const WORD_BYTES = 32;

/** keccak256("Voucher(bytes32 channelId,uint128 maxClaimableAmount)"). */
const VOUCHER_TYPE_HASH: readonly number[] = [
  0x1e, 0x1b, 0xd6, 0xff, 0x84, 0xc3, 0xe0, 0xd9, 0x02, 0x9a, 0x29, 0x2b, 0x21, 0x2e, 0x03, 0x9c, 0x0c, 0xa9,
  0x7e, 0xc4, 0x97, 0xc5, 0x51, 0x91, 0xa4, 0xa5, 0x87, 0x42, 0x94, 0x60, 0x9a, 0x69,
];

interface VoucherSignerParts {
  /** The comb's points, COMB_TABLE_BYTES: made when the board is flashed. */
  readonly table: Uint8Array;
  /** The device's secret, 32 bytes. */
  readonly key: Uint8Array;
  /** EIP-712 separator of the settlement contract on the channel's chain, 32 bytes. */
  readonly domainSeparator: Uint8Array;
  readonly hmac: Hmac;
  /** `E.convolve` on a board. */
  readonly convolve?: Convolve;
}

/** One signature under way. */
interface VoucherJob extends Sliced {
  /** 65 bytes r, s, v, once step has returned true. */
  signature(): Uint8Array;
}

interface VoucherSigner {
  /**
   * Begins to sign a rung. There is one job at a time: starting another ends the one before.
   * @param channelId 32 bytes @param maxClaimableAtomic cumulative, atomic units, a safe integer
   */
  start(channelId: Uint8Array, maxClaimableAtomic: number): VoucherJob;
}

/** Throws on a key, table or separator that is none. */
export function createVoucherSigner(parts: VoucherSignerParts): VoucherSigner {
  if (parts.domainSeparator.length !== WORD_BYTES) {
    throw new Error(`expected a domain separator of 32 bytes, found ${parts.domainSeparator.length}`);
  }
  const keccak = createKeccak();
  const ecdsa = createEcdsa({
    table: parts.table,
    key: parts.key,
    hmac: parts.hmac,
    convolve: parts.convolve === undefined ? convolveInScript : parts.convolve,
  });
  // EIP-712: hash of the struct's three words, then of 0x19 0x01, separator and that hash.
  const struct = new Uint8Array(3 * WORD_BYTES);
  struct.set(VOUCHER_TYPE_HASH);
  const typedData = new Uint8Array(2 + 2 * WORD_BYTES);
  typedData[0] = 0x19;
  typedData[1] = 0x01;
  typedData.set(parts.domainSeparator, 2);

  const sequence = inOrder([
    () => {
      if (!keccak.step()) return false;
      typedData.set(keccak.digest(), 2 + WORD_BYTES);
      keccak.start(typedData);
      return true;
    },
    () => {
      if (!keccak.step()) return false;
      ecdsa.start(keccak.digest());
      return true;
    },
    ecdsa.step,
  ]);

  const job = { step: sequence.step, signature: ecdsa.signature };

  return {
    start(channelId, maxClaimableAtomic) {
      if (channelId.length !== WORD_BYTES) {
        throw new Error(`expected a channel id of 32 bytes, found ${channelId.length}`);
      }
      struct.set(channelId, WORD_BYTES);
      let rest = maxClaimableAtomic;
      for (let at = struct.length - 1; at >= 2 * WORD_BYTES; at--) {
        struct[at] = rest % 256;
        rest = Math.floor(rest / 256);
      }
      keccak.start(struct);
      sequence.restart();
      return job;
    },
  };
}
