/**
 * Presenting a payment to the seller, and finding out what became of it when the answer is not a plain yes.
 *
 * Promise: what the device signed is the only voucher shown beside those the ledger holds; a counter that
 * the seller reports is adopted only where the seller sells on it, or its account confirms it and a voucher that
 * the device signed covers it, and never beyond what the device signed; the seller is asked a bounded number of times
 * for one PAY.
 */
import type { WireRefusal } from "#core/refusal";
import { PRICE_MAX, PRICED_UNITS } from "#core/units";
import { purchaseNonce } from "#payment/authorization";
import { fromHex } from "#payment/bytes";
import { transferMethodOf, verifierOf } from "#payment/offer/offer";
import type { Pay } from "#protocol/frames";
import { confirmDeposit, type DepositParts, depositSize, hasArrived, intendDeposit } from "./deposit.ts";
import { classifyRefusal, type NotSold, type SellerFault } from "./faults/seller-fault.ts";
import { authorizationPayload, signatureText, voucherPayload } from "./payload.ts";
import { depositApproval } from "./permit2/deposit-permit.ts";
import type {
  ChannelRecord,
  DepositRecord,
  Logger,
  Observe,
  Sale,
  Seller,
  SellerCounters,
  SignedVoucher,
} from "./ports.ts";

export interface PurchaseParts extends DepositParts {
  readonly seller: Seller;
  /** Does the seller sell a quantum of so many atomic units now? For another one no deposit is signed. */
  readonly isOnSale: (amountAtomic: number) => boolean;
  /** The device walks a ladder of whole rungs: no counter between two of them leads on. */
  readonly signsAhead: boolean;
  /** Whether a channel's device signed a voucher that its seller shows. */
  readonly isSigned: (channel: ChannelRecord, voucher: SignedVoucher) => boolean;
  readonly note: Logger;
  readonly observe: Observe;
}

export type Sold = Extract<Sale, { kind: "paid" }>;
type Unpaid = Extract<Sale, { kind: "unpaid" }>;

/** Most stored vouchers shown again to a seller that forgot them, for one PAY; the next one goes on. */
const REMINDERS_MAX = 64;

/** Life of what a device signs for exact: device/host/rung-signer.ts, and as much again for the clocks' difference. */
const AUTHORIZATION_LIFE_MAX_SECONDS = 1_800;

/** What Circle's Gateway says of a transfer that it has taken before. */
const NONCE_USED = /\bnonce_already_used\b/;

/** `voucher`: the one that was charged, where it is a later one than what was presented. */
export type Presented =
  | {
      readonly channel: ChannelRecord;
      readonly refusal: null;
      readonly sold: Sold;
      readonly voucher?: SignedVoucher;
    }
  | {
      readonly channel: ChannelRecord;
      readonly refusal: WireRefusal;
      readonly fault: SellerFault | null;
      /** Seller or chain told that this rung was not charged. */
      readonly isDecided?: boolean;
    };

/** Shows the seller one payment; resolves with the sale or with why there was none. Rejects when the ledger fails. */
export async function present(parts: PurchaseParts, channel: ChannelRecord, pay: Pay): Promise<Presented> {
  if (channel.config === null) return presentAuthorization(parts, channel, pay);
  if (pay.validBeforeSeconds > 0) return refused(channel, "counter-mismatch");
  if (pay.maxClaimable <= channel.balance) return presentVoucher(parts, channel, pay, null);

  const balance = await parts.ledger.balanceOf(channel.id);
  const counted = { ...channel, balance };
  if (pay.maxClaimable <= balance) return presentVoucher(parts, counted, pay, null);
  // What the seller does not sell it refuses; money that was reserved for it would be out of others' reach.
  if (!parts.isOnSale(pay.maxClaimable - channel.charged)) return presentVoucher(parts, counted, pay, null);
  const deposit = await depositFor(parts, counted);
  if (deposit === null) return refused(channel, "unfunded");
  return presentVoucher(parts, counted, pay, deposit);
}

async function depositFor(parts: PurchaseParts, channel: ChannelRecord): Promise<DepositRecord | null> {
  const amount = await depositSize(parts, channel);
  return amount === 0 ? null : intendDeposit(parts, channel, amount);
}

