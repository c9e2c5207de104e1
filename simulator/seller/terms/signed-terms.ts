/**
 * What a seller signs: terms of what it sells now, offers that bind it to them, receipts of what was used.
 *
 * Promise: of one second there is one price, that of the terms in force. A receipt states counters that are on disk, and a
 * second that no earlier one was after: a clock that is set back makes the seller contradict nothing that it has signed.
 */
import type { PaymentRequirements } from "@x402/core/types";
import type { PriceCurve } from "#market/price-series";
import { type OfferPayload, offerDigest, type SignedOffer, withTerms } from "#market/signed-offer";
import { type Terms, termsHash } from "#market/terms-of-sale";
import { receiptDigest, type SignedReceipt, type UsageReceipt } from "#market/usage-receipt";
import { toHex } from "#payment/bytes";
import { chainIdOf } from "#payment/eip712";
import type { Key } from "#payment/key";
import type { LyingPen } from "../conduct/lying-pen.ts";
import type { AccountStore } from "../ports.ts";
import type { BoundPrices } from "./bound-prices.ts";

/** What terms say beside prices and their window. */
export type Sold = Pick<Terms, "unit" | "network" | "asset" | "payTo" | "quantaAtomic" | "metered">;

interface SignedTermsParts {
  readonly prices: BoundPrices;
  readonly sold: Sold;
  readonly key: Key;
  /** Where the seller is reached, without a slash at its end. */
  readonly api: () => string;
  readonly store: Pick<AccountStore, "account" | "channel">;
  /** What is signed in the place of what is so; absent: nothing. */
  readonly lying?: LyingPen | undefined;
  /** Unix seconds on the tariff's clock. */
  readonly nowSeconds: () => number;
  /** Unix milliseconds, of the wall clock. */
  readonly nowMs: () => number;
}

/** Why there is no receipt. */
export type NoReceipt = "no-channel" | "too-many";

/** Terms with an offer that names them. */
interface Offered {
  readonly terms: Terms;
  readonly hash: string;
  /** By resource and quantum. */
  readonly offers: Map<string, readonly SignedOffer[]>;
}

/** Windows whose documents are still handed out: a buyer that comes late finds what it bought under. */
const KEPT_MAX = 8;
/** Receipts signed in a second: each costs about 2 ms, and anybody may ask. */
const RECEIPTS_A_SECOND_MAX = 50;
/** Resources and quanta whose offers are kept signed; more than a menu has. */
const OFFERS_MAX = 1_024;

export class SignedTerms {
  readonly #parts: SignedTermsParts;
  /** By hash; the newest last. */
  readonly #kept = new Map<string, Offered>();
  #signedIn = { second: 0, count: 0 };
  #latestSeconds = 0;
  #newest: { readonly window: PriceCurve; readonly offered: Offered } | null = null;

  constructor(parts: SignedTermsParts) {
    this.#parts = parts;
  }

  /** Changes with the terms in force. */
  get hash(): string {
    return this.#now().hash;
  }

  /** Terms by their hash, with an offer that binds; undefined for what is unknown or long over. */
  find(hash: string): { readonly terms: Terms; readonly offer: SignedOffer } | undefined {
    const offered = this.#kept.get(hash);
    const offer = offered?.offers.values().next().value?.[0];
    return offered === undefined || offer === undefined ? undefined : { terms: offered.terms, offer };
  }

  /** x402's offers of one resource and quantum, one for each way it is paid. @param path with its slash */
  offers(path: string, accepts: readonly PaymentRequirements[]): readonly SignedOffer[] {
    const { terms, hash, offers } = this.#now();
    const [first] = accepts;
    if (first === undefined) return [];
    const resource = `${terms.api}${path}?quantum=${first.amount}`;
    const known = offers.get(resource);
    if (known !== undefined) return known;
    const signed = accepts.map((option, acceptIndex) => {
      const { scheme, network, asset, payTo, amount } = option;
      const resourceUrl = withTerms(resource, hash);
      const offer = { version: 1 as const, resourceUrl, ...{ scheme, network, asset, payTo, amount } };
      return { acceptIndex, ...this.#signed({ ...offer, validUntil: terms.untilSeconds }) };
    });
    if (offers.size >= OFFERS_MAX) offers.clear();
    offers.set(resource, signed);
    return signed;
  }

  /** What was sold on a channel until now. @param register as the buyer states it */
  receipt(channelId: string, register: number): SignedReceipt | NoReceipt {
    const { sold, store, key, nowMs, lying } = this.#parts;
    const account = store.account(channelId);
    if (account?.scheme !== "batch-settlement") return "no-channel";
    const second = Math.floor(nowMs() / 1000);
    if (this.#signedIn.second !== second) this.#signedIn = { second, count: 0 };
    if (this.#signedIn.count >= RECEIPTS_A_SECOND_MAX) return "too-many";
    this.#signedIn.count += 1;
    const { charged, granted } = account;
    const toSeconds = this.#seconds();
    const honest: UsageReceipt = {
      channelId,
      chainId: chainIdOf(sold.network),
      ...{ charged, granted, register },
      toSeconds,
      termsHash: this.#named().hash,
    };
    const price = this.#parts.prices.quote(toSeconds).pricePerMillionUnits;
    const receipt = lying?.receipt(honest, { account, channel: store.channel(channelId), price }) ?? honest;
    return { receipt, seller: toHex(key.sign(receiptDigest(receipt))), device: null };
  }

  /** Of the tariff's clock, and never less than before, nor before the terms in force. */
  #seconds(): number {
    const { nowSeconds, prices } = this.#parts;
    const seconds = Math.max(this.#latestSeconds, nowSeconds());
    this.#latestSeconds = Math.max(seconds, prices.windowAt(seconds).fromSeconds);
    return this.#latestSeconds;
  }

  #now(): Offered {
    const { prices, sold, api } = this.#parts;
    const window = prices.windowAt(this.#seconds());
    if (this.#newest?.window === window) return this.#newest.offered;
    const terms: Terms = { version: 1, ...sold, api: api(), ...window };
    const offered = this.#keep(terms);
    this.#newest = { window, offered };
    return offered;
  }

  /** The terms that a receipt names. */
  #named(): Offered {
    const present = this.#now();
    const { lying } = this.#parts;
    const terms = lying?.termsOf(present.terms) ?? present.terms;
    const hash = termsHash(terms);
    const known = this.#kept.get(hash);
    if (known !== undefined) return known;
    const named = this.#keep(terms);
    const { network, asset, payTo, api, untilSeconds, quantaAtomic } = terms;
    const amount = String(quantaAtomic[0]);
    const resourceUrl = withTerms(`${api}/?quantum=${amount}`, hash);
    const sold = { scheme: "batch-settlement", network, asset, payTo, amount };
    const offer = this.#signed({ version: 1, resourceUrl, ...sold, validUntil: untilSeconds });
    named.offers.set(resourceUrl, [offer]);
    return named;
  }

  #signed(offer: OfferPayload): SignedOffer {
    const { lying, key } = this.#parts;
    const payload = lying?.offer(offer) ?? offer;
    return { format: "eip712", payload, signature: toHex(key.sign(offerDigest(payload))) };
  }

  #keep(terms: Terms): Offered {
    const offered = { terms, hash: termsHash(terms), offers: new Map() };
    for (const old of this.#kept.keys()) if (this.#kept.size >= KEPT_MAX) this.#kept.delete(old);
    this.#kept.set(offered.hash, offered);
    return offered;
  }
}
