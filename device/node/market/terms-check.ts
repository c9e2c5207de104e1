/**
 * Whether signed terms bind the seller of an offer to what it offers.
 *
 * Promise (P1): terms count only when they have the hash that the sealed offer's resource names, and an offer under the
 * payee's signature, or under a key that the owner pinned, names them too and contradicts them in nothing; and when they are of
 * this very sale: network, token, payee, unit, quantum, a price not below what is asked, a window that is open.
 */
import type { Offer } from "#core/events";
import type { Policy } from "#core/policy";
import type { DeviceRefusal } from "#core/refusal";
import { contradictionIn, isOfferOf, offerSigner, readSignedOffer } from "#market/signed-offer";
import { highestPrice, readTerms, type Terms, termsHash } from "#market/terms-of-sale";
import { parseJson } from "#protocol/nesting";
import { CLOCKS_APART_SECONDS } from "./market-rules.ts";

/** A document as the gateway hands it out, read and held against its hash; null for any other. */
export function termsIn(
  body: string,
  hash: string,
  keys: readonly string[],
): { readonly terms: Terms; readonly refusal: DeviceRefusal | null } | null {
  const document = documentIn(body);
  const { terms } = readTerms(document.terms);
  const signed = readSignedOffer(document.offer);
  if (terms === null || signed === null || termsHash(terms) !== hash || !isOfferOf(signed, terms))
    return null;
  const signer = offerSigner(signed);
  if (signer === null || (signer !== terms.payTo && !keys.includes(signer)))
    return { terms, refusal: "terms-unsigned" };
  return { terms, refusal: contradictionIn(signed, terms) === null ? null : "terms-contradicted" };
}

/** The rule that an offer breaks under its terms; null when they bind its seller. @param nowSeconds null while unknown */
export function refuseUnderTerms(
  offer: Offer,
  terms: Terms,
  policy: Policy,
  nowSeconds: number | null,
): DeviceRefusal | null {
  const { network, asset, payTo } = offer.terms;
  const isOfThisSale =
    terms.network === network &&
    terms.asset === asset &&
    terms.payTo === payTo &&
    terms.unit === offer.unit &&
    terms.quantaAtomic.includes(offer.quantumAtomic);
  const highest = highestAround(terms, nowSeconds, nowSeconds);
  if (!isOfThisSale || highest === null || offer.pricePerMillionUnits > highest) return "terms-contradicted";
  if (terms.unit !== policy.unit) return "unit-mismatch";
  return offer.pricePerMillionUnits > policy.priceCeiling ? "price-above-ceiling" : null;
}

/**
 * The highest price of terms in a span, by clocks that may be apart; of all their window while the time is unknown; null
 * where the window is not open then.
 */
export function highestAround(
  terms: Terms,
  fromSeconds: number | null,
  toSeconds: number | null,
): number | null {
  const from = fromSeconds === null ? terms.fromSeconds : Math.floor(fromSeconds) - CLOCKS_APART_SECONDS;
  const to = toSeconds === null ? terms.untilSeconds : Math.ceil(toSeconds) + CLOCKS_APART_SECONDS;
  return highestPrice(terms, from, to);
}

function documentIn(body: string): { readonly terms?: unknown; readonly offer?: unknown } {
  try {
    const read = parseJson(body);
    return typeof read === "object" && read !== null ? read : {};
  } catch {
    return {};
  }
}
