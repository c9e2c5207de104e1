/**
 * An offer message checked by its content, not by its sender, in the language that boards run: the caller
 * brings the channel id, recomputed.
 *
 * Promise: the core sees only offers whose channel names this device as signer, this seller as receiver
 * and this token; everything it signs for later follows from the recomputed id.
 */
import type { Offer, Terms } from "#core/events";
import type { DeviceRefusal } from "#core/refusal";
import type { OfferMessage } from "#protocol/messages";
import { BATCH_SETTLEMENT_ADDRESS, chainIdIn } from "../network.ts";

export type CheckedOffer =
  | { readonly offer: Offer; readonly refusal: null }
  | { readonly offer: null; readonly refusal: DeviceRefusal };

/**
 * @param device 0x and 40 lower-case hex digits
 * @param idOf the channel's id, or for exact the account's; asked only for what is this device's to sign, and
 *   null where it is unknown
 */
export function checkOfferBy(
  message: OfferMessage,
  device: string,
  idOf: (terms: Terms, chainId: number) => string | null,
): CheckedOffer {
  const { requirements, channel } = message;
  const chainId = chainIdIn(requirements.network);
  if (chainId === null) return refused("network-not-allowed");
  const terms = termsOf(message);
  if (terms.scheme === "batch-settlement") {
    if (channel === null) return refused("channel-id-mismatch");
    const ours =
      lower(channel.payerAuthorizer) === device &&
      lower(channel.receiver) === terms.payTo &&
      lower(channel.token) === terms.asset;
    if (!ours) return refused("channel-id-mismatch");
  }
  const id = idOf(terms, chainId);
  return id === null ? refused("scheme-not-allowed") : accepted(message, terms, id);
}

function termsOf(message: OfferMessage): Terms {
  const { scheme, network, asset, payTo, extra } = message.requirements;
  const token = lower(asset);
  return {
    scheme: scheme as Terms["scheme"],
    network,
    asset: token,
    payTo: lower(payTo),
    contract: scheme === "batch-settlement" ? BATCH_SETTLEMENT_ADDRESS : token,
    tokenName: typeof extra.name === "string" ? extra.name : "",
    tokenVersion: typeof extra.version === "string" ? extra.version : "",
  };
}

function accepted(message: OfferMessage, terms: Terms, channelId: string): CheckedOffer {
  const offer: Offer = {
    revision: message.revision,
    channelId,
    terms,
    unit: message.unit,
    quantumAtomic: Number(message.requirements.amount),
    pricePerMillionUnits: message.pricePerMillionUnits,
    balance: message.balance,
    charged: message.charged,
    granted: message.granted,
    metered: message.metered === true,
  };
  return { offer, refusal: null };
}

function refused(refusal: DeviceRefusal): CheckedOffer {
  return { offer: null, refusal };
}

function lower(address: string): string {
  return address.toLowerCase();
}
