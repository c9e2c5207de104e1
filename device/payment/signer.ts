/**
 * The device's signer: one payment in, 65 bytes out.
 *
 * Promise: it signs vouchers and transfer authorizations for the terms it is given, and nothing else;
 * what may be signed was decided by the core's policy before.
 */
import type { Signer, SigningRequest } from "#core/ports";
import { purchaseNonce, transferDigest } from "./authorization.ts";
import { chainIdOf } from "./eip712.ts";
import type { Key } from "./key.ts";
import { voucherDigest } from "./voucher.ts";

/** A signer around a key held in memory. */
export function signWith(key: Key): Signer {
  return {
    sign(request, done) {
      done(key.sign(paymentDigest(request, key.address)));
    },
  };
}

/** What a payment's signature covers, by scheme. */
export function paymentDigest(request: SigningRequest, device: string): Uint8Array {
  const chainId = chainIdOf(request.terms.network);
  if (request.terms.scheme === "batch-settlement") {
    return voucherDigest(request.channelId, request.maxClaimable, chainId);
  }
  const { asset, tokenName, tokenVersion, payTo } = request.terms;
  return transferDigest(
    { chainId, address: asset, name: tokenName, version: tokenVersion },
    {
      from: device,
      to: payTo,
      value: request.amountAtomic,
      validBeforeSeconds: request.validBeforeSeconds,
      nonce: purchaseNonce(request.channelId, request.maxClaimable - request.amountAtomic),
    },
  );
}
