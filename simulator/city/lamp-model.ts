/**
 * A streetlight's electrics: what it draws, and what its meter shows of it.
 *
 * Promise: energy is the exact integral of a piecewise constant power, so delivered energy is known at
 * every instant whether or not anybody looks; the meter rounds it down to its own resolution.
 */
import type { Reading } from "#core/events";
import type { Lamp, Meter } from "#core/ports";
import { energyMilliwattHours } from "#core/units";

export interface LampType {
  /** Power at full light, milliwatts. */
  readonly ratedMilliwatts: number;
  /** Thousandths of the rated power drawn while starting up, and for how long. */
  readonly startUpPermille: number;
  readonly startUpMs: number;
  /** Active over apparent power, thousandths: what the meter's current would show. */
  readonly powerFactorPermille: number;
}

export interface MeterType {
  readonly name: string;
  /** Step of the meter's counter, mWh. */
  readonly resolutionUnits: number;
  /** Counter value that wraps to 0, mWh; 0 when it never does. */
  readonly rollOverAt: number;
}

/** The meters of the fleet, by data sheet: INA228 counts finely, Modbus meters by the watt-hour. */
export const METER_TYPES: readonly MeterType[] = [
  { name: "INA228", resolutionUnits: 1, rollOverAt: 0 },
  { name: "SDM120", resolutionUnits: 10, rollOverAt: 0 },
  { name: "PZEM-004T v3", resolutionUnits: 1000, rollOverAt: 10_000_000_000 },
];

export class LampModel implements Lamp, Meter {
  private readonly lamp: LampType;
  private readonly meter: MeterType;
  private readonly nowMs: () => number;
  private readonly initialMilliwattHours: number;
  private level = 0;
  private sinceMs = 0;
  private energy = 0;
  private metered = 0;
  private bypassedPermille = 0;
  private litMs = 0;
  private startedAtMs = Number.NEGATIVE_INFINITY;

  /** @param initialMilliwattHours what the meter's counter had on it before */
  constructor(lamp: LampType, meter: MeterType, initialMilliwattHours: number, nowMs: () => number) {
    this.lamp = lamp;
    this.meter = meter;
    this.initialMilliwattHours = initialMilliwattHours;
    this.nowMs = nowMs;
  }

  /** Energy delivered since the beginning, mWh, exact but for double rounding. */
  deliveredUnits(): number {
    this.integrate();
    return this.energy;
  }

  /** What of it went through the meter, mWh: all, unless somebody led a wire around it. */
  meteredUnits(): number {
    this.integrate();
    return this.metered;
  }

  /** From now on, leads this share of the power around the meter; 0..1000 thousandths. */
  bypass(permille: number): void {
    this.integrate();
    this.bypassedPermille = permille;
  }

  /** Time lit so far, simulated milliseconds. */
  lit(): number {
    this.integrate();
    return this.litMs;
  }

  set(levelPercent: number): void {
    this.integrate();
    if (this.level === 0 && levelPercent > 0) this.startedAtMs = this.sinceMs;
    this.level = levelPercent;
  }

  read(done: (reading: Reading | null) => void): void {
    const shown = this.initialMilliwattHours + this.meteredUnits();
    const { resolutionUnits: resolutionMilliwattHours, rollOverAt } = this.meter;
    const stepped = Math.floor(shown / resolutionMilliwattHours) * resolutionMilliwattHours;
    const raw = rollOverAt > 0 ? stepped % rollOverAt : stepped;
    const powerMilliwatts = this.powerMilliwatts(this.sinceMs) * (1 - this.bypassedPermille / 1000);
    done({ raw, powerMilliwatts: Math.round(powerMilliwatts) });
  }

  private powerMilliwatts(atMs: number): number {
    const steady = (this.lamp.ratedMilliwatts * this.level) / 100;
    const starting = atMs - this.startedAtMs < this.lamp.startUpMs;
    return starting ? (steady * this.lamp.startUpPermille) / 1000 : steady;
  }

  /** Adds the energy since the last look: at start-up power, then at steady power. */
  private integrate(): void {
    const now = this.nowMs();
    const startUpEnds = Math.min(now, Math.max(this.sinceMs, this.startedAtMs + this.lamp.startUpMs));
    const drawn =
      energyMilliwattHours(this.powerMilliwatts(this.sinceMs), startUpEnds - this.sinceMs) +
      energyMilliwattHours(this.powerMilliwatts(startUpEnds), now - startUpEnds);
    this.energy += drawn;
    this.metered += drawn - (drawn * this.bypassedPermille) / 1000;
    if (this.level > 0) this.litMs += now - this.sinceMs;
    this.sinceMs = now;
  }
}
