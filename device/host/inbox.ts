/**
 * A message from the gateway, checked before the machine receives it.
 *
 * Promise (T1): what comes out was sealed by this device's gateway for this leaf and has the exact shape
 * of its kind; everything else is named and dropped, never thrown.
 */
import type { Grant, Offer } from "#core/events";
import type { DeviceRefusal } from "#core/refusal";
import { decodeGrant } from "#protocol/frames";
import { type OfferMessage, readOffer } from "#protocol/messages";
import { isSealedFrame, openJson, type Tagger } from "#protocol/tag";

/** The tag is wrong: not from the gateway, or not for this leaf. */
interface Foreign {
  readonly kind: "foreign";
}
/** The tag is right and the content is not. */
interface Malformed {
  readonly kind: "malformed";
  readonly error: string;
}

export type Opened =
  | { readonly kind: "grant"; readonly grant: Grant }
  | { readonly kind: "offer"; readonly offer: Offer }
  | { readonly kind: "offer-refused"; readonly refusal: DeviceRefusal }
  | Foreign
  | Malformed
  /** A leaf of the general transport, which this module ignores. */
  | { readonly kind: "other" };

export function openGrant(tagger: Tagger, payload: Uint8Array): Opened {
  if (!isSealedFrame(tagger, "grant", payload)) return { kind: "foreign" };
  const { frame, error } = decodeGrant(payload);
  return frame === null ? { kind: "malformed", error } : { kind: "grant", grant: frame };
}

/** An offer's message, its channel id not checked yet. */
export function openOffer(
  tagger: Tagger,
  payload: Uint8Array,
): { readonly kind: "message"; readonly message: OfferMessage } | Foreign | Malformed {
  const json = openJson(tagger, "offer", payload);
  if (json === null) return { kind: "foreign" };
  const { message, error } = readOffer(json);
  return message === null ? { kind: "malformed", error } : { kind: "message", message };
}
