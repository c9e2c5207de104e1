/**
 * Every refusal in words, for the person at the pole.
 *
 * Promise: the list is complete by its type; each entry says what it means and what to do about it.
 */
import type { Refusal } from "#core/refusal";

interface Explanation {
  readonly meaning: string;
  readonly remedy: string;
}

const BY_ITSELF = "nothing to do here: the device goes on trying";
const AT_THE_GATEWAY = "ask the gateway's operator";

const EXPLAINED: Readonly<Record<Refusal, Explanation>> = {
  "unknown-channel": {
    meaning: "the gateway does not know the channel",
    remedy: "the device asks for a new offer",
  },
  "counter-mismatch": {
    meaning: "gateway and device count differently",
    remedy: `${BY_ITSELF}; if it lasts, ${AT_THE_GATEWAY}`,
  },
  "bad-signature": {
    meaning: "the seller did not accept the signature",
    remedy: "check policy.network and the device's key",
  },
  "seller-unavailable": { meaning: "the seller does not answer the gateway", remedy: BY_ITSELF },
  "seller-refused": {
    meaning: "the seller refused the payment, or asks for one that the gateway cannot make",
    remedy: AT_THE_GATEWAY,
  },
  unfunded: { meaning: "the channel has no deposit to pay from", remedy: `${AT_THE_GATEWAY} to fund it` },
  overloaded: { meaning: "the gateway has too much to do", remedy: BY_ITSELF },
  "channel-closing": { meaning: "the channel is being closed", remedy: "the device waits for a new one" },
  "ledger-unavailable": { meaning: "the gateway cannot write its ledger", remedy: AT_THE_GATEWAY },
  expired: { meaning: "the payment came too late", remedy: "check the clock: `timedatectl`" },
  "not-enrolled": {
    meaning: "the gateway's operator has not let this device in",
    remedy: `${AT_THE_GATEWAY} to approve it: watt402-gateway devices approve`,
  },
  "outcome-unknown": {
    meaning: "the seller or the chain has not told yet whether this payment was charged",
    remedy: "wait: it is presented again, and charged at most once",
  },
  "scheme-not-allowed": {
    meaning: "the offer asks for another payment scheme",
    remedy: "compare policy.schemes with the gateway's seller",
  },
  "network-not-allowed": {
    meaning: "the offer is for another chain",
    remedy: "compare policy.network, and policy.tokens, with the gateway's seller",
  },
  "token-not-allowed": {
    meaning: "the offer is in another token",
    remedy: "compare policy.asset, and policy.tokens, with the gateway's seller",
  },
  "payee-not-allowed": {
    meaning: "the offer pays a seller that is not allowed",
    remedy: "add the seller to policy.payees if it is the right one",
  },
  "contract-not-allowed": {
    meaning: "the offer names another contract",
    remedy:
      `${AT_THE_GATEWAY}; a seller that is paid by Permit2 needs it in policy.transfer_methods, one under a contract ` +
      "in the token's place that one in policy.verifying_contracts",
  },
  "spender-not-allowed": {
    meaning: "the offer lets another contract than x402's move the tokens",
    remedy: AT_THE_GATEWAY,
  },
  "facilitator-not-allowed": {
    meaning: "the seller's facilitator is not one that may say how much is charged",
    remedy: "add it to policy.permit2.facilitators if it is the right one",
  },
  "validity-too-long": {
    meaning: "the seller wants a signature that holds longer than the owner allows",
    remedy:
      "raise policy.permit2.validity_max_seconds or policy.verifying_validity_max_seconds, or take another seller",
  },
  "approval-not-allowed": {
    meaning: "the wallet has not approved Permit2, and this device may not do so",
    remedy: "add a kind to policy.permit2.approvals, or approve Permit2 for this wallet by hand",
  },
  "unit-mismatch": {
    meaning: "the seller meters in another unit",
    remedy: "compare meter.unit with the gateway's seller",
  },
  "price-above-ceiling": {
    meaning: "the price is above the owner's ceiling",
    remedy: "wait, or raise policy.price_ceiling_per_million_units",
  },
  "quantum-above-limit": {
    meaning: "one purchase would cost more than the owner allows",
    remedy: "raise policy.quantum_max_atomic, or lower meter.wanted_units",
  },
  "budget-exhausted": {
    meaning: "the day's budget is spent",
    remedy: "wait for midnight UTC, or raise policy.daily_budget_atomic",
  },
  "deposit-exhausted": {
    meaning: "the channel's deposit is used up",
    remedy: `${AT_THE_GATEWAY} to top it up`,
  },
  "charged-above-signed": {
    meaning: "the seller charged more than this device signed",
    remedy: `${AT_THE_GATEWAY}: nothing is signed until it is put right`,
  },
  "counter-off-ladder": {
    meaning: "the seller charged an amount that was never signed",
    remedy: `${AT_THE_GATEWAY}: nothing is signed until it is put right`,
  },
  "channel-id-mismatch": { meaning: "the offered channel does not name this device", remedy: AT_THE_GATEWAY },
  "no-seller-here": {
    meaning: "nobody sells where the device is",
    remedy: "nothing to do: it buys again in a seller's region",
  },
  "terms-missing": {
    meaning: "the offer names no terms under the seller's signature, or the gateway does not hand them out",
    remedy: `${AT_THE_GATEWAY} for a seller that signs its terms, or change policy.terms.required`,
  },
  "terms-unsigned": {
    meaning: "the seller's terms are signed by neither its payee nor a key that the owner named",
    remedy: "ask the seller for its key, and name it in policy.terms.keys",
  },
  "terms-contradicted": {
    meaning:
      "the offer is not what the seller's signed terms say: token, payee, unit, quantum, price, or the time",
    remedy: "see the clock; ask the seller, and keep the documents: `watt402-gateway verify` judges them",
  },
  "grant-below-terms": {
    meaning: "the seller granted less than the money buys by the terms that it has signed",
    remedy:
      "`watt402-gateway verify` judges its receipts; a seller that is to be trusted again is taken out of sellers.json",
  },
  "metered-seller": {
    meaning: "the seller charges by what was used, and this device signs its vouchers ahead",
    remedy: `${AT_THE_GATEWAY} for a seller that charges whole quanta`,
  },
  "meter-silent": {
    meaning: "the meter gives no reading",
    remedy: "check its power, its cable and [meter.driver]",
  },
  "meter-implausible": {
    meaning: "the meter shows what cannot be",
    remedy: "check its wiring and its register map",
  },
  "clock-unset": {
    meaning: "the clock is not set",
    remedy: "connect the board to the network, or add a real-time clock",
  },
  "journal-failed": {
    meaning: "the disk does not take the checkpoint",
    remedy: "see `df -h` and `dmesg`; replace a card that fails",
  },
  "signer-failed": { meaning: "the key does not sign", remedy: "see `watt402-device doctor`" },
  "lamp-failed": { meaning: "the lamp does not follow", remedy: "check its wiring and [lamp.driver]" },
  "load-disobeys": {
    meaning: "the load broke a limit that it had confirmed, and is not served again",
    remedy: "repair it, then delete charger-*.json beside the journal",
  },
};

export function explain(refusal: Refusal): Explanation {
  return EXPLAINED[refusal];
}

/** In one line: code, meaning, remedy. */
export function explained(refusal: Refusal): string {
  const { meaning, remedy } = EXPLAINED[refusal];
  return `${refusal}: ${meaning}; ${remedy}`;
}
