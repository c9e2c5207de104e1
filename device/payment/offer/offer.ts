/**
 * An offer message checked with its channel id recomputed here.
 *
 * Promise: that of offer-check.ts, at once; and of what is paid from the device's own wallet, that the contracts are
 * those that the device would sign for by itself, or that its owner named; nonces of different contracts are never those
 * of one account.
 */
import type { OfferMessage } from "#protocol/messages";
import type { PaymentToken } from "#protocol/payment-token";
import { exactAccountOf, type TransferMethod } from "../authorization.ts";
import { channelIdOf } from "../channel.ts";
import { type Permit2Rules, permit2Offer } from "../permit2/permit2-offer.ts";
import { type CheckedOffer, checkOfferBy } from "./offer-check.ts";

/** What a device's owner lets it sign from its own wallet in one token, beside transfers by the token itself. */
export interface WalletRules {
  /** Null: nothing may be signed under Permit2. */
  readonly permit2: Permit2Rules | null;
  /**
   * Longest that a seller may want a transfer to be good for which another contract than the token verifies, seconds; 0:
   * no such contract is known. Which ones may is the policy's own rule.
   */
  readonly verifierSecondsMax: number;
}

/** By the token that an offer asks for. */
export type WalletRulesOf = (token: PaymentToken) => WalletRules;

export const TOKEN_ALONE: WalletRules = { permit2: null, verifierSecondsMax: 0 };

/** Of a transfer's life when it is presented: less, and it might end on its way to the chain. Seconds. */
export const LIFE_LEFT_SECONDS = 60;

/** @param device 0x and 40 lower-case hex digits */
export function checkOffer(
  message: OfferMessage,
  device: string,
  rules: WalletRules = TOKEN_ALONE,
): CheckedOffer {
  const { requirements } = message;
  const method = requirements.scheme === "batch-settlement" ? null : transferMethodOf(requirements);
  const verifier = verifierOf(requirements);
  if (verifier !== null && !isAddress(verifier)) return { offer: null, refusal: "contract-not-allowed" };
  const checked = checkOfferBy(message, device, (terms, chainId) => {
    if (terms.scheme === "batch-settlement") return channelIdOf(message.channel!, chainId);
    if (method === null) return null;
    const token = { chainId, address: terms.asset, ...(verifier === null ? {} : { verifier }) };
    return exactAccountOf(device, terms.payTo, token, message.epoch ?? 0, method);
  });
  if (checked.offer === null || method === null) return checked;
  const terms = { ...checked.offer.terms, validSeconds: LIFE_LEFT_SECONDS };
  const offer = { ...checked.offer, terms };
  if (method === "permit2") return permit2Offer(message, offer, rules.permit2);
  if (verifier === null) return { offer, refusal: null };
  const { verifierSecondsMax } = rules;
  if (verifierSecondsMax === 0) return { offer: null, refusal: "contract-not-allowed" };
  const validSeconds = Math.max(LIFE_LEFT_SECONDS, requirements.maxTimeoutSeconds);
  if (validSeconds > verifierSecondsMax) return { offer: null, refusal: "validity-too-long" };
  return { offer: { ...offer, terms: { ...terms, contract: verifier, validSeconds } }, refusal: null };
}

/**
 * The contract that verifies a transfer by EIP-3009 in the token's place, as a seller names it, in lower case; null for
 * the token itself.
 */
export function verifierOf(
  requirements: Pick<OfferMessage["requirements"], "scheme" | "asset" | "extra">,
): string | null {
  const { scheme, asset, extra } = requirements;
  if (scheme !== "exact" || transferMethodOf(requirements) !== "eip3009") return null;
  const named = extra.verifyingContract;
  if (named === undefined) return null;
  const verifier = String(named).toLowerCase();
  return verifier === asset.toLowerCase() ? null : verifier;
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

function isAddress(text: string): boolean {
  return /^0x[0-9a-f]{40}$/.test(text);
}
