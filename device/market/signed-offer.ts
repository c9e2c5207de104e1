/**
 * x402's signed offer (its extension offer-receipt), whose resource names our terms by their hash.
 *
 * Promise: digests are upstream's (tested against its own package). A right signature says only who signed: whether that
 * one may speak for the seller is for its reader to decide, by the payee or by a key that it was given.
 * Source: x402, specs/extensions/extension-offer-and-receipt.md, version 1.0. An upstream offer names no unit, quantity
 * or charge, which is why the terms are a document of their own.
 */
import { z } from "zod";
import { fromHex, type Hex, wordOfInteger } from "#payment/bytes";
import { contractlessSeparator, hashStruct, typedDataDigest, typeHash, wordOfText } from "#payment/eip712";
import { recoverAddress } from "#payment/key";
import { type Terms, termsHash } from "./terms-of-sale.ts";

const OFFER_TYPE_HASH = typeHash(
  "Offer(uint256 version,string resourceUrl,string scheme,string network,string asset,string payTo,string amount,uint256 validUntil)",
);
/** The specification's own, whatever the network. */
const SEPARATOR = contractlessSeparator({ name: "x402 offer", version: "1", chainId: 1 });
const TERMS_PARAMETER = "terms";

export const SIGNATURE = z.string().regex(/^0x[0-9a-f]{130}$/);

const SIGNED_OFFER = z.object({
  format: z.literal("eip712"),
  acceptIndex: z.int().min(0).max(255).optional(),
  payload: z.object({
    version: z.literal(1),
    resourceUrl: z.string().max(1024),
    scheme: z.string().max(64),
    network: z.string().max(64),
    asset: z.string().max(128),
    payTo: z.string().max(128),
    amount: z.string().regex(/^[0-9]{1,39}$/),
    validUntil: z.int().min(0),
  }),
  signature: SIGNATURE,
});

export type SignedOffer = z.infer<typeof SIGNED_OFFER>;
export type OfferPayload = SignedOffer["payload"];

/** Null for what is none, or is signed in another form than EIP-712. */
export function readSignedOffer(document: unknown): SignedOffer | null {
  const read = SIGNED_OFFER.safeParse(document);
  return read.success ? read.data : null;
}

/** The 32 bytes that are signed. */
export function offerDigest(payload: OfferPayload): Uint8Array {
  const { version, resourceUrl, scheme, network, asset, payTo, amount, validUntil } = payload;
  const texts = [resourceUrl, scheme, network, asset, payTo, amount].map(wordOfText);
  const words = [wordOfInteger(version), ...texts, wordOfInteger(validUntil)];
  return typedDataDigest(SEPARATOR, hashStruct(OFFER_TYPE_HASH, words));
}

/** Who signed, in lower case; null for no signature of this curve. */
export function offerSigner({ payload, signature }: SignedOffer): Hex | null {
  return recoverAddress(offerDigest(payload), fromHex(signature));
}

/** A resource's full name with the terms it is sold under. @param url with a query */
export function withTerms(url: string, hash: string): string {
  return `${url}&${TERMS_PARAMETER}=${hash}`;
}

/** The hash that a resource's full name carries; null where there is none. */
export function termsHashIn(url: string): string | null {
  const hash = URL.parse(url)?.searchParams.get(TERMS_PARAMETER) ?? null;
  return hash !== null && /^0x[0-9a-f]{64}$/.test(hash) ? hash : null;
}

/** True for the terms that an offer names; any other document is nothing that its signer has signed. */
export function isOfferOf({ payload }: SignedOffer, terms: Terms): boolean {
  return termsHashIn(payload.resourceUrl) === termsHash(terms);
}

/** In what an offer contradicts the terms that it names; null where it does not. */
export function contradictionIn({ payload }: SignedOffer, terms: Terms): string | null {
  const said = [
    ["network", payload.network, terms.network],
    ["asset", payload.asset.toLowerCase(), terms.asset],
    ["payTo", payload.payTo.toLowerCase(), terms.payTo],
    ["validUntil", payload.validUntil, terms.untilSeconds],
  ] as const;
  const wrong = said.find(([, offered, wanted]) => offered !== wanted);
  if (wrong !== undefined) return `${wrong[0]} ${wrong[1]} in the offer, ${wrong[2]} in its terms`;
  if (!payload.resourceUrl.startsWith(`${terms.api}/`))
    return `resourceUrl ${payload.resourceUrl} in the offer, ${terms.api} in its terms`;
  const isOnMenu = terms.quantaAtomic.includes(Number(payload.amount));
  return isOnMenu ? null : `amount ${payload.amount} in the offer, not among the quanta of its terms`;
}
