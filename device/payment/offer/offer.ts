/**
 * An offer message checked with its channel id recomputed here.
 *
 * Promise: that of offer-check.ts, at once; and of what is paid from the device's own wallet, that the contracts are
 * those that the device would sign for by itself.
 */
import type { OfferMessage } from "#protocol/messages";
import { exactAccountOf, type TransferMethod } from "../authorization.ts";
import { channelIdOf } from "../channel.ts";
import { type Permit2Rules, permit2Offer } from "../permit2/permit2-offer.ts";
import { type CheckedOffer, checkOfferBy } from "./offer-check.ts";

/**
 * @param device 0x and 40 lower-case hex digits
 * @param rules null: nothing may be signed under Permit2
 */
export function checkOffer(
  message: OfferMessage,
  device: string,
  rules: Permit2Rules | null = null,
): CheckedOffer {
  const { requirements } = message;
  const method = requirements.scheme === "batch-settlement" ? null : transferMethodOf(requirements);
  const checked = checkOfferBy(message, device, (terms, chainId) => {
    if (terms.scheme === "batch-settlement") return channelIdOf(message.channel!, chainId);
    if (method === null) return null;
    const token = { chainId, address: terms.asset };
    return exactAccountOf(device, terms.payTo, token, message.epoch ?? 0, method);
  });
  if (checked.offer === null || method === null) return checked;
  if (method === "permit2") return permit2Offer(message, checked.offer, rules);
  const { verifyingContract } = requirements.extra;
  // Another contract's domain than the token's: a signature under the token's own would be worth nothing there.
  if (verifyingContract !== undefined && !isSame(verifyingContract, checked.offer.terms.contract)) {
    return { offer: null, refusal: "contract-not-allowed" };
  }
  return checked;
}

/** How a seller wants its money moved; null for a method that is not spoken here. upto knows Permit2 alone. */
export function transferMethodOf({
  scheme,
  extra,
}: Pick<OfferMessage["requirements"], "scheme" | "extra">): TransferMethod | null {
  const method = extra.assetTransferMethod ?? (scheme === "upto" ? "permit2" : "eip3009");
  if (method === "permit2") return method;
  return method === "eip3009" && scheme !== "upto" ? method : null;
}

function isSame(found: unknown, address: string): boolean {
  return typeof found === "string" && found.toLowerCase() === address;
}
