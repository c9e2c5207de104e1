/**
 * What a simulated device is: a meter and a load with a plan, the unit they count in, and how that unit is sold.
 *
 * Promise: nothing behind the load knows which profile it is: machine, vouchers, gateway and reconciliation see units.
 */
import type { State } from "#core/machine";
import type { Almanac, Clock, Lamp, Meter } from "#core/ports";
import type { ChargerSettings } from "#hardware/charger/settings";
import type { OfferWish } from "#node/host-parts";
import { Watt402Error } from "#payment/watt402-error";
import type { LampType, MeterType } from "../city/lamp-model.ts";
import type { Draw } from "../city/random.ts";
import type { Goods } from "../seller/sale/goods.ts";
import type { Drive } from "./driving/drive.ts";

/** A load and the meter before it, as they are and as the meter shows it. */
export interface SimulatedLoad extends Lamp, Meter {
  /** Used since its birth, units, exact but for double rounding. */
  deliveredUnits(): number;
  /** What of it went through the meter: all, unless somebody led a wire around it. */
  meteredUnits(): number;
  /** From now on, leads this share around the meter; 0..1000 thousandths. */
  bypass(permille: number): void;
  /** Where it moves from seller to seller. */
  readonly drive?: Drive;
  /** Of one that moves: used in the region of one seller, by its number. */
  usedAt?(seller: number): number;
  /** Where it holds more than memory. */
  close?(): Promise<void>;
  /** What it knows better than its site: its plan, its settings, and what one purchase has to bring. */
  readonly own?: {
    readonly almanac: Almanac;
    readonly offerWish: OfferWish;
    readonly settings: {
      readonly ratedMilliwatts: number;
      readonly tickMs: number;
      readonly powerMaxMilliwatts: number;
    };
    /** At least this is bought at once. */
    readonly wantedUnits: number;
    /** Called with each state of the machine. */
    observe(state: State): void;
  };
}

/** A device's place in the fleet, and what stands there. */
export interface Site extends Equipment {
  readonly name: string;
  readonly profile: Profile;
  /** Uniform numbers of this site's own, for jitter. */
  readonly random: Draw;
}

/** What stands at a site. */
export interface Equipment {
  /** Its rated power in mW, or in units per hour. */
  readonly lamp: LampType;
  readonly meter: MeterType;
  /** Units on the meter when the simulation begins. */
  readonly meterInitial: number;
  readonly almanac: Almanac;
}

export interface Profile {
  readonly name: string;
  readonly goods: Goods;
  /** So many sellers of its own, each in a region of its own; when absent it buys from its unit's one. */
  readonly sellers?: number;
  /** As `watt402-simulate seller --tariff`, where a run names none: atomic units per million units. */
  readonly tariff: string;
  /** What a device's owner accepts, atomic units per million units. */
  readonly priceCeiling: number;
  /** What a typical one uses in an hour at full load: a load between the smallest and the largest. */
  readonly typicalUnitsPerHour: number;
  /** What such a device calls itself, at most 64 characters. */
  model(site: Equipment): string;
  /** What stands in a streetlight's place. */
  equip(lamp: Equipment, draw: Draw): Equipment;
  /** Quanta that the unit's seller has to sell beside the usual ones; none when absent. */
  readonly menu?: readonly number[];
  /** Money of one deposit into a device's channel; the fleet's usual when absent. */
  readonly depositAtomic?: number;
  /** Load and meter in memory, on a clock of milliseconds; null where they are to be had behind sockets alone. */
  readonly load: ((site: Equipment, draw: Draw, nowMs: () => number) => SimulatedLoad) | null;
  /** What stands there is a charge point that speaks OCPP; and what the device's settings for it are in a world. */
  readonly charger?: ChargerSettings;
  /** The same behind real sockets, for a fleet; missing where there are none. @param onWait true while an answer is due */
  open?(site: Site, clock: Clock, onWait: (waits: boolean) => void): Promise<SimulatedLoad>;
}

/** What a fleet's device meters and switches. */
export function openLoad(
  site: Site,
  clock: Clock,
  onWait: (waits: boolean) => void,
): SimulatedLoad | Promise<SimulatedLoad> {
  const { profile, random } = site;
  return profile.open?.(site, clock, onWait) ?? loadOf(site, random, () => clock.nowMs());
}

/** Load and meter in memory. Throws where the profile has none. */
export function loadOf(
  site: Equipment & { readonly profile: Profile },
  draw: Draw,
  nowMs: () => number,
): SimulatedLoad {
  const { name, load } = site.profile;
  if (load !== null) return load(site, draw, nowMs);
  throw new Watt402Error(
    "value-invalid",
    `profile ${name}: expected one that is simulated in memory, found sockets`,
  );
}
