/**
 * Who broke what was signed: a judgement from documents and the chain alone.
 *
 * Promise: an honest party is never convicted, and each lie of the list below that contradicts something signed by who
 * told it, or the chain, always is. What lacks a signature, or the terms that it names, proves nothing: it is reported as
 * missing, not as guilt. The order in which documents are given does not matter.
 */
import { PRICED_UNITS } from "#core/units";
import { channelIdOf } from "#payment/channel";
import { chainIdOf } from "#payment/eip712";
import type { ChannelConfig } from "#protocol/messages";
import { contradictionIn, isOfferOf, offerSigner, type SignedOffer } from "./signed-offer.ts";
import { highestPrice, type Terms, termsHash } from "./terms-of-sale.ts";
import { receiptSigner, type SignedReceipt, type UsageReceipt } from "./usage-receipt.ts";

/** What a seller can be convicted of. */
export const LIES = [
  /** Its signed offer says something else than the terms that it names. */
  "offer-contradicts-terms",
  /** Its receipt is of a channel that pays somebody else, or in another token, than its terms say. */
  "terms-of-another-sale",
  /** Its receipt names terms that did not hold at that second. */
  "terms-not-in-force",
  /** A counter fell between two of its receipts. */
  "counters-fell",
  /** Two of its receipts of one second cannot both be true. */
  "receipts-contradict",
  /** Between two of its receipts it granted less than the money buys at the highest price of all its terms then. */
  "granted-below-terms",
  /** More was charged than the channel ever held, by the chain. */
  "charged-above-deposit",
  /** It took more from the channel than it had charged by its own later receipt. */
  "claimed-above-charged",
] as const;
export type Lie = (typeof LIES)[number];

export interface Conviction {
  readonly lie: Lie;
  /** Who is bound by the signatures that say so: an address in lower case. */
  readonly seller: string;
  /** Null for what concerns terms alone. */
  readonly channelId: string | null;
  /** Both values, for people. */
  readonly text: string;
}

/** A device that has signed what contradicts an earlier receipt of its own: its meter's register only rises. */
export interface DeviceConviction {
  readonly lie: "register-fell";
  /** Whose signatures say so: an address in lower case. */
  readonly device: string;
  readonly channelId: string;
  readonly text: string;
}

/** The latest that both have signed of a channel: neither can say that it was charged, granted or used otherwise by then. */
export interface Acknowledged {
  readonly channelId: string;
  readonly charged: number;
  readonly granted: number;
  readonly register: number;
  readonly toSeconds: number;
}

export interface Judgement {
  readonly convictions: readonly Conviction[];
  readonly devices: readonly DeviceConviction[];
  readonly acknowledged: readonly Acknowledged[];
  /** What could not be judged, and why; one line each. */
  readonly missing: readonly string[];
  /** Receipts that both have signed. */
  readonly countersigned: number;
}

/** Terms with the offer that binds a seller to them. */
export interface OfferedTerms {
  readonly terms: Terms;
  readonly offer: SignedOffer;
}

/** A channel as its contract recorded it. */
export interface ChannelOnChain {
  readonly channelId: string;
  /** All deposits ever, atomic units. */
  readonly depositedAtomic: number;
  /** What had been claimed in all, after each claim; the time is its block's. */
  readonly claims: readonly { readonly totalAtomic: number; readonly atSeconds: number }[];
  /** Time of the block that all this was read at. */
  readonly nowSeconds: number;
}

export interface Evidence {
  readonly offered: readonly OfferedTerms[];
  readonly receipts: readonly SignedReceipt[];
  /** Configurations of channels, which their ids are the hashes of. */
  readonly channels: readonly ChannelConfig[];
  readonly chain: readonly ChannelOnChain[];
  /** Who may sign for a payee beside itself; addresses in lower case. */
  readonly sellersKeys: readonly { readonly payTo: string; readonly key: string }[];
}

/** How far a seller's clock and the chain's may be apart before the order of their events proves nothing. */
export const CLOCKS_APART_SECONDS = 900;

/** A receipt that the seller has signed, with its terms. */
interface Bound {
  readonly signed: SignedReceipt;
  readonly terms: Terms;
}

