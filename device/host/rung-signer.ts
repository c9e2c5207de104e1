/**
 * From a payment the machine decided to the bytes of its PAY frame.
 *
 * Promise: a rung sent again carries the signature it had before. For `exact` and `upto` that means one end of
 * validity for each rung, kept until less is left than the terms want; signed anew then, or because the terms changed,
 * it has the same nonce, so the token pays at most one of the two.
 */
import type { Payment } from "#core/events";
import type { Signer, SigningRequest } from "#core/ports";
import { channelTagOf } from "#core/rungs";
import { encodePay } from "#protocol/frames";

/** A signed authorization lives so much longer than its terms want; then it is signed anew, seconds of the chain's time. */
export const SIGNED_AHEAD_SECONDS = 540;

export class RungSigner {
  private readonly signer: Signer;
  private readonly chainSeconds: () => number | null;
  private latest: { readonly request: SigningRequest; signature: Uint8Array | null } | null = null;

  /** @param chainSeconds Unix seconds as the chain counts them; null while unknown */
  constructor(signer: Signer, chainSeconds: () => number | null) {
    this.signer = signer;
    this.chainSeconds = chainSeconds;
  }

  /** What is to be signed; null for an authorization while the chain's time is unknown. */
  requestFor(payment: Payment): SigningRequest | null {
    // Vouchers have no end.
    const leastSeconds = payment.terms.validSeconds;
    const nowSeconds = leastSeconds ? this.chainSeconds() : 0;
    if (nowSeconds === null) return null;
    const before = this.latest;
    if (before !== null && isSameRung(before.request, payment)) {
      const aheadSeconds = before.request.validBeforeSeconds - nowSeconds - (leastSeconds || 0);
      // More than it was signed ahead means that the clock was set back since.
      if (!leastSeconds || (aheadSeconds > 0 && aheadSeconds <= SIGNED_AHEAD_SECONDS)) {
        return before.request;
      }
    }
    const request: SigningRequest = {
      terms: payment.terms,
      channelId: payment.channelId,
      maxClaimable: payment.maxClaimable,
      amountAtomic: payment.amountAtomic,
      validBeforeSeconds: leastSeconds ? Math.floor(nowSeconds) + leastSeconds + SIGNED_AHEAD_SECONDS : 0,
    };
    this.latest = { request, signature: null };
    return request;
  }

  /** Calls back with what the signer signs, or null when it failed. */
  sign(request: SigningRequest, done: (signature: Uint8Array | null) => void): void {
    const latest = this.latest;
    if (latest !== null && latest.request === request && latest.signature !== null) {
      done(latest.signature);
      return;
    }
    this.signer.sign(request, (signature) => {
      if (latest !== null && latest.request === request) latest.signature = signature;
      done(signature);
    });
  }
}

/** The PAY frame of a signed payment, without its tag. */
export function payFrame(payment: Payment, request: SigningRequest, signature: Uint8Array): Uint8Array {
  return encodePay({
    again: payment.again,
    channelTag: channelTagOf(payment.channelId),
    maxClaimable: payment.maxClaimable,
    register: payment.register,
    validBeforeSeconds: request.validBeforeSeconds,
    signature,
  });
}

function isSameRung(request: SigningRequest, payment: Payment): boolean {
  return (
    request.channelId === payment.channelId &&
    request.maxClaimable === payment.maxClaimable &&
    request.amountAtomic === payment.amountAtomic &&
    JSON.stringify(request.terms) === JSON.stringify(payment.terms)
  );
}
