// What the seller's rules need from the world: a store that survives, a chain, a clock.

import type { SettleResponse } from "@x402/core/types";
import type { Channel } from "@x402/evm/batch-settlement/server";
import type { Account, Answer } from "./accounts/accounts.ts";

export type { Channel, SettleResponse };

/** The tariff's time; a simulation may run it faster than the wall. */
export interface Clock {
  /** unix seconds */
  nowSeconds(): number;
}

/** A purchase that was charged: the same payment presented again gets the same answer. */
export interface StoredAnswer {
  readonly answer: Answer;
  /** signature the payment bore, lower-case hex */
  readonly signature: string;
  readonly receipt: SettleResponse;
}

/** What may be used once and was signed by `payer`: how the chain knows a payment that it has seen. */
export interface OneTimeAuthorization {
  readonly by: "eip3009" | "permit2";
  readonly payer: string;
  /** of EIP-3009 in hex, of Permit2 in decimal digits */
  readonly nonce: string;
}

/** A purchase that was paid for by a transfer of its own. */
export interface TransferPurchase {
  readonly scheme: "exact" | "upto";
  readonly payer: string;
  readonly reference: string;
  readonly signature: string;
  readonly amountAtomic: number;
  readonly receipt: SettleResponse;
  /** The buyer's own name for it, when it gave one. */
  readonly identifier?: string | undefined;
}

/** `exact`: a transfer for one purchase, by exact or by upto. */
export type TransactionKind = "deposit" | "claim" | "settle" | "exact";

/** A transaction this seller caused; the gas is learned from its receipt, maybe later. */
export interface SellerTransaction {
  readonly hash: string;
  readonly kind: TransactionKind;
  /** channels in a claim, else 1 */
  readonly channels: number;
  readonly amountAtomic: number;
  readonly gas: number | undefined;
}

export interface KindTotals {
  readonly transactions: number;
  readonly channels: number;
  readonly gas: number;
  readonly amountAtomic: number;
}

/** Durable: a promise that resolved is on disk. */
export interface AccountStore {
  account(id: string): Account | undefined;
  channel(id: string): Channel | undefined;
  channels(): Channel[];
  /** `reference`: for a channel the voucher's maxClaimable, else the authorization's nonce or the buyer's identifier. */
  answer(account: string, reference: string): StoredAnswer | undefined;
  chargeTransfer(sale: TransferPurchase): Promise<StoredAnswer>;
  /** Puts the deposit's own receipt beside the answer it paid for. */
  recordDeposit(account: string, reference: string, receipt: SettleResponse): Promise<void>;
  recordTransaction(transaction: SellerTransaction): Promise<void>;
  transactionsWithoutGas(): SellerTransaction[];
  totals(): Record<TransactionKind, KindTotals>;
  /** Takes over what the chain says of channels; `readAtMs` is the wall time just before it was read. */
  refreshChannels(states: ReadonlyMap<string, ChannelOnChain>, readAtMs: number): Promise<void>;
}

export interface ChannelOnChain {
  readonly balance: bigint;
  readonly totalClaimed: bigint;
  /** unix seconds, 0 when no withdrawal is pending */
  readonly withdrawRequestedAt: number;
  readonly refundNonce: bigint;
}

/** One channel's part in a claim: its newest charged voucher and the total to claim on it. */
export interface ClaimEntry {
  readonly channel: Channel;
  /** cumulative, at most the voucher's maximum and the channel's balance */
  readonly totalClaimedAtomic: bigint;
  /** cumulative, what the chain has claimed before */
  readonly claimedBeforeAtomic: bigint;
}

export type ClaimOutcome =
  | { readonly kind: "claimed"; readonly transaction: string; readonly gas: number }
  /** The contract would revert: at least one entry is bad. */
  | { readonly kind: "refused"; readonly reason: string }
  /** Unknown: the chain or the facilitator did not answer. */
  | { readonly kind: "unavailable"; readonly reason: string };

export interface PaymentOnChain {
  readonly transaction: string;
  readonly amountAtomic: bigint;
}

/** The seller's view of the chain; its promises reject when the chain cannot be asked. */
export interface Chain {
  readChannels(channelIds: readonly string[]): Promise<Map<string, ChannelOnChain>>;
  latestBlock(): Promise<bigint>;
  /** Channels of any seller whose payer asked to withdraw in blocks `from` to `to`. */
  withdrawalsInitiated(from: bigint, to: bigint): Promise<string[]>;
  claim(entries: readonly ClaimEntry[]): Promise<ClaimOutcome>;
  /** Claimed and not yet paid to the receiver, atomic units. */
  unsettledAtomic(): Promise<bigint>;
  settle(): Promise<{ readonly transaction: string; readonly gas: number; readonly amountAtomic: number }>;
  gasUsed(transaction: string): Promise<number>;
  /** Whether this authorization was used, or cancelled by its payer. */
  authorizationUsed(authorization: OneTimeAuthorization): Promise<boolean>;
  /**
   * What this authorization paid to the receiver, if its transaction is found.
   * @param signature as the payer gave it, lower-case hex
   * @param fits whether an amount is what it may have paid
   */
  paymentByAuthorization(
    authorization: OneTimeAuthorization,
    signature: string,
    fits: (amountAtomic: bigint) => boolean,
  ): Promise<PaymentOnChain | undefined>;
}