async function presentVoucher(
  parts: PurchaseParts,
  before: ChannelRecord,
  pay: Pay,
  deposit: DepositRecord | null,
): Promise<Presented> {
  const { channel, sale } = await show(parts, before, pay, deposit);
  if (sale.kind !== "unpaid") return taken(parts, channel, pay, sale);
  const asked = sale.charged === null ? await askCharged(parts, channel, pay) : sale;
  const charged = asked?.charged ?? null;
  if (charged === null || charged === channel.charged) {
    return notSold(parts, channel, pay, sale, charged !== null);
  }
  const newest = parts.signsAhead ? null : (asked?.voucher ?? null);
  // Charged in part: shown again it might be sold again, for another quantum that leads to the same amount.
  const isPart = newest !== null && newest.maxClaimable > charged;
  if (isPart && newest.maxClaimable >= pay.maxClaimable) {
    return recoverPart(parts, channel, pay, charged, newest);
  }
  if (charged >= pay.maxClaimable) return recoverVoucher(parts, channel, pay);
  if (charged < channel.charged) return remind(parts, channel, pay, charged);
  return overtake(parts, channel, pay, charged, pay.maxClaimable <= channel.balance ? null : deposit);
}

/** Shows the seller a voucher, behind a deposit if there is one, and confirms the deposit once it arrived. */
async function show(
  parts: PurchaseParts,
  channel: ChannelRecord,
  pay: Pay,
  deposit: DepositRecord | null,
): Promise<{ readonly channel: ChannelRecord; readonly sale: Sale }> {
  const amountAtomic = pay.maxClaimable - channel.charged;
  const payload = voucherPayload(channel, pay, deposit);
  let extensions: Record<string, unknown> | null;
  try {
    extensions = deposit === null ? null : await depositApproval(parts, channel, deposit);
  } catch (error) {
    return { channel, sale: { kind: "unavailable", reason: `Permit2 is not approved: ${String(error)}` } };
  }
  const presented = extensions === null ? payload : { ...payload, extensions };
  const sale = await parts.seller.pay(channel, amountAtomic, presented);
  if (deposit === null || sale.kind === "unavailable") return { channel, sale };
  if (sale.kind === "paid") return { channel: await confirmDeposit(parts, channel, deposit), sale };
  const arrived = await hasArrived(parts, channel, deposit);
  if (arrived === null)
    return { channel, sale: { kind: "unavailable", reason: "the chain does not answer" } };
  if (!arrived) return { channel, sale };
  // The deposit went through, its answer did not: what is left to present is the voucher.
  return show(parts, await confirmDeposit(parts, channel, deposit), pay, null);
}

/**
 * A ledger that came from a backup counts less than the seller, and asks for more than the seller has on
 * sale; a rung of before the price moved is as little on sale. Asked for a portion it sells, the seller says what it
 * has charged.
 */
async function askCharged(
  parts: PurchaseParts,
  channel: ChannelRecord,
  pay: Pay,
): Promise<Pick<Unpaid, "charged" | "voucher"> | null> {
  const quantum = Number(channel.requirements.amount);
  if (pay.maxClaimable - channel.charged === quantum) return null;
  const ahead = { ...channel, charged: pay.maxClaimable - quantum };
  const sale = await parts.seller.pay(ahead, quantum, voucherPayload(ahead, pay, null));
  if (sale.kind === "unavailable") return null;
  if (sale.kind === "unpaid") return sale;
  const voucher = { maxClaimable: pay.maxClaimable, signature: signatureText(pay) };
  return { charged: sale.counters.charged, voucher };
}

/** The counter in the seller's answer says that this rung was charged: it was, if the seller's account says no less. */
async function recoverVoucher(parts: PurchaseParts, channel: ChannelRecord, pay: Pay): Promise<Presented> {
  const quantum = await quantumBehind(parts, channel, pay, pay.maxClaimable);
  const counters = await parts.seller.recover(channel, pay.maxClaimable, quantum);
  if (counters === null) return refused(channel, "seller-unavailable");
  if (counters.charged < pay.maxClaimable) {
    const reason = `its answer has ${pay.maxClaimable} charged, its account has ${counters.charged}`;
    return notSold(parts, channel, pay, { kind: "unavailable", reason });
  }
  return { channel, refusal: null, sold: recovered(channel, { ...counters, charged: pay.maxClaimable }) };
}

