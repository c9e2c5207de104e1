/**
 * What outlasts a light's process: a disk with a journal on it, or an Espruino board's flash.
 *
 * Promise: what is kept outlasts a power cut as the real part's does; what a light makes of it is the light's own code.
 */
import type { State } from "#core/machine";
import type { Journal, Signer } from "#core/ports";
import type { KeptFile } from "#hardware/charger/metering/kept-charger";
import type { ProcessLifetime } from "../engine/process-lifetime.ts";

/** What recovery made of a memory, once, again, and after having been interrupted. */
export interface Recovered {
  readonly once: string;
  readonly again: string;
  readonly interrupted: string;
}

/** A memory as one process has it. */
export interface OpenMemory {
  readonly journal: Journal;
  readonly signer: Signer;
  /** A small file beside the journal, written over as a whole. @throws on a board, which has none */
  file(path: string): KeptFile;
  /** Called with the device's state after each of its steps. */
  follow(state: State): void;
}

export interface Memory {
  /** Called when something was written that a power cut could undo. */
  onUnsynced: () => void;
  /** Throws why a light cannot start on it. @param touched called at every call that may change something */
  open(life: ProcessLifetime, touched: () => void): OpenMemory;
  /** Recovery tried on copies. */
  recover(): Recovered;
  /** The power goes while the present write is under way, or so soon after it. @param cut does the rest */
  failWithin(ms: number, cut: () => void): void;
  cutPower(): void;
  /** Remembers itself as it is, for `becomeOldImage`. */
  takeImage(): void;
  /** It is replaced by a copy of itself from some time ago; false when there is none. */
  becomeOldImage(): boolean;
  /** Flips one bit; false when there is none. */
  flipBit(): boolean;
}
