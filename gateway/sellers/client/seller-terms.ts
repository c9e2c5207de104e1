/**
 * The terms that a seller has signed for what it quotes, and its receipts of use.
 *
 * Promise: terms bind a seller only when the payee's own key, or one that the operator named, has signed an
 * offer of just what is asked, the document has the hash that the offer names, and it says the price that the seller asks now.
 * Offers that name no terms of ours bind nobody to a price, and are passed over.
 */

import { z } from "zod";
import type { ReceiptSource } from "#market/documents";
import type { OfferedTerms } from "#market/judge";
import { priceAt } from "#market/price-series";
import {
  contradictionIn,
  offerSigner,
  readSignedOffer,
  type SignedOffer,
  termsHashIn,
} from "#market/signed-offer";
import { readTerms, termsHash } from "#market/terms-of-sale";
import { readSignedReceipt, receiptSigner, type SignedReceipt } from "#market/usage-receipt";
import type { OfferedRequirements } from "#protocol/messages";
import { parseJson } from "#protocol/nesting";
import type { PaymentRequired } from "#protocol/x402";
import type { Tariff } from "../../purchase/ports.ts";
import { type Http, refusalIn } from "./seller-http.ts";

/** Offers of one 402 that are looked at: one for each way to pay. */
const OFFERS_MAX = 64;
const OFFER_RECEIPT = z.object({ info: z.object({ offers: z.array(z.unknown()).max(OFFERS_MAX) }) });
const DOCUMENT = z.object({ terms: z.unknown(), offer: z.unknown() });
/** Terms of one seller that are remembered: those of a week, and of some resources. */
const KEPT_MAX = 32;

/** `reason`: why what the seller has signed binds it to nothing; empty where it has signed nothing of the kind. */
export type FoundTerms = {
  readonly offered: OfferedTerms | null;
  readonly reason: string;
  /** An offer under a right signature that contradicts the terms that it names. */
  readonly evidence?: OfferedTerms;
};

export class SellerTerms implements ReceiptSource {
  readonly #http: Http;
  readonly #base: string;
  readonly #keys: readonly string[];
  readonly #known = new Map<string, OfferedTerms>();

  /**
   * @param base of the API, without a slash at its end
   * @param keys that may sign beside the payee, addresses in lower case
   */
  constructor(http: Http, base: string, keys: readonly string[]) {
    this.#http = http;
    this.#base = base;
    this.#keys = keys;
  }

  /** What binds the seller to its quote. @param tariff as it was heard last */
  async termsFor(
    required: PaymentRequired,
    requirements: OfferedRequirements,
    tariff: Tariff | null,
  ): Promise<FoundTerms> {
    const declared = OFFER_RECEIPT.safeParse(required.extensions?.["offer-receipt"]);
    const offers = declared.success ? declared.data.info.offers.map(readSignedOffer) : [];
    const naming = offers.filter(
      (offer) => offer !== null && termsHashIn(offer.payload.resourceUrl) !== null,
    );
    if (naming.length === 0) return { offered: null, reason: "" };
    const offer = naming.find((one) => isOf(one!, requirements));
    if (!offer) return { offered: null, reason: "terms: expected an offer of what is asked, found others" };
    const unsigned = this.#signatureTrouble(offer, requirements.payTo);
    if (unsigned !== "") return { offered: null, reason: unsigned };
    const found = await this.#document(termsHashIn(offer.payload.resourceUrl)!);
    if (found.offered === null) return found;
    const { terms } = found.offered;
    const contradiction = contradictionIn(offer, terms);
    const evidence = { terms, offer };
    if (contradiction !== null) return { offered: null, reason: `terms: ${contradiction}`, evidence };
    const trouble = this.#odd(terms.api) ?? priceTrouble(terms, tariff);
    return trouble === null
      ? { offered: evidence, reason: "" }
      : { offered: null, reason: `terms: ${trouble}` };
  }

