/**
 * What a host is made of, and what it shows: the ports of one device, its counters, its one command.
 *
 * Promise: nothing here but shapes; host.ts joins them.
 */
import type { Effect, Event } from "#core/events";
import type { Settings, State } from "#core/machine";
import type { Almanac, Clock, Journal, Lamp, Link, Meter, Random, Signer } from "#core/ports";
import type { Key } from "#payment/key";

/** What a device says of itself when it enrols. */
export interface Description {
  readonly model: string;
  readonly firmware: string;
  readonly meter: string;
  readonly unit: string;
  /** What one purchase should last for, metered units. */
  readonly wantedUnits: number;
}

/** A link that says goodbye: `close` resolves when what was published is delivered or given up. */
export interface HostLink extends Link {
  close(): Promise<void>;
}

export interface HostParts {
  readonly settings: Settings;
  readonly key: Key;
  /** Compressed, 33 bytes. */
  readonly gatewayPublicKey: Uint8Array;
  /** Its wall clock is the lamp plan's; simulated lights live in a simulated day. */
  readonly clock: Clock;
  /** Unix seconds as the chain counts them, for exact authorizations; null while unknown. */
  readonly chainSeconds: () => number | null;
  readonly random: Random;
  readonly meter: Meter;
  readonly lamp: Lamp;
  readonly journal: Journal;
  /** A link that is up already says so as soon as it is asked for changes. */
  readonly link: HostLink;
  readonly almanac: Almanac;
  readonly describe: Description;
  /** What is wrong with a part and how to mend it, in one line; told with every state. */
  readonly trouble?: () => string | null;
  /** Signs with `key` in memory when absent. */
  readonly signer?: Signer;
  /** Told of every step before its effects are carried out. */
  readonly observe?: (event: Event, effects: readonly Effect[], state: State) => void;
}

/** Things that happened since the start, each a count. */
export interface HostCounters {
  /** PAY frames of a new rung. */
  published: number;
  /** PAY frames of a rung sent before. */
  resent: number;
  /** Payments not sent: the store failed before them, the signer failed, or the chain's time is unknown. */
  heldBack: number;
  /** Messages whose tag was wrong. */
  foreign: number;
  /** Messages of the gateway that broke their form. */
  malformed: number;
  /** Messages refused because too many were waiting. */
  dropped: number;
  failedStores: number;
  failedSignatures: number;
}

export interface Host {
  /** The machine's present state. */
  state(): State;
  readonly counters: Readonly<HostCounters>;
  /**
   * Lamp to its unpaid level, last checkpoint stored, farewell state published, link closed.
   * Rejects, after all that, when the checkpoint could not be stored.
   */
  stop(): Promise<void>;
}
