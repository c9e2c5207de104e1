/**
 * What is on one site of a world: a lamp, a meter that may fail, a plan and a budget, drawn from chance.
 *
 * Promise: energy delivered is the lamp model's exact integral; the meter's faults change what is read of
 * it and nothing else.
 */
import type { PlanStep, Reading } from "#core/events";
import { plannedLevel } from "#core/lamp";
import type { Settings } from "#core/machine";
import type { Lamp, Meter } from "#core/ports";
import { smallestQuantum } from "#hardware/charger/limits/smallest-quantum";
import { machineSettingsOf } from "#hardware/charger/settings";
import { METER_TYPES } from "../../city/lamp-model.ts";
import { type Draw, pick } from "../../city/random.ts";
import type { Drive } from "../../profiles/driving/drive.ts";
import { type Equipment, loadOf, type Profile, type SimulatedLoad } from "../../profiles/profile.ts";
import { STREETLIGHT } from "../../profiles/streetlight.ts";
import type { Faults } from "../engine/faults.ts";
import { policyWithin } from "../engine/world-terms.ts";
import type { LoadParts, SiteLoad } from "./site-load.ts";

export interface Site extends Equipment {
  readonly profile: Profile;
  readonly settings: Settings;
  /** What one purchase should bring, units. */
  readonly wantedUnits: number;
}

/** Atomic units per kWh, and what lights refuse to pay more than. */
export const PRICE = 200_000;
const PRICE_CEILING = 400_000;
export const QUANTUM_MAX_ATOMIC = 5000;

const WATTS = [30, 40, 60, 90, 120] as const;
const WANTED_MINUTES = 10;
/** A menu's nearest quantum, at a price that rose, is still above the smallest that keeps a charge point to what is paid. */
const CHARGER_QUANTA = 2;
const CHARGER_LOW_MARK = 1500;
const DAILY_BUDGET_ATOMIC = 2_000_000;
/** Enough for a part of a night. */
const TIGHT_BUDGET_ATOMIC = 60_000;
const TIGHT_SHARE = 0.1;
/** Three looks: a device that had taken a wrong counter for a new meter takes it back. */
const DOUBT_MS = 20 * 60_000;
const ROLL_OVER_AT = 10_000_000_000;

/** In a world an hour of a typical device costs what one of a typical lamp does, whatever its unit. */
const TYPICAL_LAMP_MILLIWATTS = 60_000;

/** The prices of a world whose devices are of one profile, atomic units per million units. */
export function pricesOf({ typicalUnitsPerHour }: Profile): {
  readonly price: number;
  readonly ceiling: number;
} {
  const scale = TYPICAL_LAMP_MILLIWATTS / typicalUnitsPerHour;
  return { price: Math.round(PRICE * scale), ceiling: Math.round(PRICE_CEILING * scale) };
}

export function drawSite(draw: Draw, faults: Faults, profile: Profile = STREETLIGHT): Site {
  const drawn = 1000 * pick(WATTS, draw);
  const tight = draw() < TIGHT_SHARE;
  const meter = pick(METER_TYPES, draw);
  const rolls = faults.severity("meter-roll-over") > 0 && draw() < 0.5;
  const plan = drawPlan(draw);
  const lamp = {
    lamp: {
      ratedMilliwatts: drawn,
      startUpPermille: 1000 + Math.round(150 * draw()),
      startUpMs: Math.round(500 + 2500 * draw()),
      powerFactorPermille: 900,
    },
    meter: rolls ? { ...meter, rollOverAt: ROLL_OVER_AT } : { ...meter, rollOverAt: 0 },
    meterInitial: rolls ? ROLL_OVER_AT - Math.floor(400_000 * draw()) : Math.floor(5_000_000 * draw()),
    almanac: { plan: () => plan },
  };
  const equipment = profile.equip(lamp, draw);
  const { ratedMilliwatts } = equipment.lamp;
  return {
    ...equipment,
    meter: lamp.meter.rollOverAt === 0 ? equipment.meter : { ...equipment.meter, rollOverAt: ROLL_OVER_AT },
    meterInitial: rolls ? lamp.meterInitial : equipment.meterInitial,
    profile,
    ...wantsOf(profile, ratedMilliwatts, {
      policy: policyWithin({
        unit: profile.goods.unit,
        priceCeiling: pricesOf(profile).ceiling,
        quantumMaxAtomic: QUANTUM_MAX_ATOMIC,
        dailyBudgetAtomic: tight ? TIGHT_BUDGET_ATOMIC : DAILY_BUDGET_ATOMIC,
      }),
      meter: { rollOverAt: rolls ? ROLL_OVER_AT : 0, powerMaxMilliwatts: 2 * ratedMilliwatts },
      ratedMilliwatts,
      lowMarkPermille: 600,
      retry: { firstMs: 2000, maxMs: 60_000 },
      tickMs: 300_000,
      readingMs: 1_800_000,
      signsOnDemand: true,
      levelWithoutClock: 100,
    }),
  };
}

/** What one purchase should bring, and what the machine's settings are for the load. */
function wantsOf(
  { charger }: Profile,
  ratedMilliwatts: number,
  settings: Settings,
): Pick<Site, "settings" | "wantedUnits"> {
  if (charger === undefined)
    return { wantedUnits: Math.round((ratedMilliwatts * WANTED_MINUTES) / 60), settings };
  return {
    wantedUnits: CHARGER_QUANTA * smallestQuantum(charger.times),
    settings: { ...settings, ...machineSettingsOf(charger, settings), lowMarkPermille: CHARGER_LOW_MARK },
  };
}

