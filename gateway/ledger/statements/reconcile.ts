/**
 * Ledger, seller and chain held against each other, channel by channel.
 *
 * Promise: every row is checked against its neighbours and its own signature, every counter against the one
 * who writes it; each difference is named with what was expected, what was found and what it means. Nothing is
 * changed.
 */
import { PRICED_UNITS } from "#core/units";
import { depositNonce } from "#payment/authorization";
import { fromHex, type Hex } from "#payment/bytes";
import { chainIdOf } from "#payment/eip712";
import { recoverAddress } from "#payment/key";
import { verifierOf } from "#payment/offer/offer";
import { voucherDigest } from "#payment/voucher";
import { tokenName } from "#protocol/payment-token";
import { depositMethodOf } from "../../purchase/permit2/deposit-permit.ts";
import type { ChannelRecord, PaymentRecord } from "../../purchase/ports.ts";
import type { Escrow } from "../../treasury/escrow.ts";
import type { LedgerStore } from "../store.ts";
import type {
  ChainNode,
  Differ,
  Difference,
  ReconcileParts,
  Reconciliation,
  SellerTotals,
} from "./differences.ts";
import { compareTransfers, compareWallets, exactAccounts } from "./reconcile-exact.ts";

/** What became of a rung that a seller charged and the ledger lacks. @param isLeft its device buys elsewhere since */
function lackingRung(isLeft: boolean): string {
  return isLeft
    ? "signed before its device was sent to buy elsewhere, and charged without an answer; the device presents it " +
        "again when it comes back to this seller, and gets its units then"
    : "lost on the way (their devices present them again) or lost with the ledger";
}

/** Differences listed; a ledger that is wrong everywhere needs no longer list. */
const DIFFERENCES_MAX = 1_000;

export async function reconcile(parts: ReconcileParts): Promise<Reconciliation> {
  const differences: Difference[] = [];
  const unasked = new Set<string>();
  let payments = 0;
  const differOf =
    (device: string, channel: string): Differ =>
    (where, expected, found, meaning) => {
      if (differences.length < DIFFERENCES_MAX) {
        differences.push({ device, channel, where, expected, found, meaning });
      }
    };
  /** Null when the channel's chain could not be asked. */
  async function onNode<Found>(
    { requirements: { network } }: ChannelRecord,
    ask: (node: ReconcileParts & ChainNode) => Promise<Found>,
  ): Promise<Found | null> {
    const node = parts.nodeOf(network);
    try {
      if (node !== null) return await ask({ ...parts, ...node });
      unasked.add(`chain: the configuration names no node of ${network}`);
    } catch (error) {
      unasked.add(`chain: ${(error as Error).message}`);
    }
    return null;
  }
  const channels = await parts.ledger.channels();
  const present = new Map<string, ChannelRecord>();
  for (const channel of channels) {
    if (channel.revision > (present.get(channel.device)?.revision ?? -1))
      present.set(channel.device, channel);
  }
  const totals = new Map<string, SellerTotals>();
  for (const channel of channels) {
    const { device, id, seller } = channel;
    const isLeft = present.get(device) !== channel;
    const differ = differOf(device, id);
    payments += await compareRows(parts.ledger, channel, differ);
    await compareSeller(parts, channel, isLeft, differ, unasked);
    const verifier = verifierOf(channel.requirements);
    if (verifier !== null && channel.charged > 0) {
      unasked.add(`chain: what ${verifier} verifies is settled in batches, and not compared`);
    }
    const takenAtomic =
      verifier === null
        ? await onNode(channel, (node) => compareChain(node, channel, isLeft, differ))
        : channel.charged;
    const token = tokenName(channel.requirements);
    const key = `${seller} ${token}`;
    const before = totals.get(key);
    totals.set(key, {
      seller,
      token,
      chargedAtomic: (before?.chargedAtomic ?? 0) + channel.charged,
      takenAtomic: (before?.takenAtomic ?? 0) + (takenAtomic ?? 0),
    });
  }
  for (const accounts of exactAccounts(channels)) {
    const first = accounts[0]!;
    await onNode(first, (node) => compareWallets(node, accounts, differOf(first.device, first.id)));
  }
  return {
    channels: channels.length,
    sellers: [...totals.values()],
    payments,
    differences,
    unasked: [...unasked],
  };
}

/** Each row against the one before it and against its own signature. */
async function compareRows(ledger: LedgerStore, channel: ChannelRecord, differ: Differ): Promise<number> {
  let before: PaymentRecord | null = null;
  let count = 0;
  for await (const payment of ledger.payments({ channelId: channel.id })) {
    count += 1;
    compareRow(channel, before, payment, (expected, found, meaning) =>
      differ(`ledger row ${payment.maxClaimable}`, expected, found, meaning),
    );
    before = payment;
  }
  const last = { charged: before?.charged ?? 0, granted: before?.granted ?? 0 };
  if (last.charged !== channel.charged || last.granted !== channel.granted) {
    differ(
      "ledger channel",
      `charged ${last.charged}, granted ${last.granted}, as its newest payment`,
      `charged ${channel.charged}, granted ${channel.granted}`,
      "the newest payments were removed, or a counter was changed by hand",
    );
  }
  return count;
}

