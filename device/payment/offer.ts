/**
 * An offer message checked with its channel id recomputed here.
 *
 * Promise: that of offer-check.ts, at once.
 */
import type { OfferMessage } from "#protocol/messages";
import { exactAccountOf } from "./authorization.ts";
import { channelIdOf } from "./channel.ts";
import { type CheckedOffer, checkOfferBy } from "./offer-check.ts";

/** @param device 0x and 40 lower-case hex digits */
export function checkOffer(message: OfferMessage, device: string): CheckedOffer {
  return checkOfferBy(message, device, (terms, chainId) => {
    if (terms.scheme !== "exact") return channelIdOf(message.channel!, chainId);
    const token = { chainId, address: terms.asset, name: terms.tokenName, version: terms.tokenVersion };
    return exactAccountOf(device, terms.payTo, token, message.epoch ?? 0);
  });
}