/** Lit from the world's beginning at 16:00 UTC until after its end in the morning; some dim in between. */
function drawPlan(draw: Draw): PlanStep[] {
  const dimmed = draw() < 2 / 3 ? 50 + 10 * Math.floor(3 * draw()) : 100;
  return [
    { minuteOfDay: 5 * 60, levelPercent: 100 },
    { minuteOfDay: 7 * 60 + Math.floor(10 * draw()), levelPercent: 0 },
    { minuteOfDay: 15 * 60 + 50 + Math.floor(40 * draw()), levelPercent: 100 },
    { minuteOfDay: 22 * 60, levelPercent: dimmed },
  ];
}

/** The site's lamp and meter, as they are and as the meter shows it. */
export class SiteMeter implements SiteLoad, Lamp, Meter {
  readonly isBound = true;
  readonly disobeys = false;
  readonly isNamed = false;
  readonly isAccused = false;
  /** The relay is closed. */
  isLit = false;
  /** The level that the lamp really has, 0..100 per cent. */
  levelPercent = 0;
  private readonly site: Site;
  private readonly model: SimulatedLoad;
  private readonly faults: Faults;
  private readonly rollOverAt: number;
  private base = 0;
  private stuck: Reading | null = null;
  private spikeUnits = 0;
  private isSilent = false;
  private lastRaw = -1;
  private resetUnseen = false;
  /** It began again at zero where no device could see it: what it had counted is unknown. */
  hidReset = false;
  private doubtedUntilMs = 0;
  private readonly nowMs: () => number;

  constructor(site: Site, faults: Faults, draw: Draw, nowMs: () => number) {
    this.site = site;
    this.model = loadOf(site, draw, nowMs);
    this.rollOverAt = site.meter.rollOverAt;
    this.nowMs = nowMs;
    this.faults = faults;
  }

  /** Where the device moves. */
  get drive(): Drive | undefined {
    return this.model.drive;
  }

  open(): LoadParts {
    return { meter: this, lamp: this, almanac: this.site.almanac, observe: () => {} };
  }

  left(): void {
    // Without its process it stays as it is.
  }

  cutPower(): void {
    this.set(0);
  }

  end(): void {
    this.set(0);
  }

  trouble(): void {
    // Its faults are those of the meter, which are scheduled for all.
  }

  wantedPercent(wallSeconds: number): number {
    return plannedLevel(this.site.almanac.plan(wallSeconds), wallSeconds);
  }

  set(levelPercent: number): void {
    this.isLit = levelPercent > 0;
    this.levelPercent = levelPercent;
    this.model.set(levelPercent);
  }

  /** From now on, leads this share of the power around the meter; 0..1000 thousandths. */
  bypass(permille: number): void {
    this.model.bypass(permille);
  }

  /** Delivered since the beginning, units. */
  deliveredUnits(): number {
    return this.model.deliveredUnits();
  }

  /** What of it went through the meter: all, unless its owner led a wire around it. */
  meteredUnits(): number {
    return this.model.meteredUnits();
  }

  read(done: (reading: Reading | null) => void): void {
    if (this.isSilent) {
      this.faults.fired("meter-silent");
      done(null);
      return;
    }
    if (this.stuck !== null) {
      this.faults.fired("meter-stuck");
      done(this.stuck);
      return;
    }
    const { raw, powerMilliwatts } = this.now();
    if (this.rollOverAt > 0 && raw < this.lastRaw) this.faults.fired("meter-roll-over");
    this.lastRaw = raw;
    if (this.spikeUnits > 0) this.faults.fired("meter-spike");
    else this.resetUnseen = false;
    done({ raw: raw + this.spikeUnits, powerMilliwatts });
  }

  /** The counter begins again at zero; false for meters that roll over, which keep theirs in this world. */
  reset(): boolean {
    if (this.rollOverAt > 0) return false;
    this.faults.fired("meter-reset");
    this.resetUnseen = true;
    this.hidReset ||= this.isHiding;
    this.base += this.now().raw;
    return true;
  }

  /** Shows what it shows now, whatever is used. */
  stick(): void {
    this.hidReset ||= this.resetUnseen;
    this.stuck = this.now();
  }

  silence(): void {
    this.hidReset ||= this.resetUnseen;
    this.isSilent = true;
  }

  /** Shows another counter than its own, or did until so lately that a device still looks at it askance. */
  get isWrong(): boolean {
    return this.spikeUnits > 0 || this.stuck !== null || this.nowMs() < this.doubtedUntilMs;
  }

  spike(units: number): void {
    this.hidReset ||= this.resetUnseen;
    this.spikeUnits = units;
  }

  heal(): void {
    if (this.isWrong) this.doubtedUntilMs = this.nowMs() + DOUBT_MS;
    this.stuck = null;
    this.isSilent = false;
    this.spikeUnits = 0;
  }

  private get isHiding(): boolean {
    return this.isSilent || this.stuck !== null || this.spikeUnits > 0;
  }

  private now(): Reading {
    let seen: Reading = { raw: 0, powerMilliwatts: 0 };
    this.model.read((reading) => {
      seen = reading ?? seen;
    });
    return { raw: seen.raw - this.base, powerMilliwatts: seen.powerMilliwatts };
  }
}
