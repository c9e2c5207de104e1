/**
 * The device's signer for a fleet in one process: all lights write their vouchers' digests into the same buffers, and
 * hash in WebAssembly.
 *
 * Promise: what device/payment/signer.ts signs, it signs alike (a test).
 */
import type { Signer } from "#core/ports";
import { chainIdOf } from "#payment/eip712";
import type { Key } from "#payment/key";
import { paymentDigest } from "#payment/signer";
import { VoucherDigest } from "../../seller/scheme/voucher-digest.ts";
import { keccakInWasm } from "../../seller/scheme/wasm-keccak.ts";

/** Opens the signer of each light by its key. */
export async function quickSigners(): Promise<(key: Key) => Signer> {
  const keccak = await keccakInWasm();
  const digests = new Map<string, VoucherDigest>();
  const digestOn = (network: string) => {
    const digest = digests.get(network) ?? new VoucherDigest(keccak, chainIdOf(network));
    digests.set(network, digest);
    return digest;
  };
  return (key) => ({
    sign(request, done) {
      const { terms, channelId, maxClaimable } = request;
      const isVoucher = terms.scheme === "batch-settlement";
      const digest = isVoucher
        ? digestOn(terms.network).of(channelId, BigInt(maxClaimable))
        : paymentDigest(request, key.address);
      done(key.sign(digest));
    },
  });
}