  async receipt(channelId: string, payTo: string, register: number) {
    const url = `${this.#base}/v1/accounts/${channelId}/receipt?register=${register}`;
    const answer = await this.#ask("POST", url);
    const signed = answer.kind === "found" ? readSignedReceipt(answer.document) : null;
    if (answer.kind === "failed") return { kind: "none" as const, reason: answer.reason };
    if (signed === null) return { kind: "none" as const, reason: `${url}: expected a receipt, found none` };
    const { receipt } = signed;
    const isOurs = receipt.channelId === channelId && receipt.register === register;
    const signer = receiptSigner(receipt, signed.seller);
    if (!isOurs || !this.#maySign(signer, payTo)) {
      const found = isOurs ? `signed by ${signer ?? "nobody"}` : "of something else";
      return { kind: "none" as const, reason: `${url}: expected a receipt of ${payTo}, found one ${found}` };
    }
    const { offered, reason } = await this.#document(receipt.termsHash);
    // Without its terms it can be judged when they come to light: kept all the same.
    return { kind: "signed" as const, signed: signed satisfies SignedReceipt, offered, reason };
  }

  /** Terms by their hash, with an offer that names them. */
  async #document(hash: string): Promise<FoundTerms> {
    const known = this.#known.get(hash);
    if (known !== undefined) return { offered: known, reason: "" };
    const url = `${this.#base}/v1/terms/${hash}`;
    const answer = await this.#ask("GET", url);
    if (answer.kind === "failed") return { offered: null, reason: answer.reason };
    const read = DOCUMENT.safeParse(answer.document);
    const { terms, reason } = readTerms(read.data?.terms);
    const offer = readSignedOffer(read.data?.offer);
    if (terms === null || offer === null) return { offered: null, reason: `${url}: ${reason || "no offer"}` };
    if (termsHash(terms) !== hash)
      return { offered: null, reason: `${url}: expected ${hash}, found other terms` };
    const trouble = this.#signatureTrouble(offer, terms.payTo);
    if (trouble !== "") return { offered: null, reason: trouble };
    if (this.#known.size >= KEPT_MAX) this.#known.clear();
    const offered = { terms, offer };
    this.#known.set(hash, offered);
    return { offered, reason: "" };
  }

  async #ask(
    method: "GET" | "POST",
    url: string,
  ): Promise<{ kind: "found"; document: unknown } | { kind: "failed"; reason: string }> {
    const answer = await this.#http.call(method, url, null);
    if (answer.kind !== "paid") {
      const found = answer.kind === "refused" ? refusalIn(answer) : answer.kind;
      return { kind: "failed", reason: `${url}: expected a document, found ${found}` };
    }
    try {
      return { kind: "found", document: parseJson(answer.body) };
    } catch {
      return { kind: "failed", reason: `${url}: expected JSON, found something else` };
    }
  }

  #signatureTrouble(offer: SignedOffer, payTo: string): string {
    const signer = offerSigner(offer);
    if (this.#maySign(signer, payTo)) return "";
    return `terms: expected an offer signed by ${payTo}, or by a key in sellers.termsKeys, found ${signer ?? "none"}`;
  }

  #maySign(signer: string | null, payTo: string): boolean {
    return signer !== null && (signer === payTo.toLowerCase() || this.#keys.includes(signer));
  }

  /** Terms of another API say nothing of this one. */
  #odd(api: string): string | null {
    return api === this.#base ? null : `expected those of ${this.#base}, found those of ${api}`;
  }
}

function isOf({ payload }: SignedOffer, requirements: OfferedRequirements): boolean {
  const members = ["scheme", "network", "asset", "payTo", "amount"] as const;
  return members.every((name) => payload[name].toLowerCase() === requirements[name].toLowerCase());
}

/** The price that holds until the tariff says, by the seller's own clock. */
function priceTrouble(terms: OfferedTerms["terms"], tariff: Tariff | null): string | null {
  if (tariff === null || tariff.validUntilSeconds === 0) return null;
  const bound = priceAt(terms, tariff.validUntilSeconds - 1);
  if (bound === tariff.pricePerMillionUnits) return null;
  return `the price of ${tariff.pricePerMillionUnits} that is asked, ${bound ?? "none"} in its terms`;
}
