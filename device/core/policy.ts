/**
 * What a device's owner allows it to sign.
 *
 * Promise (P1): an offer outside the policy is refused with a code before anything is signed, and no
 * day's signatures exceed the day's budget, whichever peer asks.
 */
import type { Budget, Offer, Terms } from "./events.ts";
import type { DeviceRefusal } from "./refusal.ts";
import { QUANTUM_MAX } from "./units.ts";

/** What the lamp does while it has no credit. */
export type Unpaid =
  | { readonly kind: "off" }
  | { readonly kind: "dim"; readonly levelPercent: number }
  | { readonly kind: "on" };

export interface Policy {
  readonly schemes: readonly string[];
  /** CAIP-2 network, as "eip155:8453". */
  readonly network: string;
  readonly asset: string;
  /** Contracts whose EIP-712 domain may be signed for: batch settlement and, for exact, the token. */
  readonly contracts: readonly string[];
  /** Sellers that may be paid; empty allows any. */
  readonly payees: readonly string[];
  readonly unit: string;
  /** Highest price accepted, atomic units per million metered units. */
  readonly priceCeiling: number;
  /** Largest single purchase, atomic units. */
  readonly quantumMaxAtomic: number;
  /** Most that may be signed in one UTC day, atomic units. */
  readonly dailyBudgetAtomic: number;
  readonly unpaid: Unpaid;
}

const SECONDS_PER_DAY = 86400;

/** The first rule that an offer breaks; null when it may be bought. */
export function refuseOffer(policy: Policy, offer: Offer): DeviceRefusal | null {
  const terms = offer.terms;
  if (policy.schemes.indexOf(terms.scheme) < 0) return "scheme-not-allowed";
  if (terms.network !== policy.network) return "network-not-allowed";
  if (terms.asset !== policy.asset) return "token-not-allowed";
  if (policy.contracts.indexOf(terms.contract) < 0) return "contract-not-allowed";
  if (policy.payees.length > 0 && policy.payees.indexOf(terms.payTo) < 0) return "payee-not-allowed";
  if (offer.unit !== policy.unit) return "unit-mismatch";
  return refuseQuantum(policy, offer.quantumAtomic) || refusePrice(policy, offer.pricePerMillionUnits);
}

/** One purchase's money; asked again of each rung, since a ladder begun under an older policy goes on. */
export function refuseQuantum(policy: Policy, quantumAtomic: number): DeviceRefusal | null {
  const max = Math.min(policy.quantumMaxAtomic, QUANTUM_MAX);
  return quantumAtomic >= 1 && quantumAtomic <= max ? null : "quantum-above-limit";
}

/** Prices float; each one heard is held against the ceiling. */
export function refusePrice(policy: Policy, pricePerMillionUnits: number): DeviceRefusal | null {
  return pricePerMillionUnits > policy.priceCeiling ? "price-above-ceiling" : null;
}

/**
 * The budget of the day that the wall clock shows. Days only move on: a clock set back, or not set at
 * all, keeps the day that has begun, so no step of the clock refills it twice.
 */
export function budgetOn(budget: Budget, wallSeconds: number | null, signed: number): Budget {
  const day = wallSeconds === null ? budget.day : Math.floor(wallSeconds / SECONDS_PER_DAY);
  if (day <= budget.day) return budget;
  // What was signed before any clock was heard belongs to the first day.
  if (budget.day === 0) return { ...budget, day };
  return { day, spentBefore: 0, signedAtStart: signed };
}

/** What closes a purchase: what was signed for it at most, and what it began at. */
interface Closing {
  readonly terms: Terms;
  readonly charged: number;
  readonly maybeSigned: number;
}

/**
 * The budget after what was charged rose. By upto each purchase is a signature of its own, so once it is answered the
 * whole of it counts, whatever was charged: a seller that settles more than it says would else pass the day's budget.
 * @param charged what the next purchase begins at
 */
export function closePurchase(budget: Budget, before: Closing, charged: number): Budget {
  if (before.terms.scheme !== "upto" || charged <= before.charged) return budget;
  return { day: budget.day, spentBefore: spentToday(budget, before.maybeSigned), signedAtStart: charged };
}

/** Atomic units signed today, the present channel's included. */
export function spentToday(budget: Budget, signed: number): number {
  return budget.spentBefore + Math.max(0, signed - budget.signedAtStart);
}
