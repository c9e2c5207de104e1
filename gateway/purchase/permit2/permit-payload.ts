/**
 * From a PAY by Permit2 to x402's payload, and to the extension that brings its approval to the chain.
 *
 * Promise: what the device signed is carried unchanged; an approval is carried as it was signed, or not at all.
 */
import { purchaseNonce } from "#payment/authorization";
import { toHex } from "#payment/bytes";
import { chainIdOf } from "#payment/eip712";
import { signedApprove } from "#payment/permit2/approval";
import { PERMIT2_ADDRESS, spenderOf } from "#payment/permit2/permit";
import { approvalIn, type SignedApproval } from "#protocol/approval-frame";
import type { Pay } from "#protocol/frames";
import type { ChannelRecord } from "../ports.ts";

/** Names of x402's extensions, by what they bring. */
export const SPONSORINGS = {
  eip2612: "eip2612GasSponsoring",
  erc20: "erc20ApprovalGasSponsoring",
} as const;

const SPONSORING_VERSION = "1";

interface PermitPayload {
  readonly payload: Record<string, unknown>;
  readonly extensions: { readonly extensions?: Record<string, unknown> };
}

/** @param signature of the permit, as text */
export function permitPayload(channel: ChannelRecord, pay: Pay, signature: string): PermitPayload {
  const { scheme, asset, payTo, extra } = channel.requirements;
  const to = { to: payTo, validAfter: "0" };
  const isUpto = scheme === "upto";
  const payload = {
    signature,
    permit2Authorization: {
      from: `0x${channel.device}`,
      permitted: { token: asset, amount: String(pay.maxClaimable - channel.charged) },
      spender: spenderOf({ kind: isUpto ? "upto" : "exact" }),
      nonce: BigInt(purchaseNonce(channel.id, channel.charged)).toString(),
      deadline: String(pay.validBeforeSeconds),
      witness: isUpto ? { ...to, facilitator: extra.facilitatorAddress } : to,
    },
  };
  const approval = approvalIn(pay.signature)?.frame ?? null;
  if (approval === null) return { payload, extensions: {} };
  const info = approvalInfo(channel, approval, pay.validBeforeSeconds);
  return { payload, extensions: { extensions: { [SPONSORINGS[approval.kind]]: { info } } } };
}

/** What both sponsorings say of an approval. */
export function sponsoringInfo(owner: string, asset: string, amountAtomic: number): Record<string, string> {
  return {
    from: owner,
    asset,
    spender: PERMIT2_ADDRESS,
    amount: String(amountAtomic),
    version: SPONSORING_VERSION,
  };
}

function approvalInfo(
  { device, requirements }: ChannelRecord,
  approval: SignedApproval,
  deadlineSeconds: number,
): Record<string, string> {
  const { asset, network } = requirements;
  const { kind, approvedAtomic, nonce, maxFeePerGas, maxPriorityFeePerGas, signature } = approval;
  const info = sponsoringInfo(`0x${device}`, asset, approvedAtomic);
  if (kind === "eip2612") {
    return { ...info, nonce: String(nonce), deadline: String(deadlineSeconds), signature: toHex(signature) };
  }
  const transaction = {
    token: asset,
    amountAtomic: approvedAtomic,
    nonce,
    maxFeePerGas,
    maxPriorityFeePerGas,
  };
  return {
    ...info,
    signedTransaction: signedApprove({ ...transaction, chainId: chainIdOf(network) }, signature),
  };
}
