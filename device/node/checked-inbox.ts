/**
 * A message from the gateway, checked at once: here the channel id costs no time.
 *
 * Promise (T1): that of host/inbox.ts.
 */
import { type Opened, openGrant, openOffer } from "#host/inbox";
import { checkOffer, TOKEN_ALONE, type WalletRulesOf } from "#payment/offer/offer";
import { isShallow, TOO_DEEP } from "#protocol/nesting";
import type { Tagger } from "#protocol/tag";

export type { Opened } from "#host/inbox";

/** @param device 0x and 40 lower-case hex digits  @param rules transfers by the token itself alone when absent */
export function openMessage(
  tagger: Tagger,
  device: string,
  leaf: string,
  payload: Uint8Array,
  rules: WalletRulesOf = () => TOKEN_ALONE,
): Opened {
  if (leaf === "grant") return openGrant(tagger, payload);
  if (leaf !== "offer") return { kind: "other" };
  const opened = openOffer(tagger, payload);
  if (opened.kind !== "message") return opened;
  if (!isShallow(Buffer.from(payload).toString("latin1"))) return { kind: "malformed", error: TOO_DEEP };
  const { message } = opened;
  const { offer, refusal } = checkOffer(message, device, rules(message.requirements));
  return offer === null ? { kind: "offer-refused", refusal } : { kind: "offer", offer };
}