export function judge(evidence: Evidence): Judgement {
  const missing: string[] = [];
  const offered = evidence.offered.filter(({ terms, offer }) => {
    const signer = offerSigner(offer);
    const isSigned = maySign(evidence, terms, signer);
    const isNamed = isOfferOf(offer, terms);
    if (!isSigned) missing.push(`terms ${termsHash(terms)}: ${unsigned(terms, signer)}`);
    else if (!isNamed) missing.push(`terms ${termsHash(terms)}: an offer that names them`);
    return isSigned && isNamed;
  });
  const convictions = offered.flatMap((one) => {
    const text = contradictionIn(one.offer, one.terms);
    return text === null ? [] : [conviction("offer-contradicts-terms", one.terms, null, text)];
  });
  const known = new Map(offered.map(({ terms }) => [termsHash(terms) as string, terms]));
  const sales = new Map<string, Bound[]>();
  for (const signed of evidence.receipts) {
    const { receipt } = signed;
    const terms = known.get(receipt.termsHash);
    const where = `receipt of ${receipt.channelId} at ${receipt.toSeconds}`;
    const signer = receiptSigner(receipt, signed.seller);
    if (terms === undefined) missing.push(`${where}: its terms ${receipt.termsHash}`);
    else if (!maySign(evidence, terms, signer)) missing.push(`${where}: ${unsigned(terms, signer)}`);
    else if (receipt.chainId !== chainIdOf(terms.network)) missing.push(`${where}: terms of its own chain`);
    else {
      // By payee too: what a stranger says of a channel is not held against who sells on it.
      const key = `${receipt.channelId} ${terms.payTo}`;
      sales.set(key, [...(sales.get(key) ?? []), { signed, terms }]);
    }
    const lacks = deviceLacks(signed, evidence.channels);
    if (lacks !== null) missing.push(`${where}: ${lacks}`);
  }
  for (const bound of sales.values()) {
    bound.sort((a, b) => byTime(a.signed, b.signed));
    const { channelId } = bound[0]!.signed.receipt;
    const sale = { channelId, bound, offered: offered.map(({ terms }) => terms) };
    convictions.push(
      ...ofOne(sale, evidence),
      ...ofPairs(sale, missing),
      ...byChain(sale, evidence.chain, missing),
    );
  }
  const isWhole = (signed: SignedReceipt) => deviceLacks(signed, evidence.channels) === null;
  const whole = evidence.receipts.filter(isWhole).sort(byTime);
  const latest = new Map(whole.map(({ receipt }) => [receipt.channelId, acknowledgedBy(receipt)]));
  return {
    convictions,
    devices: ofDevices(whole, evidence.channels),
    acknowledged: [...latest.values()],
    missing,
    countersigned: whole.length,
  };
}

function acknowledgedBy({ channelId, charged, granted, register, toSeconds }: UsageReceipt): Acknowledged {
  return { channelId, charged, granted, register, toSeconds };
}

/** What a device has signed of its own register, on one channel: two sellers' clocks may be apart. @param whole in the order of time */
function ofDevices(whole: readonly SignedReceipt[], channels: Evidence["channels"]): DeviceConviction[] {
  const before = new Map<string, UsageReceipt>();
  return whole.flatMap(({ receipt }) => {
    const config = channels.find((one) => channelIdOf(one, receipt.chainId) === receipt.channelId)!;
    const device = lower(config.payerAuthorizer);
    const last = before.get(receipt.channelId);
    before.set(receipt.channelId, receipt);
    // Of one second the order is not known.
    if (last === undefined || receipt.register >= last.register || receipt.toSeconds === last.toSeconds)
      return [];
    const text = `a register of ${last.register} at ${last.toSeconds}, ${receipt.register} at ${receipt.toSeconds}`;
    return [{ lie: "register-fell" as const, device, channelId: receipt.channelId, text }];
  });
}

/** Why a receipt is not signed by its device, too; null when it is. */
function deviceLacks({ receipt, device }: SignedReceipt, channels: Evidence["channels"]): string | null {
  if (device === null) return "the device's signature";
  const config = channels.find((one) => channelIdOf(one, receipt.chainId) === receipt.channelId);
  if (config === undefined) return "the channel's configuration, which names the device";
  const signer = receiptSigner(receipt, device);
  if (signer === lower(config.payerAuthorizer)) return null;
  return `a signature of the device ${lower(config.payerAuthorizer)}, found ${signer ?? "none"}`;
}

interface Sale {
  readonly channelId: string;
  /** In the order of time. */
  readonly bound: readonly Bound[];
  /** Every terms that bind some seller. */
  readonly offered: readonly Terms[];
}

/** What one receipt alone shows. */
function ofOne({ channelId, bound }: Sale, { channels }: Evidence): Conviction[] {
  return bound.flatMap(({ signed: { receipt }, terms }) => {
    const found: Conviction[] = [];
    const { fromSeconds, untilSeconds, payTo, asset } = terms;
    const { toSeconds, chainId } = receipt;
    if (toSeconds < fromSeconds || toSeconds >= untilSeconds) {
      const window = `its terms hold from ${fromSeconds} to ${untilSeconds}`;
      found.push(conviction("terms-not-in-force", terms, channelId, `a receipt of ${toSeconds}, ${window}`));
    }
    const config = channels.find((one) => channelIdOf(one, chainId) === channelId);
    if (config !== undefined && (lower(config.receiver) !== payTo || lower(config.token) !== asset)) {
      const pays = `the channel pays ${config.receiver} in ${config.token}`;
      const text = `${pays}, its terms ${payTo} in ${asset}`;
      found.push(conviction("terms-of-another-sale", terms, channelId, text));
    }
    return found;
  });
}