/**
 * This rung was charged in part, or later ones were that neither the ledger nor the device knows any more: only the
 * seller's own counter leads on from there. The voucher that it shows proves that the device signed so much.
 */
async function recoverPart(
  parts: PurchaseParts,
  channel: ChannelRecord,
  pay: Pay,
  charged: number,
  voucher: SignedVoucher,
): Promise<Presented> {
  const unproven = (reason: string) => notSold(parts, channel, pay, { kind: "unavailable", reason });
  if (!parts.isSigned(channel, voucher)) {
    return unproven(
      `it has ${charged} charged, and shows a voucher of ${voucher.maxClaimable} that is not signed`,
    );
  }
  const quantum = Number(channel.requirements.amount);
  const counters = await parts.seller.recover(channel, charged, quantum);
  if (counters === null) return refused(channel, "seller-unavailable");
  if (counters.charged !== charged) {
    return unproven(`its answer has ${charged} charged, its account has ${counters.charged}`);
  }
  return { channel, refusal: null, sold: recovered(channel, counters), voucher };
}

/**
 * What was signed for each payment that the seller charged and the ledger does not know. One lost answer, of the
 * last price or of the present one, is the usual case; several are left of a ledger that came from a backup.
 */
async function quantumBehind(
  parts: PurchaseParts,
  channel: ChannelRecord,
  pay: Pay,
  charged: number,
): Promise<number> {
  const behind = charged - channel.charged;
  const last = await parts.ledger.payment(channel.id, channel.charged);
  const quanta = [Number(channel.requirements.amount), ...(last === null ? [] : [last.amountAtomic])];
  if (quanta.includes(behind)) return behind;
  return quanta.find((quantum) => behind % quantum === 0) ?? pay.maxClaimable - channel.charged;
}

/** The seller lost rungs that it charged: it is shown their vouchers again, in order, and then this one. */
async function remind(
  parts: PurchaseParts,
  channel: ChannelRecord,
  pay: Pay,
  charged: number,
): Promise<Presented> {
  let known = charged;
  for (const paid of await parts.ledger.paymentsAfter(channel.id, charged, REMINDERS_MAX)) {
    // A voucher charged in part may be above a count that has it.
    if (paid.charged <= known) continue;
    const then = { ...channel, charged: known };
    const { maxClaimable, register } = paid;
    const voucher: Pay = { ...pay, again: true, maxClaimable, register, signature: fromHex(paid.signature) };
    const { sale } = await show(parts, then, voucher, null);
    if (sale.kind !== "paid") return notSold(parts, channel, pay, sale);
    known = sale.counters.charged;
  }
  if (known < channel.charged) return refused(channel, "seller-unavailable");
  const { sale } = await show(parts, channel, pay, null);
  return taken(parts, channel, pay, sale);
}

/**
 * The seller charged rungs that the ledger has lost: its counter is adopted only if it sells this one on top, or
 * if it is of a part of this rung, and so can lead to no other.
 */
async function overtake(
  parts: PurchaseParts,
  channel: ChannelRecord,
  pay: Pay,
  charged: number,
  deposit: DepositRecord | null,
): Promise<Presented> {
  const behind = await quantumBehind(parts, channel, pay, charged);
  const counters = await parts.seller.recover(channel, charged, behind);
  if (counters === null) return refused(channel, "seller-unavailable");
  const ahead = { ...channel, charged, granted: Math.max(channel.granted, counters.granted) };
  const { channel: after, sale } = await show(parts, ahead, pay, deposit);
  if (sale.kind === "paid") return { channel: after, refusal: null, sold: sale };
  const quantum = Number(channel.requirements.amount);
  const isPart = sale.kind === "unpaid" && pay.maxClaimable - charged < quantum;
  // The answer alone is not enough: the rung is answered by it for good, so the account has to say the same.
  const isConfirmed = counters.charged === charged;
  const isOffLadder = (charged - channel.charged) % quantum !== 0;
  if (isPart && isConfirmed && (isOffLadder || !parts.signsAhead)) {
    return { channel, refusal: null, sold: recovered(channel, { ...counters, charged }) };
  }
  return notSold(parts, channel, pay, sale);
}

