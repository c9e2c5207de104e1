/**
 * The device's signer: one payment in, 65 bytes out, and behind them an approval where the terms ask for one.
 *
 * Promise: it signs vouchers, authorizations and approvals of Permit2 for the terms it is given, and nothing else;
 * what may be signed was decided by the owner's policy before.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import type { Signer, SigningRequest } from "#core/ports";
import { encodeApproval } from "#protocol/approval-frame";
import { purchaseNonce, type Token, transferDigest } from "./authorization.ts";
import { chainIdOf } from "./eip712.ts";
import type { Key } from "./key.ts";
import { approveDigest, tokenPermitDigest } from "./permit2/approval.ts";
import { permitDigest } from "./permit2/permit.ts";
import { voucherDigest } from "./voucher.ts";

/** A signer around a key held in memory. */
export function signWith(key: Key): Signer {
  return {
    sign(request, done) {
      const signature = key.sign(paymentDigest(request, key.address));
      const approval = approvalFor(request, key);
      done(approval === null ? signature : concatBytes(signature, approval));
    },
  };
}

/** What a payment's signature covers, by scheme. */
export function paymentDigest(request: SigningRequest, device: string): Uint8Array {
  const { terms, channelId, maxClaimable, amountAtomic, validBeforeSeconds } = request;
  const chainId = chainIdOf(terms.network);
  if (terms.scheme === "batch-settlement") return voucherDigest(channelId, maxClaimable, chainId);
  const nonce = purchaseNonce(channelId, maxClaimable - amountAtomic);
  const { payTo: to, spender, facilitator } = terms;
  if (spender === undefined) {
    const verifier = { ...tokenOf(request), address: terms.contract };
    return transferDigest(verifier, { from: device, to, value: amountAtomic, validBeforeSeconds, nonce });
  }
  return permitDigest({
    chainId,
    token: terms.asset,
    amountAtomic,
    nonce,
    deadlineSeconds: validBeforeSeconds,
    witness: facilitator === undefined ? { kind: "exact", to } : { kind: "upto", to, facilitator },
  });
}

/** The approval that goes with a payment, signed: of what this payment needs, or of what the owner lets it be raised to. */
function approvalFor(request: SigningRequest, key: Key): Uint8Array | null {
  const { terms, amountAtomic, validBeforeSeconds } = request;
  if (terms.approval === undefined) return null;
  const { kind, nonce, maxFeePerGas, maxPriorityFeePerGas, atLeastAtomic } = terms.approval;
  const token = tokenOf(request);
  const approvedAtomic = Math.max(amountAtomic, atLeastAtomic);
  const approved = { amountAtomic: approvedAtomic, nonce };
  const digest =
    kind === "eip2612"
      ? tokenPermitDigest(token, { ...approved, owner: key.address, deadlineSeconds: validBeforeSeconds })
      : approveDigest({
          ...approved,
          chainId: token.chainId,
          token: token.address,
          maxFeePerGas,
          maxPriorityFeePerGas,
        });
  return encodeApproval({
    kind,
    approvedAtomic,
    nonce,
    maxFeePerGas,
    maxPriorityFeePerGas,
    signature: key.sign(digest),
  });
}

function tokenOf({ terms }: SigningRequest): Token {
  const { network, asset, tokenName, tokenVersion } = terms;
  return { chainId: chainIdOf(network), address: asset, name: tokenName, version: tokenVersion };
}