/** What two receipts in a row show. */
function ofPairs(sale: Sale, missing: string[]): Conviction[] {
  const { channelId, bound } = sale;
  return bound.slice(1).flatMap((later, at) => {
    const before = bound[at]!.signed.receipt;
    const { terms } = later;
    const { receipt } = later.signed;
    const charged = receipt.charged - before.charged;
    const granted = receipt.granted - before.granted;
    const text = `charged ${before.charged} and granted ${before.granted} at ${before.toSeconds}, ${receipt.charged} and ${receipt.granted} at ${receipt.toSeconds}`;
    if (charged < 0 || granted < 0) {
      const lie = before.toSeconds === receipt.toSeconds ? "receipts-contradict" : "counters-fell";
      return [conviction(lie, terms, channelId, text)];
    }
    const span = [before.toSeconds, receipt.toSeconds] as const;
    // Who names the same terms before and after is held to them; else to the highest of all that it has signed.
    const price = highestOf([bound[at]!.terms, terms], ...span) ?? highestOf(ownTerms(sale, terms), ...span);
    if (price === null) {
      missing.push(`receipt of ${channelId} at ${span[1]}: terms for all of the time from ${span[0]}`);
      return [];
    }
    // A seller carries what the division leaves over, which is less than one unit's price.
    const least = Math.ceil((charged * PRICED_UNITS) / price) - 1;
    if (granted >= least) return [];
    const short = `${text}: ${granted} units, at least ${least} at the highest price of its terms, ${price}`;
    return [conviction("granted-below-terms", terms, channelId, short)];
  });
}

/** All that this seller has signed for what it sells. */
function ownTerms({ offered }: Sale, { payTo, asset, unit }: Terms): readonly Terms[] {
  return offered.filter((terms) => terms.payTo === payTo && terms.asset === asset && terms.unit === unit);
}

/** The highest price of some terms within a span, both ends included; null unless they cover each second of it. */
function highestOf(all: readonly Terms[], from: number, to: number): number | null {
  let coveredTo = from;
  for (const { fromSeconds, untilSeconds } of all.toSorted((a, b) => a.fromSeconds - b.fromSeconds)) {
    if (fromSeconds <= coveredTo) coveredTo = Math.max(coveredTo, untilSeconds);
  }
  if (coveredTo <= to) return null;
  return Math.max(...all.map((terms) => highestPrice(terms, from, to) ?? 0));
}

function byChain({ channelId, bound }: Sale, chain: Evidence["chain"], missing: string[]): Conviction[] {
  const recorded = chain.find((one) => one.channelId === channelId);
  if (recorded === undefined) return [];
  const last = bound.at(-1)!;
  const { charged, toSeconds } = last.signed.receipt;
  const found: Conviction[] = [];
  const { depositedAtomic, claims, nowSeconds } = recorded;
  if (charged > depositedAtomic) {
    const text = `charged ${charged}, deposited ${depositedAtomic}`;
    found.push(conviction("charged-above-deposit", last.terms, channelId, text));
  }
  if (toSeconds > nowSeconds + CLOCKS_APART_SECONDS) {
    missing.push(`channel ${channelId}: a clock for its claims; its receipts are ahead of the chain`);
    return found;
  }
  for (const { totalAtomic, atSeconds } of claims) {
    const later = bound.find(({ signed }) => signed.receipt.toSeconds >= atSeconds + CLOCKS_APART_SECONDS);
    if (later === undefined || later.signed.receipt.charged >= totalAtomic) continue;
    const { receipt } = later.signed;
    const text = `claimed ${totalAtomic} by ${atSeconds}, charged ${receipt.charged} by ${receipt.toSeconds}`;
    found.push(conviction("claimed-above-charged", later.terms, channelId, text));
    break;
  }
  return found;
}

function maySign({ sellersKeys }: Evidence, { payTo }: Terms, signer: string | null): boolean {
  return signer === payTo || sellersKeys.some((one) => one.payTo === payTo && one.key === signer);
}

function unsigned({ payTo }: Terms, signer: string | null): string {
  return `a signature of ${payTo} or of a key that is given, found ${signer ?? "none"}`;
}

function conviction(lie: Lie, { payTo }: Terms, channelId: string | null, text: string): Conviction {
  return { lie, seller: payTo, channelId, text };
}

/** By time, then by counters: receipts of one second may be any two of a rising series. */
function byTime({ receipt: a }: SignedReceipt, { receipt: b }: SignedReceipt): number {
  return a.toSeconds - b.toSeconds || a.charged - b.charged || a.granted - b.granted;
}

function lower(address: string): string {
  return address.toLowerCase();
}
