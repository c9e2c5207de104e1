/**
 * An offer message judged by what it says, not by who says it: the channel id is recomputed here.
 *
 * Promise: the core sees only offers whose channel names this device as signer, this seller as receiver
 * and this token; everything it signs for later follows from the recomputed id.
 */
import type { Offer, Terms } from "#core/events";
import type { DeviceRefusal } from "#core/refusal";
import type { OfferMessage } from "#protocol/messages";
import { exactAccountOf } from "./authorization.ts";
import { BATCH_SETTLEMENT_ADDRESS, channelIdOf } from "./channel.ts";
import { chainIdOf } from "./eip712.ts";

export type JudgedOffer =
  | { readonly offer: Offer; readonly refusal: null }
  | { readonly offer: null; readonly refusal: DeviceRefusal };

/** Epoch of exact accounts: counters begin once per device, seller and token. */
const EXACT_EPOCH = 0;

/** @param device 0x and 40 lower-case hex digits */
export function judgeOffer(message: OfferMessage, device: string): JudgedOffer {
  const { requirements, channel } = message;
  if (!/^eip155:[1-9][0-9]{0,14}$/.test(requirements.network)) return refused("network-not-allowed");
  const chainId = chainIdOf(requirements.network);
  const terms = termsOf(message);
  if (terms.scheme === "exact") {
    const token = { chainId, address: terms.asset, name: terms.tokenName, version: terms.tokenVersion };
    return accepted(message, terms, exactAccountOf(device, terms.payTo, token, EXACT_EPOCH));
  }
  if (channel === null) return refused("channel-id-mismatch");
  const ours =
    lower(channel.payerAuthorizer) === device &&
    lower(channel.receiver) === terms.payTo &&
    lower(channel.token) === terms.asset;
  return ours ? accepted(message, terms, channelIdOf(channel, chainId)) : refused("channel-id-mismatch");
}

function termsOf(message: OfferMessage): Terms {
  const { scheme, network, asset, payTo, extra } = message.requirements;
  const token = lower(asset);
  return {
    scheme: scheme === "exact" ? "exact" : "batch-settlement",
    network,
    asset: token,
    payTo: lower(payTo),
    contract: scheme === "exact" ? token : BATCH_SETTLEMENT_ADDRESS,
    tokenName: typeof extra.name === "string" ? extra.name : "",
    tokenVersion: typeof extra.version === "string" ? extra.version : "",
  };
}

function accepted(message: OfferMessage, terms: Terms, channelId: string): JudgedOffer {
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
  };
  return { offer, refusal: null };
}

function refused(refusal: DeviceRefusal): JudgedOffer {
  return { offer: null, refusal };
}

function lower(address: string): string {
  return address.toLowerCase();
}
