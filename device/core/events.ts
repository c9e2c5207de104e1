/**
 * What a device hears and does: the machine's events and effects, and nothing else.
 *
 * Counters keep the names and units of device/GLOSSARY.md: `charged`, `maxClaimable`, `balance` in atomic token units;
 * `granted`, `register` in metered units (mWh for a lamp); both integers in 0..2^48-1.
 */

import type { Account } from "./credit.ts";
import type { HostRefusal, LoadRefusal, Refusal, WireRefusal } from "./refusal.ts";
import type { Register } from "./register.ts";

export type Scheme = "batch-settlement" | "exact" | "upto";

/** When something happened, as the host's ports report it. */
export interface Moment {
  /** Monotonic clock, milliseconds since some start of the host; never steps back. */
  readonly nowMs: number;
  /** Unix time in seconds; null while the host does not trust its wall clock. */
  readonly wallSeconds: number | null;
  /** Uniform in 0..1, fresh for every event: jitter. */
  readonly random: number;
}

/** What is signed and for whom: the part of an offer that policy checks and the signer needs. */
export interface Terms {
  readonly scheme: Scheme;
  /** CAIP-2, as "eip155:8453". */
  readonly network: string;
  /** Token contract, 0x and 40 lower-case hex digits. */
  readonly asset: string;
  /** Seller's address, as asset. */
  readonly payTo: string;
  /** Contract that verifies the signature: batch settlement, for exact the token or one in its place, or Permit2. */
  readonly contract: string;
  /** EIP-712 name and version of the token (exact). */
  readonly tokenName: string;
  readonly tokenVersion: string;
  /** What is left at least of a transfer's life when it is presented, seconds; missing for vouchers, which do not end. */
  readonly validSeconds?: number;
  /** By Permit2: the proxy that may move the tokens. */
  readonly spender?: string;
  /** By upto: the account that may say how much is charged. */
  readonly facilitator?: string;
  /** By Permit2: what goes with each payment, because the token's owner has not approved Permit2 yet. */
  readonly approval?: Approval;
}

/** How Permit2 is approved: by an EIP-2612 permit, or by a transaction that its owner signs and others send. */
export interface Approval {
  readonly kind: "eip2612" | "erc20";
  /** Of the token's permits, or of the owner's transactions. */
  readonly nonce: number;
  /** Of the transaction, wei; 0 for a permit. */
  readonly maxFeePerGas: number;
  readonly maxPriorityFeePerGas: number;
  /** What a transaction approves at least, atomic units; what the payment needs when that is more. */
  readonly atLeastAtomic: number;
}

/** An offer whose tag was right; its channel id was recomputed by the host, not read from the message. */
export interface Offer {
  /** Rises with every offer of a gateway to this device; an older one is ignored. */
  readonly revision: number;
  /** 0x and 64 lower-case hex digits. */
  readonly channelId: string;
  readonly terms: Terms;
  /** What is metered: "mWh", "s", "request", "byte". */
  readonly unit: string;
  /** Money per purchase, atomic units. */
  readonly quantumAtomic: number;
  /** Atomic units per million metered units (mWh: per kWh). */
  readonly pricePerMillionUnits: number;
  /** Deposited in the channel, or promised to be at the next payment. */
  readonly balance: number;
  readonly charged: number;
  readonly granted: number;
  /** The seller charges by what was used: at most what was signed, and mostly less. */
  readonly metered: boolean;
}

/** A GRANT frame whose tag was right. `refusal` null means granted. */
export interface Grant {
  readonly refusal: WireRefusal | null;
  /** First four bytes of the channel id, unsigned. */
  readonly channelTag: number;
  readonly charged: number;
  readonly granted: number;
  readonly pricePerMillionUnits: number;
  /** Unix seconds until which the price holds; 0 when not given. */
  readonly validUntilSeconds: number;
}

/** Whether a reading may be metered: suspect when its values cannot be true, stale when they are old. */
export type Quality =
  | { readonly kind: "good" }
  | { readonly kind: "suspect" | "stale"; readonly reason: string };

/** One look at the meter; null in an event when the meter gave none. */
export interface Reading {
  /** The meter's own counter, metered units, integer in 0..2^48-1. */
  readonly raw: number;
  /** Present power, milliwatts (for other units: units per hour), integer in 0..2^48-1. */
  readonly powerMilliwatts: number;
  /** What else the meter shows; the machine has no use for it. */
  readonly voltageMillivolts?: number;
  readonly currentMilliamps?: number;
  readonly frequencyMillihertz?: number;
  /** Good when absent; anything else is not metered. */
  readonly quality?: Quality;
}

