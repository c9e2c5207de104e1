/**
 * What every meter driver is to the rest of the light, and what it is given.
 *
 * Promise: a driver opens at once and never throws afterwards: a part that is missing, silent or wrong
 * shows in the quality of its readings, with the remedy in the reason, and it recovers by itself.
 */
import type { Quality, Reading } from "#core/events";
import type { Clock, Meter } from "#core/ports";
import type { SimulatedLamp } from "../lamps/simulated-lamp.ts";

export interface MeterDriver extends Meter {
  /** What it is, as gateways read it: "sdm120"; at most 64 characters. */
  readonly name: string;
  /** Where it is wired, as "slave 1 on /dev/ttyUSB0". */
  readonly location: string;
  /**
   * Where `raw` wraps to 0, mWh; 0 when it never does. It is the machine's `MeterLimits.rollOverAt`
   * unless the owner configured another.
   */
  readonly rollOverAt: number;
  /** Of the latest reading; stale before the first reading. */
  quality(): Quality;
  /** What is worth knowing and no fault, one line each: a coarse counter, a gap that was filled. */
  notes(): readonly string[];
  /** Looks further, once, when nothing was found: one line on what answers instead, or null. */
  search?(): Promise<string | null>;
  /** Releases port, children and counter; what was counted is stored first. */
  close(): Promise<void>;
}

/** What a driver needs of the light that it is in. */
export interface MeterContext {
  readonly clock: Clock;
  /** Most that the supply can carry, milliwatts: readings above it are refused. */
  readonly powerMaxMilliwatts: number;
  /** Where meters that forget at power-off keep their counter; null keeps it in memory, for a look only. */
  readonly stateDirectory: string | null;
  /** Where the kernel shows its devices: "/sys", or a tree in its place. */
  readonly sysfsRoot: string;
  /** The lamp that a simulated meter meters; null when the lamp is a real one. */
  readonly simulatedLamp: SimulatedLamp | null;
}

/** A reading that is not metered, and why. */
export function doubted(kind: "suspect" | "stale", reason: string, last: Reading | null): Reading {
  const { raw, powerMilliwatts } = last ?? { raw: 0, powerMilliwatts: 0 };
  return { raw, powerMilliwatts, quality: { kind, reason } };
}
