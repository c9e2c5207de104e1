/**
 * What the core asks of a platform. Each host supplies these; nothing else touches the outside.
 */
import type { Checkpoint, PlanStep, Reading, Terms } from "./events.ts";
import type { LoadRefusal } from "./refusal.ts";

/** Time. A timer fires at most once; a host keeps one. */
export interface Clock {
  /** Monotonic milliseconds. */
  nowMs(): number;
  /** Unix seconds, fractions allowed; null while not trusted. */
  wallSeconds(): number | null;
  /** Calls back at a monotonic time, or as soon after as can be; returns the cancellation. */
  at(ms: number, wake: () => void): () => void;
}

/** Uniform numbers in 0..1; jitter only, never secrets. */
export type Random = () => number;

/** The meter. */
export interface Meter {
  /** Reads the counter and power; null when the meter gave no answer in time. */
  read(done: (reading: Reading | null) => void): void;
}

/** The load, which was a lamp first: a relay, a dimmer, or whatever else can be held to a share of its rated power. */
export interface Lamp {
  /** @param levelPercent 0 (relay open) to 100 */
  set(levelPercent: number): void;
  /**
   * Called with one line when the light does not follow, and with null when it does again. A lamp that cannot fail
   * has none; one that does goes on trying the newest level by itself.
   */
  onTrouble?(take: TakeTrouble): void;
}

/** @param refusal what the trouble is to whoever hears of the device; "lamp-failed" when absent */
export type TakeTrouble = (trouble: string | null, refusal?: LoadRefusal) => void;

/** Durable memory for one checkpoint. */
export interface Journal {
  /** The latest checkpoint that was stored whole; null for a new-born device. */
  load(): Checkpoint | null;
  /** Calls back when the checkpoint would survive a power cut, with an error text when it would not. */
  store(checkpoint: Checkpoint, done: (error: string | null) => void): void;
}

/** What one payment's signature covers. */
export interface SigningRequest {
  readonly terms: Terms;
  readonly channelId: string;
  readonly maxClaimable: number;
  readonly amountAtomic: number;
  /** Unix seconds until which an authorization (exact, upto) may be used; 0 for vouchers. */
  readonly validBeforeSeconds: number;
}

/** Signs; holds the device's only key. Calls back with 65 bytes r, s, v, behind them an approval that terms ask for; or null. */
export interface Signer {
  sign(request: SigningRequest, done: (signature: Uint8Array | null) => void): void;
}

/** HMAC-SHA256, 32 bytes. */
export type Hmac = (key: Uint8Array, message: Uint8Array) => Uint8Array;

/** The connection to a broker, already bound to one device's topics. */
export interface Link {
  publish(leaf: string, payload: Uint8Array, retained: boolean): void;
  onMessage(take: (leaf: string, payload: Uint8Array) => void): void;
  onChange(take: (up: boolean) => void): void;
}

/** The load's plan for the day that a wall-clock time falls in. */
export interface Almanac {
  plan(wallSeconds: number): readonly PlanStep[];
  /** Called when the plan of the day that has begun is another one. Missing where a day has one plan, and on boards. */
  onChange?(take: () => void): void;
}
