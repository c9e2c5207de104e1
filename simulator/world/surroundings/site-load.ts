/**
 * What stands on a site of a world beside the device: a load and its meter, which fail, and which go on without the device
 * as the real ones do.
 *
 * Promise: what is asked of the load itself is physics, never what a program believes.
 */
import type { State } from "#core/machine";
import type { Almanac, Clock, Lamp, Meter } from "#core/ports";
import type { OfferWish } from "#node/host-parts";
import type { Drive } from "../../profiles/driving/drive.ts";
import type { ProcessLifetime } from "../engine/process-lifetime.ts";
import type { OpenMemory } from "./memory.ts";

/** The load as one process of the device has it. */
export interface LoadParts {
  readonly meter: Meter;
  readonly lamp: Lamp;
  readonly almanac: Almanac;
  readonly offerWish?: OfferWish;
  /** Called with each state of the machine. */
  observe(state: State): void;
}

export interface SiteLoad {
  /** Where the device moves. */
  readonly drive?: Drive | undefined;
  /** Something is delivered now. */
  readonly isLit: boolean;
  /** The level that the load really has, 0..100 per cent. */
  readonly levelPercent: number;
  /** Its meter shows another counter than its own, or did until so lately that a device still looks at it askance; or what it counted is not stored yet. */
  readonly isWrong: boolean;
  /** Its meter began again at zero where no device could see it: what it had counted is unknown. */
  readonly hidReset: boolean;
  /** It keeps to the device's limits: E2 bounds what it delivers. */
  readonly isBound: boolean;
  /** It breaks limits that it confirmed, and a device has to find that out; and whether the present one has. */
  readonly disobeys: boolean;
  readonly isNamed: boolean;
  /** The device says that it breaks its limits. */
  readonly isAccused: boolean;
  /** What it would take now if it were paid for, 0..100 per cent: L1. */
  wantedPercent(wallSeconds: number): number;
  /** Delivered since the beginning, units. */
  deliveredUnits(): number;
  /** What of it went through the meter: all, unless its owner led a wire around it. */
  meteredUnits(): number;
  /** From now on, leads this share of the power around the meter; 0..1000 thousandths. */
  bypass(permille: number): void;

  /** @throws why the device cannot start with it */
  open(life: ProcessLifetime, clock: Clock, memory: OpenMemory): LoadParts;
  /** The device's process is gone. */
  left(): void;
  /** The device's power is gone. */
  cutPower(): void;
  /** The site's fuse is out: nothing is delivered any more. */
  end(): void;

  /** Its own faults strike until a time. */
  trouble(untilMs: number): void;
  /** The meter shows what it shows now, whatever is used. */
  stick(): void;
  silence(): void;
  /** The meter shows more than it counted. */
  spike(units: number): void;
  /** The meter begins again at zero; false where it does not now. */
  reset(): boolean;
  /** What can be repaired is. */
  heal(): void;
}
