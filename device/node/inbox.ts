/**
 * A message from the gateway, judged before the machine hears of it.
 *
 * Promise (T1): what comes out was sealed by this device's gateway for this leaf and has the exact shape
 * of its kind; everything else is named and dropped, never thrown.
 */
import type { Grant, Offer } from "#core/events";
import type { DeviceRefusal } from "#core/refusal";
import { judgeOffer } from "#payment/offer";
import { decodeGrant } from "#protocol/frames";
import { readOffer } from "#protocol/messages";
import { isSealedFrame, openJson, type Tagger } from "#protocol/tag";

export type Opened =
  | { readonly kind: "grant"; readonly grant: Grant }
  | { readonly kind: "offer"; readonly offer: Offer }
  | { readonly kind: "offer-refused"; readonly refusal: DeviceRefusal }
  /** The tag is wrong: not from the gateway, or not for this leaf. */
  | { readonly kind: "foreign" }
  /** The tag is right and the content is not. */
  | { readonly kind: "malformed"; readonly error: string }
  /** A leaf of the general transport, which is nobody's business here. */
  | { readonly kind: "other" };

/** @param device 0x and 40 lower-case hex digits */
export function openMessage(tagger: Tagger, device: string, leaf: string, payload: Uint8Array): Opened {
  if (leaf === "grant") return openGrant(tagger, payload);
  if (leaf === "offer") return openOffer(tagger, device, payload);
  return { kind: "other" };
}

function openGrant(tagger: Tagger, payload: Uint8Array): Opened {
  if (!isSealedFrame(tagger, "grant", payload)) return { kind: "foreign" };
  const { frame, error } = decodeGrant(payload);
  return frame === null ? { kind: "malformed", error } : { kind: "grant", grant: frame };
}

function openOffer(tagger: Tagger, device: string, payload: Uint8Array): Opened {
  const json = openJson(tagger, "offer", payload);
  if (json === null) return { kind: "foreign" };
  const { message, error } = readOffer(json);
  if (message === null) return { kind: "malformed", error };
  const { offer, refusal } = judgeOffer(message, device);
  return offer === null ? { kind: "offer-refused", refusal } : { kind: "offer", offer };
}
