/**
 * One PAY: to the seller, into the ledger, and only then a GRANT.
 *
 * Promise: M3 and M4. A rung is in the ledger at most once and before its grant leaves; a rung presented
 * again gets the counters of now without asking the seller; an answer that was lost is recovered from
 * the seller's counters, and the device's signature is never lowered or replaced.
 */
import type { Grant } from "#core/events";
import { channelTagOf } from "#core/purchase";
import type { WireRefusal } from "#core/refusal";
import { purchaseNonce } from "#payment/authorization";
import { toHex } from "#payment/bytes";
import type { Pay } from "#protocol/frames";
import { confirmDeposit, type DepositParts, hasArrived, intendDeposit, openDeposit } from "./deposit.ts";
import { type FundingLimits, minDepositOf, nextDepositAtomic } from "./funding.ts";
import { authorizationPayload, voucherPayload } from "./payload.ts";
import type {
  ChannelRecord,
  DepositRecord,
  Note,
  PaymentRecord,
  Sale,
  Seller,
  SellerCounters,
} from "./ports.ts";

export interface PurchaseParts extends DepositParts {
  readonly seller: Seller;
  readonly limits: FundingLimits;
  readonly note: Note;
}

export interface Purchase {
  readonly channel: ChannelRecord;
  readonly grant: Grant;
}

type Sold = Extract<Sale, { kind: "paid" }>;

/** Answers one payment whose tag was right. Never throws for what a device, seller or disk may do. */
export async function purchase(parts: PurchaseParts, channel: ChannelRecord, pay: Pay): Promise<Purchase> {
  if (pay.maxClaimable <= channel.charged) return answerAgain(parts, channel, pay);
  const presented = await present(parts, channel, pay);
  if (presented.refusal !== null) return refuse(presented.channel, presented.refusal);
  return settle(parts, presented.channel, pay, presented.sold);
}

/** A grant frame with a channel's counters as they are. */
export function refuse(channel: ChannelRecord, refusal: WireRefusal): Purchase {
  return { channel, grant: grantOf(channel, refusal, 0, 0) };
}

/** The rung was charged before: same voucher, same counters. */
function answerAgain(parts: PurchaseParts, channel: ChannelRecord, pay: Pay): Purchase {
  const paid = parts.ledger.payment(channel.id, pay.maxClaimable);
  if (paid === null) return refuse(channel, "counter-mismatch");
  return { channel, grant: grantOf(channel, null, paid.pricePerMillionUnits, 0) };
}

async function settle(parts: PurchaseParts, channel: ChannelRecord, pay: Pay, sold: Sold): Promise<Purchase> {
  // A device is never told of more than it signed, whatever a seller claims to have charged.
  const charged = Math.max(channel.charged, Math.min(sold.counters.charged, pay.maxClaimable));
  const paid = { ...channel, charged, granted: Math.max(channel.granted, sold.counters.granted) };
  const payment: PaymentRecord = {
    channelId: channel.id,
    maxClaimable: pay.maxClaimable,
    amountAtomic: charged - channel.charged,
    charged,
    granted: paid.granted,
    pricePerMillionUnits: sold.pricePerMillionUnits,
    register: pay.register,
    signature: toHex(pay.signature),
    transaction: sold.transaction,
    atSeconds: Math.floor(parts.now()),
  };
  try {
    await parts.ledger.recordPayment(payment, paid);
  } catch (error) {
    parts.note("warn", "a paid rung could not be stored; the device will present it again", {
      channelId: channel.id,
      maxClaimable: pay.maxClaimable,
      reason: String(error),
    });
    return refuse(channel, "ledger-unavailable");
  }
  return { channel: paid, grant: grantOf(paid, null, sold.pricePerMillionUnits, sold.validUntilSeconds) };
}

// ---- presenting ----

type Presented =
  | { readonly channel: ChannelRecord; readonly refusal: null; readonly sold: Sold }
  | { readonly channel: ChannelRecord; readonly refusal: WireRefusal };

async function present(parts: PurchaseParts, channel: ChannelRecord, pay: Pay): Promise<Presented> {
  if (channel.config === null) return presentAuthorization(parts, channel, pay);
  if (pay.validBeforeSeconds > 0) return { channel, refusal: "counter-mismatch" };
  if (pay.maxClaimable <= channel.balance) return presentVoucher(parts, channel, pay, null);

  const deposit = await depositFor(parts, channel);
  if (deposit === null) return { channel, refusal: "unfunded" };
  return presentVoucher(parts, channel, pay, deposit);
}