/** A step of the lamp's plan: from this minute of the UTC day on, this level. */
export interface PlanStep {
  /** 0..1439 */
  readonly minuteOfDay: number;
  /** 0..100 per cent of full light. */
  readonly levelPercent: number;
}

export type Event =
  | { readonly type: "power-up"; readonly at: Moment; readonly reading: Reading | null }
  | { readonly type: "tick"; readonly at: Moment; readonly reading: Reading | null }
  | { readonly type: "link"; readonly at: Moment; readonly up: boolean }
  | { readonly type: "offer"; readonly at: Moment; readonly offer: Offer }
  | { readonly type: "offer-refused"; readonly at: Moment; readonly refusal: Refusal }
  | { readonly type: "grant"; readonly at: Moment; readonly grant: Grant }
  | { readonly type: "plan"; readonly at: Moment; readonly plan: readonly PlanStep[] }
  | {
      readonly type: "host-failed";
      readonly at: Moment;
      readonly refusal: HostRefusal;
    }
  | {
      readonly type: "host-recovered";
      readonly at: Moment;
      readonly refusal: HostRefusal;
    }
  /** Null: the load follows. */
  | { readonly type: "load"; readonly at: Moment; readonly refusal: LoadRefusal | null };

/** What a device remembers of a channel it buys on. */
export interface ChannelMark {
  readonly id: string;
  /** Atomic units, as the seller's latest answer or offer states. */
  readonly charged: number;
  /** Most that was surely signed, atomic units. */
  readonly signed: number;
  /** No rung above this was ever signed: raised and persisted before signing beyond it. On the ladder. */
  readonly reserved: number;
  readonly granted: number;
  readonly quantumAtomic: number;
}

/** What survives a power cut. Written seldom: see RESERVED_RUNGS in rungs.ts. */
export interface Checkpoint {
  readonly register: Register;
  readonly account: Account | null;
  /** The present channel first, then former ones. */
  readonly channels: readonly ChannelMark[];
  readonly budget: Budget;
}

/** Money signed today, atomic units, apart from the present channel's rungs since `signedAtStart`. */
export interface Budget {
  /** Unix day; never steps back. */
  readonly day: number;
  readonly spentBefore: number;
  /** `signed` of the present channel when the day or the channel began. */
  readonly signedAtStart: number;
  /** Whose budget this is, where a device may pay with several tokens: the token's CAIP-19 name. */
  readonly token?: string;
  /** What was signed in the others, the latest left first. */
  readonly others?: readonly OtherBudget[];
}

/** The budget of a token that is not paid with at present. */
export interface OtherBudget {
  /** Its CAIP-19 name; empty: the sum of what was signed before tokens were told apart, which counts for each. */
  readonly token: string;
  readonly day: number;
  /** Atomic units that may have been signed on that day. */
  readonly spent: number;
}

/** One payment to be signed and published. */
export interface Payment {
  readonly channelId: string;
  readonly terms: Terms;
  /** Cumulative, after this payment. */
  readonly maxClaimable: number;
  /** This payment's own money: maxClaimable less what was charged before. */
  readonly amountAtomic: number;
  readonly register: number;
  /** True when the same rung was published before. */
  readonly again: boolean;
}

/** What the outside may know of the device; published as retained `state`. */
export interface Report {
  readonly register: number;
  readonly credit: number;
  readonly powerMilliwatts: number;
  readonly levelPercent: number;
  readonly wantedPercent: number;
  /** True while the lamp should shine, and credit keeps it from it. */
  readonly starved: boolean;
  readonly refusal: Refusal | null;
  readonly channelId: string | null;
  readonly charged: number;
  readonly maxClaimable: number;
  readonly granted: number;
  readonly epoch: number;
}

/** Carried out in the order given; a failed `persist` forbids the effects behind it. */
export type Effect =
  | { readonly type: "persist"; readonly checkpoint: Checkpoint }
  | { readonly type: "lamp"; readonly levelPercent: number }
  | { readonly type: "pay"; readonly payment: Payment }
  | { readonly type: "hello" }
  | { readonly type: "report"; readonly report: Report }
  | { readonly type: "reading"; readonly register: number; readonly powerMilliwatts: number }
  /** Wake the machine with a tick at this monotonic time; replaces the wake before. */
  | { readonly type: "wake"; readonly atMs: number };
