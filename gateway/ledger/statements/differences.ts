/**
 * What a reconciliation is made of, and what it finds.
 *
 * Promise: a difference names who differs, both values and what they mean; who could not be asked is named too.
 */
import type { Chain, ChannelRecord, SellerCounters } from "../../purchase/ports.ts";
import type { Escrow } from "../../treasury/escrow.ts";
import type { Receipts } from "../../treasury/receipts.ts";
import type { LedgerStore } from "../store.ts";

export interface Difference {
  readonly device: string;
  readonly channel: string;
  /** Between whom, as "ledger row 296600" or "ledger and chain". */
  readonly where: string;
  readonly expected: string;
  readonly found: string;
  readonly meaning: string;
}

/** What a seller is owed in one token by the ledger, and what it took on chain: claims on channels, transfers by exact. */
export interface SellerTotals {
  readonly seller: string;
  /** CAIP-19 */
  readonly token: string;
  readonly chargedAtomic: number;
  readonly takenAtomic: number;
}

export interface Reconciliation {
  readonly channels: number;
  readonly sellers: readonly SellerTotals[];
  readonly payments: number;
  readonly differences: readonly Difference[];
  /** Who could not be asked, and why: their counters were not compared. */
  readonly unasked: readonly string[];
}

export interface ReconcileParts {
  readonly ledger: LedgerStore;
  /** A seller's counters of a channel; null when unknown; "none": it keeps none to ask for, the chain has them. */
  readonly sellerCounters: (channel: ChannelRecord) => Promise<SellerCounters | "none" | null>;
  /** By CAIP-2 network; null when none is configured. */
  readonly nodeOf: (network: string) => ChainNode | null;
  readonly treasury: string;
}

/** What a chain is asked. */
export interface ChainNode {
  readonly chain: Chain;
  readonly receipts: Receipts;
  readonly escrow: Escrow;
}

export type Differ = (where: string, expected: string, found: string, meaning: string) => void;