async function depositFor(parts: PurchaseParts, channel: ChannelRecord): Promise<DepositRecord | null> {
  const minimum = minDepositOf(channel.requirements.extra);
  const amount = nextDepositAtomic(parts.limits, parts.ledger, channel.id, minimum, parts.now());
  if (amount === 0 && openDeposit(parts.ledger, channel.id) === null) return null;
  return intendDeposit(parts, channel, amount);
}

async function presentVoucher(
  parts: PurchaseParts,
  channel: ChannelRecord,
  pay: Pay,
  deposit: DepositRecord | null,
): Promise<Presented> {
  const amountAtomic = pay.maxClaimable - channel.charged;
  const sale = await parts.seller.pay(channel, amountAtomic, voucherPayload(channel, pay, deposit));
  if (deposit === null || sale.kind === "unavailable") return judge(parts, channel, pay, sale);
  if (sale.kind === "paid") {
    return { channel: await confirmDeposit(parts, channel, deposit), refusal: null, sold: sale };
  }
  if (!(await hasArrived(parts, channel, deposit))) return judge(parts, channel, pay, sale);
  // The deposit went through, its answer did not: what is left to present is the voucher.
  return presentVoucher(parts, await confirmDeposit(parts, channel, deposit), pay, null);
}

async function presentAuthorization(
  parts: PurchaseParts,
  channel: ChannelRecord,
  pay: Pay,
): Promise<Presented> {
  if (pay.validBeforeSeconds === 0) return { channel, refusal: "counter-mismatch" };
  const amountAtomic = pay.maxClaimable - channel.charged;
  const sale = await parts.seller.pay(channel, amountAtomic, authorizationPayload(channel, pay));
  if (sale.kind !== "unpaid") return judge(parts, channel, pay, sale);
  const nonce = purchaseNonce(channel.id, channel.charged);
  const used = await parts.chain.authorizationUsed(channel.requirements.asset, `0x${channel.device}`, nonce);
  // A nonce of ours is only ever signed towards this seller for this amount: used means paid.
  return judge(parts, channel, pay, used ? { ...sale, charged: pay.maxClaimable } : sale);
}

async function judge(parts: PurchaseParts, channel: ChannelRecord, pay: Pay, sale: Sale): Promise<Presented> {
  if (sale.kind === "paid") return { channel, refusal: null, sold: sale };
  if (sale.kind === "unpaid" && sale.charged !== null && sale.charged >= pay.maxClaimable) {
    const counters = await parts.seller.recover(channel, sale.charged);
    if (counters === null) return { channel, refusal: "seller-unavailable" };
    return { channel, refusal: null, sold: recovered(channel, counters) };
  }
  parts.note("warn", "the seller did not sell", {
    channelId: channel.id,
    maxClaimable: pay.maxClaimable,
    outcome: sale.kind,
    reason: sale.reason,
  });
  if (sale.kind === "unavailable") return { channel, refusal: "seller-unavailable" };
  return { channel, refusal: refusalOf(sale.reason) };
}

function recovered(channel: ChannelRecord, counters: SellerCounters): Sold {
  const units = Math.max(1, counters.granted - channel.granted);
  const money = Math.max(0, counters.charged - channel.charged);
  const pricePerMillionUnits = Math.max(1, Math.round((money * 1_000_000) / units));
  return { kind: "paid", counters, pricePerMillionUnits, validUntilSeconds: 0, transaction: "" };
}

/** x402's error strings end alike in every scheme; the rest is the seller's own words. */
function refusalOf(reason: string): WireRefusal {
  if (/signature/.test(reason)) return "bad-signature";
  if (/cumulative_(amount_mismatch|below_claimed)/.test(reason)) return "counter-mismatch";
  if (/channel_busy|verification_state_unavailable/.test(reason)) return "seller-unavailable";
  if (/valid_before|expired/.test(reason)) return "expired";
  if (/insufficient|exceeds_balance|deposit_simulation_failed/.test(reason)) return "unfunded";
  if (/withdraw/.test(reason)) return "channel-closing";
  return "seller-refused";
}

function grantOf(
  channel: ChannelRecord,
  refusal: WireRefusal | null,
  pricePerMillionUnits: number,
  validUntilSeconds: number,
): Grant {
  return {
    refusal,
    channelTag: channelTagOf(channel.id),
    charged: channel.charged,
    granted: channel.granted,
    pricePerMillionUnits,
    validUntilSeconds,
  };
}
