/**
 * What a device's owner wants of sellers that sign their terms, and what the device remembers of them.
 *
 * Promise: nothing here but shapes and their bounds.
 */
import type { Acknowledged } from "#market/judge";

export interface MarketRules {
  /** An offer that names no signed terms is refused. */
  readonly isRequired: boolean;
  /** That may sign beside the payee: addresses in lower case. */
  readonly keys: readonly string[];
  /** Between two receipts of use that it countersigns; 0: only one of a seller that broke its terms. */
  readonly receiptEveryMs: number;
  /** What its meter showed at two receipts in a row is signed as a document of its own, in units of 1 mWh. */
  readonly signsMeterDocuments?: boolean;
}

export interface MarketMemory {
  /** Payees that granted less than they had signed: nothing more is signed to them. */
  readonly broken: readonly string[];
  /** What it countersigned last on each channel: later receipts may state no less. */
  readonly acknowledged: readonly Acknowledged[];
  /** Meter documents that were numbered: a number is stored before it is used. */
  readonly documents: number;
}

export const NOTHING_KNOWN: MarketMemory = { broken: [], acknowledged: [], documents: 0 };

/** Payees, and channels, that are remembered; beyond, the oldest is forgotten. */
export const REMEMBERED_MAX = 64;

/** Durable. */
export interface MarketStore {
  load(): MarketMemory;
  /** Throws when it cannot be stored: then nothing is signed on it. */
  store(memory: MarketMemory): void;
}

/** How far a seller's clock and the device's may be apart. */
export const CLOCKS_APART_SECONDS = 900;
