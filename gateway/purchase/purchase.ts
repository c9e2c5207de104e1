/**
 * One PAY: to the seller, into the ledger, and only then a GRANT.
 *
 * Promise: M3 and M4. A rung is in the ledger at most once and before its grant leaves; a rung presented
 * again gets the counters of now without asking the seller; an answer that was lost is recovered from
 * the seller's counters, and the device's signature is never lowered or replaced. A seller may charge any part of a
 * rung; one that charges nothing of it has not sold.
 *
 *   PAY -+- charged before, whole or in part -----------------> answered again, counters of now
 *        +- beyond the balance -> deposit intended (none allowed: refused) -+
 *        +- within the balance ---------------------------------------------+-> shown
 *
 *   shown -+- paid -> deposit confirmed ----------------------> recorded in the ledger -> GRANT
 *          +- unavailable ------------------------------------> refused; the device presents it again. Where it may
 *          |    have been charged all the same its outcome is not known: faults/unknown-outcome.ts
 *          +- unpaid, and the seller's counter of the channel is
 *               the ledger's            ----------------------> refused
 *               within a voucher it shows -> recovered in part -> recorded -> GRANT
 *               this rung's, or above   -> recovered ---------> recorded -> GRANT
 *               below the ledger's      -> reminded ----------> shown again
 *               between the two         -> overtaken ---------> shown again
 *
 * Everything from "shown" to its result is in present.ts, in the same order.
 */
import type { Grant } from "#core/events";
import type { WireRefusal } from "#core/refusal";
import { channelTagOf } from "#core/rungs";
import { unitsForQuantum } from "#core/units";
import { fromHex } from "#payment/bytes";
import type { Pay } from "#protocol/frames";
import type { SellerFault } from "./faults/seller-fault.ts";
import { signatureText } from "./payload.ts";
import type { ChannelRecord, PaymentRecord } from "./ports.ts";
import { type PurchaseParts, present, type Sold } from "./present.ts";

export interface Purchase {
  readonly channel: ChannelRecord;
  readonly grant: Grant;
  /** Null when it sold, when the refusal is not the seller's fault, and when the outcome is unknown. */
  readonly fault: SellerFault | null;
  /** Refused, and seller or chain told that this rung was not charged. */
  readonly isDecided?: boolean;
}

/** Answers one payment whose tag was right. Never throws for what a device, seller, chain or disk may do. */
export async function purchase(parts: PurchaseParts, channel: ChannelRecord, pay: Pay): Promise<Purchase> {
  try {
    if (pay.maxClaimable <= channel.signed) return await answerAgain(parts, channel, pay);
    const presented = await present(parts, channel, pay);
    if (presented.refusal !== null) {
      const { fault, isDecided = false } = presented;
      return { ...refuse(presented.channel, presented.refusal), fault, isDecided };
    }
    const { sold, voucher } = presented;
    const paid = voucher === undefined ? pay : { ...pay, ...voucher, signature: fromHex(voucher.signature) };
    return await recordSale(parts, presented.channel, paid, sold);
  } catch (error) {
    // Seller and chain answer with values: what throws here is the ledger. The rung is presented again.
    parts.note("warn", "the ledger could not be read or written; the device will present its rung again", {
      channelId: channel.id,
      maxClaimable: pay.maxClaimable,
      reason: String(error),
    });
    return refuse(channel, "ledger-unavailable");
  }
}

/** The rung was charged before: same voucher, same counters. */
async function answerAgain(parts: PurchaseParts, channel: ChannelRecord, pay: Pay): Promise<Purchase> {
  const paid = await parts.ledger.payment(channel.id, pay.maxClaimable);
  if (paid === null) return refuse(channel, "counter-mismatch");
  return { channel, grant: soldGrant(parts, channel, paid, 0), fault: null };
}

/** Stores the payment, then makes its grant. */
async function recordSale(
  parts: PurchaseParts,
  channel: ChannelRecord,
  pay: Pay,
  sold: Sold,
): Promise<Purchase> {
  // A grant never names more than the device signed, whatever a seller claims to have charged.
  const charged = Math.max(channel.charged, Math.min(sold.counters.charged, pay.maxClaimable));
  if (charged === channel.charged) {
    const reason = `it charged ${sold.counters.charged} for a voucher of ${pay.maxClaimable} on ${channel.charged}: nothing`;
    return { ...refuse(channel, "seller-refused"), fault: { reason, isBehindChain: false } };
  }
  const granted = await grantedAfter(parts, channel, charged, sold);
  if (granted === null) return refuse(channel, "seller-unavailable");
  const signed = Math.max(channel.signed, pay.maxClaimable);
  const paid = { ...channel, charged, signed, granted };
  const payment: PaymentRecord = {
    channelId: channel.id,
    maxClaimable: pay.maxClaimable,
    amountAtomic: charged - channel.charged,
    charged,
    granted: paid.granted,
    pricePerMillionUnits: sold.pricePerMillionUnits,
    register: pay.register,
    signature: signatureText(pay),
    transaction: sold.transaction,
    atSeconds: Math.floor(parts.now()),
  };
  await store(parts, payment, paid);
  return { channel: paid, grant: soldGrant(parts, paid, payment, sold.validUntilSeconds), fault: null };
}

/**
 * The grant of a payment. A device that signs ahead knows no counter between two rungs of its ladder: of a rung charged
 * in part it gets the units, and that nothing follows on this channel.
 */
function soldGrant(
  { signsAhead }: Pick<PurchaseParts, "signsAhead">,
  channel: ChannelRecord,
  { charged, amountAtomic, pricePerMillionUnits }: PaymentRecord,
  validUntilSeconds: number,
): Grant {
  const isPart = channel.signed > channel.charged;
  if (!signsAhead || !isPart) return grantOf(channel, null, pricePerMillionUnits, validUntilSeconds);
  return { ...grantOf(channel, "seller-refused", 0, 0), charged: charged - amountAtomic };
}

async function store(parts: PurchaseParts, payment: PaymentRecord, paid: ChannelRecord): Promise<void> {
  const { timing, ledger } = parts;
  const since = timing.nowSeconds();
  let isGood = false;
  try {
    await ledger.recordPayment(payment, paid);
    isGood = true;
  } finally {
    timing.took("ledger", timing.nowSeconds() - since, isGood);
  }
}

/**
 * The grant after a sale. The ledger's counter came from the seller, so a seller whose own is lower has lost
 * sales it made; what it sells now is counted on top, or its devices would pay for nothing until it caught up.
 * An answer of long ago is lower too, when the ledger came from a backup: only the seller's account shows which.
 * @returns null while the seller's account cannot be read
 */
async function grantedAfter(
  parts: PurchaseParts,
  channel: ChannelRecord,
  charged: number,
  sold: Sold,
): Promise<number | null> {
  if (sold.counters.granted >= channel.granted) return sold.counters.granted;
  const account = await parts.seller.recover(channel, charged, charged - channel.charged);
  if (account === null) return null;
  if (account.granted >= channel.granted) return channel.granted;
  const difference = {
    channelId: channel.id,
    expectedGranted: channel.granted,
    foundGranted: sold.counters.granted,
  };
  parts.note("warn", "the seller's account is behind the ledger: it has lost sales", difference);
  parts.observe({ type: "differs", ...difference });
  return channel.granted + unitsForQuantum(charged - channel.charged, sold.pricePerMillionUnits);
}

/** A grant frame with a channel's counters as they are. */
export function refuse(channel: ChannelRecord, refusal: WireRefusal): Purchase {
  return { channel, grant: grantOf(channel, refusal, 0, 0), fault: null };
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
