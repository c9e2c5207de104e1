/**
 * A treasury's deposit through Permit2: its payload, and what approves Permit2 for it.
 *
 * Promise: a channel's deposits go one way for its whole life, so one index is paid at most once; an approval is of one
 * deposit where the token takes permits, and else of no more than the treasury may deposit in a day.
 */
import { depositNonce, type TransferMethod } from "#payment/authorization";
import { toHex } from "#payment/bytes";
import { chainIdOf } from "#payment/eip712";
import { transferMethodOf } from "#payment/offer/offer";
import { tokenPermitDigest } from "#payment/permit2/approval";
import { PERMIT2_COLLECTOR_ADDRESS } from "#payment/permit2/permit";
import type { OfferedRequirements } from "#protocol/messages";
import type { FundingLimits } from "../funding.ts";
import type { Chain, ChannelRecord, DepositRecord, Treasury } from "../ports.ts";
import { SPONSORINGS, sponsoringInfo } from "./permit-payload.ts";

interface ApprovalParts {
  readonly chain: Chain;
  readonly treasury: Treasury;
  readonly limits: FundingLimits;
}

/** How money gets into a channel; a device's own wallet is filled by EIP-3009, however it pays. */
export function depositMethodOf(requirements: OfferedRequirements): TransferMethod {
  if (requirements.scheme !== "batch-settlement") return "eip3009";
  return transferMethodOf(requirements) ?? "eip3009";
}

/** x402's `permit2Authorization` of a deposit. */
export function depositPermit(channel: ChannelRecord, deposit: DepositRecord): Record<string, unknown> {
  return {
    from: channel.config!.payer,
    permitted: { token: channel.requirements.asset, amount: String(deposit.amountAtomic) },
    spender: PERMIT2_COLLECTOR_ADDRESS,
    nonce: BigInt(depositNonce(channel.id, deposit.index)).toString(),
    deadline: String(deposit.validBeforeSeconds),
    witness: { channelId: channel.id },
    signature: deposit.signature,
  };
}

/**
 * What has to go with a deposit so that Permit2 may move it: nothing, or the treasury's permit for it. Where the token
 * takes no permits, the treasury approves Permit2 by a transaction of its own first. Rejects when the chain fails.
 */
export async function depositApproval(
  { chain, treasury, limits }: ApprovalParts,
  channel: ChannelRecord,
  { amountAtomic, validBeforeSeconds }: DepositRecord,
): Promise<Record<string, unknown> | null> {
  const { requirements } = channel;
  const { asset, network, extra } = requirements;
  if (depositMethodOf(requirements) !== "permit2") return null;
  const owner = treasury.address;
  if ((await chain.permit2.allowance(asset, owner)) >= amountAtomic) return null;
  const { name, version } = extra;
  const isNamed = typeof name === "string" && typeof version === "string";
  const terms = isNamed ? await chain.permit2.approvalTerms("eip2612", asset, owner) : null;
  if (terms === null) {
    await chain.permit2.approve(asset, Math.max(amountAtomic, limits.perDayAtomic));
    return null;
  }
  const token = { chainId: chainIdOf(network), address: asset, name: String(name), version: String(version) };
  const permit = { owner, amountAtomic, nonce: terms.nonce, deadlineSeconds: validBeforeSeconds };
  const signature = toHex(await treasury.sign(tokenPermitDigest(token, permit)));
  const info = {
    ...sponsoringInfo(owner, asset, amountAtomic),
    nonce: String(terms.nonce),
    deadline: String(validBeforeSeconds),
    signature,
  };
  return { [SPONSORINGS.eip2612]: { info } };
}
