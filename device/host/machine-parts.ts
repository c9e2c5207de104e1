/**
 * What a machine's host is made of, and what it counts: the ports of one device on any platform.
 *
 * Promise: nothing here but shapes; machine-host.ts joins them.
 */
import type { Effect, Event } from "#core/events";
import type { Settings, State, Step } from "#core/machine";
import type { Almanac, Clock, Journal, Lamp, Link, Meter, Random, Signer } from "#core/ports";
import type { Tagger } from "#protocol/tag";
import type { Opened } from "./inbox.ts";

/** What a device says of itself when it enrols. */
export interface Description {
  readonly model: string;
  readonly firmware: string;
  readonly meter: string;
  readonly unit: string;
  /** What one purchase should last for, metered units. */
  readonly wantedUnits: number;
  /** CAIP-19 names of what it may pay with, a space between two; absent on boards, which know one. */
  readonly pays?: string;
  /** The seller that it buys from now, 0x and 40 hex digits; absent: from any. Read at each hello, as it may change. */
  readonly payee?: string;
}

/** What a device that signs ahead has in store. */
interface LadderReport {
  readonly ladderRungs: number;
  /** Time that these keep the lamp lit at full light, at the present price. */
  readonly ladderMinutes: number;
}

export interface MachineParts {
  readonly settings: Settings;
  /** The machine: what comes of an event. */
  readonly step: (state: State, event: Event) => Step;
  /** Compressed, 0x and 66 hex digits. */
  readonly publicKey: string;
  readonly tagger: Tagger;
  /** Checks one message of the gateway; answers at once or later, once or never. */
  readonly open: (leaf: string, payload: Uint8Array, take: (opened: Opened) => void) => void;
  /** Its wall clock is the lamp plan's; simulated lights live in a simulated day. */
  readonly clock: Clock;
  /** Unix seconds as the chain counts them, for exact authorizations; null while unknown. */
  readonly chainSeconds: () => number | null;
  readonly random: Random;
  readonly meter: Meter;
  readonly lamp: Lamp;
  readonly journal: Journal;
  /** A link that is up already says so as soon as it is asked for changes. */
  readonly link: Link;
  readonly almanac: Almanac;
  readonly describe: Description;
  readonly signer: Signer;
  /** What is wrong with a part and how to mend it, in one line; sent with every state. */
  readonly trouble?: (() => string | null) | undefined;
  /** Sent with every state. */
  readonly ladder?: () => LadderReport | null;
  /** Called at every step before its effects are carried out. */
  readonly observe?: ((event: Event, effects: readonly Effect[], state: State) => void) | undefined;
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