async function presentAuthorization(
  parts: PurchaseParts,
  channel: ChannelRecord,
  pay: Pay,
): Promise<Presented> {
  if (pay.validBeforeSeconds === 0) return refused(channel, "counter-mismatch");
  const amountAtomic = pay.maxClaimable - channel.charged;
  const sale = await parts.seller.pay(channel, amountAtomic, authorizationPayload(channel, pay));
  const isUnknown = sale.kind === "unavailable" && sale.isUnknown === true;
  if (sale.kind !== "unpaid" && !isUnknown) return taken(parts, channel, pay, sale);
  if (verifierOf(channel.requirements) !== null) {
    // The chain hears of it days later, in a batch; until then only who settles can tell, by refusing the nonce.
    if (sale.kind !== "unpaid" || !NONCE_USED.test(sale.reason)) return notSold(parts, channel, pay, sale);
    return recover(parts, channel, pay.maxClaimable, amountAtomic);
  }
  const { asset, payTo } = channel.requirements;
  const nonce = purchaseNonce(channel.id, channel.charged);
  let paidAtomic: number | null;
  let isOver: boolean;
  try {
    // Used is not yet paid: the wallet's owner may have spent the nonce elsewhere, or on a smaller purchase.
    const isByPermit2 = transferMethodOf(channel.requirements) === "permit2";
    const { chain } = parts;
    paidAtomic = isByPermit2
      ? await chain.permit2.paid(asset, `0x${channel.device}`, nonce, payTo)
      : await chain.paidByAuthorization(asset, `0x${channel.device}`, nonce, payTo);
    // What was sent to the chain may still be mined, until the authorization that was presented first has ended.
    isOver =
      channel.unknown !== undefined &&
      (await chain.timeSeconds()) > channel.unknown.sinceSeconds + AUTHORIZATION_LIFE_MAX_SECONDS;
  } catch (error) {
    return notSold(parts, channel, pay, {
      ...{ kind: "unavailable", reason: String(error) },
      ...(isUnknown ? { isUnknown: true } : {}),
    });
  }
  if (paidAtomic === null) return notSold(parts, channel, pay, sale, isOver);
  const charged = Math.min(channel.charged + paidAtomic, pay.maxClaimable);
  // By upto a part of what was signed buys its share; by exact another amount was another purchase, of the same nonce.
  const quantum = channel.requirements.scheme === "upto" ? amountAtomic : charged - channel.charged;
  return recover(parts, channel, charged, quantum);
}

/** The chain paid the seller for this purchase, and its answer was lost. */
async function recover(
  parts: PurchaseParts,
  channel: ChannelRecord,
  charged: number,
  quantumAtomic: number,
): Promise<Presented> {
  const counters = await parts.seller.recover(channel, charged, quantumAtomic);
  if (counters === null) return refused(channel, "seller-unavailable");
  return { channel, refusal: null, sold: recovered(channel, { ...counters, charged }) };
}

async function taken(parts: PurchaseParts, channel: ChannelRecord, pay: Pay, sale: Sale): Promise<Presented> {
  if (sale.kind === "paid") return { channel, refusal: null, sold: sale };
  return notSold(parts, channel, pay, sale);
}

function refused(channel: ChannelRecord, refusal: WireRefusal): Presented {
  return { channel, refusal, fault: null };
}

async function notSold(
  parts: PurchaseParts,
  channel: ChannelRecord,
  pay: Pay,
  sale: NotSold,
  isDecided = false,
): Promise<Presented> {
  const { refusal, fault } = await classifyRefusal(parts.chain, channel, pay.maxClaimable, sale);
  parts.note("warn", "the seller did not sell", {
    channelId: channel.id,
    maxClaimable: pay.maxClaimable,
    outcome: sale.kind,
    reason: fault?.reason ?? sale.reason,
  });
  return { channel, refusal, fault, isDecided };
}

function recovered(channel: ChannelRecord, counters: SellerCounters): Sold {
  const units = Math.max(1, counters.granted - channel.granted);
  const money = counters.charged - channel.charged;
  const pricePerMillionUnits = Math.min(PRICE_MAX, Math.max(1, Math.round((money * PRICED_UNITS) / units)));
  return { kind: "paid", counters, pricePerMillionUnits, validUntilSeconds: 0, transaction: "" };
}
