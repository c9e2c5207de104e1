/**
 * Does a device have to approve Permit2 with its payments, and how?
 *
 * Promise: an approval is asked for only where the chain lacks it and the seller brings it there; what it carries is
 * what the chain has now.
 */
import { transferMethodOf } from "#payment/offer/offer";
import type { AskedApproval } from "#protocol/messages";
import type { Chain, ChannelRecord, Logger, Quote } from "../ports.ts";

export interface ApprovalNeed {
  /** What Permit2 may move without one, atomic units; Infinity where it is not asked. */
  readonly allowanceAtomic: number;
  /** Null when there is no need, and when nobody would bring it to the chain. */
  readonly approval: AskedApproval | null;
}

const NO_NEED: ApprovalNeed = { allowanceAtomic: Infinity, approval: null };

/** Rejects while the chain does not answer. */
export async function approvalNeed(
  { permit2 }: Chain,
  { device, config, requirements }: ChannelRecord,
  { sponsored = [] }: Pick<Quote, "sponsored">,
): Promise<ApprovalNeed> {
  if (config !== null || transferMethodOf(requirements) !== "permit2") return NO_NEED;
  const { asset, amount } = requirements;
  const owner = `0x${device}`;
  const allowanceAtomic = await permit2.allowance(asset, owner);
  if (allowanceAtomic >= Number(amount)) return { allowanceAtomic, approval: null };
  for (const kind of sponsored) {
    const approval = await permit2.approvalTerms(kind, asset, owner);
    if (approval !== null) return { allowanceAtomic, approval };
  }
  return { allowanceAtomic, approval: null };
}

/** Says why a device has an offer that it cannot buy on. */
export function noteUnfunded(note: Logger, channel: ChannelRecord, need: ApprovalNeed): void {
  const { device, requirements } = channel;
  if (need.approval !== null || need.allowanceAtomic >= Number(requirements.amount)) {
    note("warn", "the treasury's limits allow no deposit: the device cannot buy", { device });
    return;
  }
  const reason =
    `token ${requirements.asset}: expected Permit2 to be approved for ${requirements.amount}, found ` +
    `${need.allowanceAtomic}; approve it for the device's wallet, or take a seller that sponsors approvals`;
  note("warn", "the device's wallet has not approved Permit2: the device cannot buy", { device, reason });
}
