/**
 * What a device's owner allows it to sign under Permit2, and an offer held against it.
 *
 * Promise (P1): spender, contract, validity and approval follow from the owner's rules and from this device's own
 * request; an offer that names others is refused by name before anything is signed.
 */
import type { Approval, Offer, Terms } from "#core/events";
import type { DeviceRefusal } from "#core/refusal";
import type { AskedApproval, OfferMessage } from "#protocol/messages";
import type { CheckedOffer } from "../offer/offer-check.ts";
import { PERMIT2_ADDRESS, spenderOf } from "./permit.ts";

export interface Permit2Rules {
  /** Proxies that may move tokens. */
  readonly spenders: readonly string[];
  /** By upto: accounts that may say how much is charged; empty allows any. */
  readonly facilitators: readonly string[];
  /** Longest time that a seller may want for its settlement, seconds. */
  readonly validityMaxSeconds: number;
  /** How Permit2 may be approved; empty: not by this device. */
  readonly approvals: readonly Approval["kind"][];
  /** What an approving transaction allows, atomic units, when a payment needs less; 0: what the payment needs. */
  readonly approveAtLeastAtomic: number;
  /** Highest price of gas that an approving transaction may offer, wei. */
  readonly gasPriceMaxWei: number;
}

/** @param offer of exact or upto, as checkOfferBy read it */
export function permit2Offer(message: OfferMessage, offer: Offer, rules: Permit2Rules | null): CheckedOffer {
  const { extra, maxTimeoutSeconds } = message.requirements;
  const isUpto = offer.terms.scheme === "upto";
  const spender = spenderOf({ kind: isUpto ? "upto" : "exact" });
  if (rules === null || names(extra.verifyingContract, PERMIT2_ADDRESS))
    return refused("contract-not-allowed");
  if (rules.spenders.indexOf(spender) < 0 || names(extra.spender, spender))
    return refused("spender-not-allowed");
  if (maxTimeoutSeconds > rules.validityMaxSeconds) return refused("validity-too-long");

  let terms: Terms = { ...offer.terms, contract: PERMIT2_ADDRESS, spender };
  if (isUpto) {
    const facilitator = addressIn(extra.facilitatorAddress);
    const isAllowed = rules.facilitators.length === 0 || rules.facilitators.indexOf(facilitator) >= 0;
    if (facilitator === "" || !isAllowed) return refused("facilitator-not-allowed");
    terms = { ...terms, facilitator };
  }
  if (message.approval !== undefined) {
    const approval = approvalOf(message.approval, terms, rules);
    if (approval === null) return refused("approval-not-allowed");
    terms = { ...terms, approval };
  }
  return { offer: { ...offer, terms }, refusal: null };
}

function approvalOf(asked: AskedApproval, terms: Terms, rules: Permit2Rules): Approval | null {
  const { kind, nonce, maxFeePerGas = 0, maxPriorityFeePerGas = 0 } = asked;
  if (rules.approvals.indexOf(kind) < 0) return null;
  // A permit is signed under the token's own domain, which the offer has to name.
  if (kind === "eip2612") {
    const isNamed = terms.tokenName !== "" && terms.tokenVersion !== "";
    return isNamed ? { kind, nonce, maxFeePerGas: 0, maxPriorityFeePerGas: 0, atLeastAtomic: 0 } : null;
  }
  if (maxFeePerGas > rules.gasPriceMaxWei || maxPriorityFeePerGas > maxFeePerGas) return null;
  return { kind, nonce, maxFeePerGas, maxPriorityFeePerGas, atLeastAtomic: rules.approveAtLeastAtomic };
}

/** Does an offer name another contract than the one that would be signed for? */
function names(found: unknown, address: string): boolean {
  return found !== undefined && addressIn(found) !== address;
}

/** Lower case; empty for what is no address. */
function addressIn(found: unknown): string {
  return typeof found === "string" && /^0x[0-9a-fA-F]{40}$/.test(found) ? found.toLowerCase() : "";
}

function refused(refusal: DeviceRefusal): CheckedOffer {
  return { offer: null, refusal };
}
