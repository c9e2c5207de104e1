/**
 * A lamp and its meter on the fast path, without faults.
 *
 * Promise: energy, lit time and counter are the lamp model's (city/lamp-model.ts), to the last bit.
 */
import { energyMilliwattHours } from "#core/units";
import type { Site } from "../surroundings/simulated-site.ts";

export class FastMeter {
  /** 0..100 per cent. */
  level = 0;
  /** Delivered until the latest `integrate`. */
  energyMilliwattHours = 0;
  /** Delivered when the meter was read last. */
  energyWhenRead = 0;
  litMs = 0;
  readonly #site: Site;
  #sinceMs = 0;
  #startedAtMs = Number.NEGATIVE_INFINITY;

  constructor(site: Site) {
    this.#site = site;
  }

  /** Power at the present level, higher while the lamp starts. */
  drawnMilliwatts(atMs: number): number {
    const { lamp } = this.#site;
    const steady = (lamp.ratedMilliwatts * this.level) / 100;
    return atMs - this.#startedAtMs < lamp.startUpMs ? (steady * lamp.startUpPermille) / 1000 : steady;
  }

  integrate(nowMs: number): void {
    const sinceMs = this.#sinceMs;
    const startUpEnds = Math.min(nowMs, Math.max(sinceMs, this.#startedAtMs + this.#site.lamp.startUpMs));
    this.energyMilliwattHours +=
      energyMilliwattHours(this.drawnMilliwatts(sinceMs), startUpEnds - sinceMs) +
      energyMilliwattHours(this.drawnMilliwatts(startUpEnds), nowMs - startUpEnds);
    if (this.level > 0) this.litMs += nowMs - sinceMs;
    this.#sinceMs = nowMs;
  }

  setLevel(level: number, nowMs: number): void {
    this.integrate(nowMs);
    if (this.level === 0 && level > 0) this.#startedAtMs = nowMs;
    this.level = level;
  }

  /** The counter as the meter shows it, mWh in whole steps of its resolution. */
  read(nowMs: number): number {
    this.integrate(nowMs);
    this.energyWhenRead = this.energyMilliwattHours;
    const { resolutionUnits: resolutionMilliwattHours } = this.#site.meter;
    const shown = this.#site.meterInitial + this.energyMilliwattHours;
    return Math.floor(shown / resolutionMilliwattHours) * resolutionMilliwattHours;
  }
}
