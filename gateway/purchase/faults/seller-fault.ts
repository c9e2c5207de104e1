/**
 * Why a seller did not sell, as the wire calls it, and whose fault that is.
 *
 * Promise: a refusal counts against the seller only when device, channel and treasury did nothing that x402 has a
 * code for; where seller and chain differ on a channel's money, the chain is believed. What may have been charged is
 * never called unpaid.
 */
import type { WireRefusal } from "#core/refusal";
import type { Chain, ChannelRecord, Sale } from "../ports.ts";

/** Why a refusal is the seller's own: neither device, channel nor treasury did anything wrong. */
export interface SellerFault {
  readonly reason: string;
  /** It does not know a deposit that the chain knows, and will not until it looks there again. */
  readonly isBehindChain: boolean;
}

/** A seller's word for having nothing left: devices buy elsewhere at once. */
export const SOLD_OUT = "sold_out";

export type NotSold = Exclude<Sale, { kind: "paid" }>;

/** @param maxClaimable the cumulative amount that was refused, atomic units */
export async function classifyRefusal(
  chain: Pick<Chain, "channelBalance">,
  channel: ChannelRecord,
  maxClaimable: number,
  sale: NotSold,
): Promise<{ readonly refusal: WireRefusal; readonly fault: SellerFault | null }> {
  if (sale.kind === "unavailable") {
    return { refusal: sale.isUnknown ? "outcome-unknown" : "seller-unavailable", fault: null };
  }
  const refusal = refusalOf(sale.reason);
  const isFunded = channel.config !== null && maxClaimable <= channel.balance;
  if (refusal === "unfunded" && isFunded) {
    // A stock seller believes what it last read of a channel for minutes; so the chain is asked who is right.
    const onChain = await balanceOnChain(chain, channel);
    if (onChain === null) return { refusal: "seller-unavailable", fault: null };
    if (onChain < maxClaimable) return { refusal, fault: null };
    const reason = `the chain holds ${onChain} for this channel and the seller does not know it: ${sale.reason}`;
    return { refusal: "seller-unavailable", fault: { reason, isBehindChain: true } };
  }
  // The wallet's owner used the nonce: elsewhere, or longer ago than the chain adapter looks back.
  const isSpent = /(nonce_already_used|permit2_invalid_nonce)$/.test(sale.reason);
  const isSellers = (refusal === "seller-refused" && !isSpent) || refusal === "seller-unavailable";
  return { refusal, fault: isSellers ? { reason: sale.reason, isBehindChain: false } : null };
}

/** Null while the chain does not answer. */
async function balanceOnChain(
  chain: Pick<Chain, "channelBalance">,
  channel: ChannelRecord,
): Promise<number | null> {
  try {
    return await chain.channelBalance(channel.id);
  } catch {
    return null;
  }
}

/** x402's error codes are one word each, and end alike in every scheme; a seller's own sentence decides nothing. */
function refusalOf(reason: string): WireRefusal {
  const code = /(?:^|\s)([a-z0-9]+(?:_[a-z0-9]+)+)$/.exec(reason)?.[1];
  if (code === undefined) return "seller-refused";
  if (/signature/.test(code)) return "bad-signature";
  if (/cumulative_(amount_mismatch|below_claimed)/.test(code)) return "counter-mismatch";
  if (/channel_busy|sold_out|verification_state_unavailable|settlement_pending/.test(code))
    return "seller-unavailable";
  if (/valid_before|expired/.test(code)) return "expired";
  if (
    /insufficient|allowance_required|exceeds_balance|deposit_simulation_failed|channel_not_found/.test(code)
  )
    return "unfunded";
  if (/withdraw/.test(code)) return "channel-closing";
  return "seller-refused";
}