function compareRow(
  channel: ChannelRecord,
  before: PaymentRecord | null,
  payment: PaymentRecord,
  differ: (expected: string, found: string, meaning: string) => void,
): void {
  const { maxClaimable, charged, amountAtomic, granted, pricePerMillionUnits, register } = payment;
  if (charged > maxClaimable) {
    differ(`charged <= ${maxClaimable}`, `charged ${charged}`, "no more can be charged than was signed");
  }
  const chargedBefore = before?.charged ?? 0;
  if (charged - amountAtomic !== chargedBefore) {
    differ(
      `amount ${charged - chargedBefore}, to ${charged} from the row before`,
      `amount ${amountAtomic}`,
      "the row was changed, or rows before it are missing (a ledger restored from a backup)",
    );
  }
  const units = granted - (before?.granted ?? 0);
  const priced = (amountAtomic * PRICED_UNITS) / pricePerMillionUnits;
  // The seller carries what division leaves over; a recovered sale's price is itself rounded from the units.
  const slackUnits = 1 + Math.ceil(Math.abs(units) / pricePerMillionUnits);
  if (before !== null && charged - amountAtomic === chargedBefore && Math.abs(units - priced) > slackUnits) {
    differ(
      `${Math.floor(priced)} units for ${amountAtomic} at ${pricePerMillionUnits} per million`,
      `${units} units`,
      "price or grant was changed, or the seller granted otherwise than it said",
    );
  }
  if (register < (before?.register ?? 0)) {
    differ(`register >= ${before!.register}`, `register ${register}`, "a register never falls: E1");
  }
  if (channel.config === null) return;
  const digest = voucherDigest(channel.id as Hex, maxClaimable, chainIdOf(channel.requirements.network));
  const signer = recoverAddress(digest, fromHex(payment.signature as Hex));
  if (signer !== `0x${channel.device}`) {
    differ(
      `a signature of 0x${channel.device} over ${maxClaimable}`,
      `one of ${signer ?? "no account"}`,
      "amount or signature of the row was changed: the device signed something else",
    );
  }
}

async function compareSeller(
  { sellerCounters }: ReconcileParts,
  channel: ChannelRecord,
  isLeft: boolean,
  differ: Differ,
  unasked: Set<string>,
): Promise<void> {
  // A channel left before its first answer may have been charged all the same.
  if (channel.charged === 0 && !isLeft) return;
  const seller = await sellerCounters(channel);
  if (seller === "none") return;
  if (seller === null) {
    if (channel.charged > 0) unasked.add(`seller: ${channel.seller}: no account ${channel.id}, or no answer`);
    return;
  }
  const { charged, granted } = seller;
  if (charged === channel.charged && granted === channel.granted) return;
  const meaning =
    charged > channel.charged
      ? `the seller charged rungs whose answers the ledger lacks: ${lackingRung(isLeft)}`
      : charged < channel.charged
        ? "the seller lost sales it made: it is shown their vouchers again when the device buys"
        : "seller and ledger count the same money and other units: one of them was changed";
  differ(
    "ledger and seller",
    `charged ${channel.charged}, granted ${channel.granted}`,
    `charged ${charged}, granted ${granted}`,
    meaning,
  );
}

/** @returns what the seller took on chain from this channel, atomic units */
async function compareChain(
  parts: Pick<ReconcileParts, "ledger" | "treasury"> & ChainNode,
  channel: ChannelRecord,
  isLeft: boolean,
  differ: Differ,
): Promise<number> {
  const { ledger, chain, escrow, treasury } = parts;
  const { asset } = channel.requirements;
  const isByPermit2 = depositMethodOf(channel.requirements) === "permit2";
  let deposited = 0;
  for (const deposit of await ledger.deposits(channel.id)) {
    const nonce = depositNonce(channel.id as Hex, deposit.index);
    const used = isByPermit2
      ? await chain.permit2.isUsed(treasury, nonce)
      : await chain.authorizationUsed(asset, treasury, nonce);
    const isConfirmed = deposit.state === "confirmed";
    if (isConfirmed) deposited += deposit.amountAtomic;
    if (used === isConfirmed) continue;
    differ(
      `deposit ${deposit.index} and chain`,
      isConfirmed ? "its authorization used" : "its authorization unused",
      used ? "used" : "unused",
      isConfirmed
        ? "the ledger counts a deposit that never arrived"
        : "it arrived and its answer was lost: the next payment confirms it",
    );
  }
  if (channel.config === null) return compareTransfers(parts, channel, lackingRung(isLeft), differ);

  const onChain = await escrow.channel(channel.id);
  const withdrawals = await ledger.withdrawals(channel.id);
  const withdrawn = withdrawals
    .filter(({ state }) => state === "finalized")
    .reduce((sum, { amountAtomic }) => sum + amountAtomic, 0);
  if (onChain.balance !== deposited - withdrawn) {
    differ(
      "ledger and chain",
      `balance ${deposited - withdrawn}: deposits ${deposited} less withdrawals ${withdrawn}`,
      `balance ${onChain.balance}`,
      `money moved that the ledger does not know; the chain's events: ${await eventsOf(escrow, channel)}`,
    );
  }
  if (onChain.totalClaimed > channel.charged) {
    differ(
      "ledger and chain",
      `claimed <= charged ${channel.charged}`,
      `claimed ${onChain.totalClaimed}: ${await eventsOf(escrow, channel)}`,
      `the seller claimed payments that the ledger lacks: ${lackingRung(isLeft)}`,
    );
  }
  const pending = withdrawals.some(({ state }) => state === "initiated");
  if (pending !== (onChain.withdrawal !== null)) {
    differ(
      "ledger and chain",
      pending ? "a withdrawal pending" : "no withdrawal pending",
      onChain.withdrawal === null ? "none" : `${onChain.withdrawal.amountAtomic} pending`,
      "a withdrawal was begun or ended elsewhere: watt402-gateway channels withdraw takes it up",
    );
  }
  return onChain.totalClaimed;
}

async function eventsOf(escrow: Escrow, { id }: ChannelRecord): Promise<string> {
  const events = await escrow.events(id);
  const lines = events.map(
    ({ name, amountAtomic, transaction }) => `${name} ${amountAtomic} in ${transaction}`,
  );
  return lines.join("; ") || "nothing lately";
}
