/**
 * What a host on Linux is made of, and what it shows: the ports of one device, its one command.
 *
 * Promise: nothing here but shapes; host.ts joins them.
 */
import type { State } from "#core/machine";
import type { Link, Signer } from "#core/ports";
import type { Place } from "#host/credit-by-seller";
import type { HostCounters, MachineParts } from "#host/machine-parts";
import type { PricedPlan } from "#market/priced-plan";
import type { Key } from "#payment/key";
import type { WalletRulesOf } from "#payment/offer/offer";
import type { OneOffResult } from "./general/one-off-buyer.ts";
import type { OneOffOrder } from "./general/one-off-order.ts";
import type { MarketRules, MarketStore } from "./market/market-rules.ts";
import type { MeterDocuments } from "./market/meter-documents.ts";

/** A link that says goodbye: `close` resolves when what was published is delivered or given up. */
export interface HostLink extends Link {
  close(): Promise<void>;
}

export interface HostParts
  extends Omit<MachineParts, "publicKey" | "tagger" | "open" | "signer" | "ladder" | "step"> {
  readonly key: Key;
  /** Compressed, 33 bytes. */
  readonly gatewayPublicKey: Uint8Array;
  readonly link: HostLink;
  /** What may be signed from the device's own wallet; transfers by the token itself alone when absent. */
  readonly walletRules?: WalletRulesOf;
  /** Signs with `key` in memory when absent. */
  readonly signer?: Signer;
  /** Of a device that moves between sellers: then what one of them granted is good at that one alone. */
  readonly whereabouts?: Whereabouts | undefined;
  /** Of a load that cannot work at every terms. */
  readonly offerWish?: OfferWish | undefined;
  /** Its almanac, where that answers prices: then it asks its gateway for them. */
  readonly priced?: PricedPlan | null | undefined;
  /** It may buy single resources over the general transport, by exact from its own wallet, within the first policy. */
  readonly buysOnce?: boolean | undefined;
  /** It holds sellers to the terms that they have signed, and countersigns receipts of use; absent: neither. */
  readonly market?:
    | {
        readonly rules: MarketRules;
        readonly store: MarketStore;
        readonly meterDocuments?: MeterDocuments | undefined;
      }
    | undefined;
}

/** Where a device that moves is. */
export interface Whereabouts {
  now(): Place;
  /** Called when another seller's region begins, or ends: the meter is read at once, for what was used before. */
  onChange(take: () => void): void;
}

export interface OfferWish {
  /** Called when only another offer helps: the device says hello again, where its link is up. */
  onWish(take: () => void): void;
}

/** A machine that runs, on Linux or on a board. */
export interface RunningMachine {
  /** The machine's present state. */
  state(): State;
  readonly counters: Readonly<HostCounters>;
  /**
   * Lamp to its unpaid level, last checkpoint stored, farewell state published, link closed.
   * Rejects, after all that, when the checkpoint could not be stored.
   */
  stop(): Promise<void>;
}

export interface Host extends RunningMachine {
  /** Reads the meter at once, and takes a step. */
  look(): void;
  /** Buys one resource over the general transport, within the day's budget; null where the device may not. */
  readonly buyOnce: ((order: OneOffOrder) => Promise<OneOffResult>) | null;
}
