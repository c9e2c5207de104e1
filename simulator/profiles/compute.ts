/**
 * A computer's process that pays for the CPU time it uses, in milliseconds.
 *
 * Promise: work comes in portions and waits for its turn: a process that is throttled does it later, and one that is
 * stopped uses nothing. CPU time is the exact integral of a piecewise constant rate.
 */
import type { Reading } from "#core/events";
import { type Draw, drawAt, pick } from "../city/random.ts";
import type { Equipment, Profile, SimulatedLoad } from "./profile.ts";

const MS_PER_HOUR = 3_600_000;

/** Cores of a simulated computer. */
const CORES = [1, 2, 4] as const;

/** Between two portions of work, milliseconds; they take up to twice the share of it on average. */
const PORTION_MS = 10_000;
const BUSY_SHARE = 0.6;
/** Work that waits at most, CPU milliseconds per core: more is turned away, as by a full queue. */
const WAITING_MAX_MS = 60_000;

/** Shown by a meter's counter before the run. */
const USED_BEFORE_MAX_MS = 1_000_000_000;

export const COMPUTE: Profile = {
  name: "compute",
  goods: { unit: "ms", resources: [{ path: "/v1/cpu", description: "milliseconds of CPU time" }] },
  // $0.0432 for an hour of one core.
  tariff: "flat:12000",
  priceCeiling: 240_000,
  typicalUnitsPerHour: 2 * MS_PER_HOUR,
  model: ({ lamp }) => `simulated computer, ${lamp.ratedMilliwatts / MS_PER_HOUR} cores`,
  equip: (_lamp, draw) => ({
    lamp: {
      ratedMilliwatts: pick(CORES, draw) * MS_PER_HOUR,
      startUpPermille: 1_000,
      startUpMs: 0,
      powerFactorPermille: 1_000,
    },
    meter: { name: "cpu.stat", resolutionUnits: 1, rollOverAt: 0 },
    meterInitial: Math.floor(draw() * USED_BEFORE_MAX_MS),
    almanac: { plan: () => [{ minuteOfDay: 0, levelPercent: 100 }] },
  }),
  load: (site, draw, nowMs) => new SimulatedProcess(site, draw, nowMs),
};

export class SimulatedProcess implements SimulatedLoad {
  readonly #nowMs: () => number;
  readonly #cores: number;
  readonly #initialMs: number;
  readonly #rollOverAt: number;
  readonly #seed: number;
  /** CPU milliseconds per millisecond that it may use. */
  #allowed = 0;
  #waitingMs = 0;
  #usedMs = 0;
  #meteredMs = 0;
  #bypassedPermille = 0;
  #sinceMs: number;
  #portions: number;

  constructor({ lamp, meter, meterInitial }: Equipment, draw: Draw, nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#cores = lamp.ratedMilliwatts / MS_PER_HOUR;
    this.#initialMs = meterInitial;
    this.#rollOverAt = meter.rollOverAt;
    this.#seed = Math.floor(draw() * 2 ** 32);
    this.#sinceMs = nowMs();
    this.#portions = Math.floor(this.#sinceMs / PORTION_MS);
  }

  deliveredUnits(): number {
    this.#integrate();
    return this.#usedMs;
  }

  meteredUnits(): number {
    this.#integrate();
    return this.#meteredMs;
  }

  bypass(permille: number): void {
    this.#integrate();
    this.#bypassedPermille = permille;
  }

  set(levelPercent: number): void {
    this.#integrate();
    this.#allowed = (this.#cores * levelPercent) / 100;
  }

  read(done: (reading: Reading | null) => void): void {
    this.#integrate();
    const rate = this.#waitingMs > 0 ? this.#allowed * MS_PER_HOUR : 0;
    const shown = rate * (1 - this.#bypassedPermille / 1000);
    const counted = Math.floor(this.#initialMs + this.#meteredMs);
    const raw = this.#rollOverAt > 0 ? counted % this.#rollOverAt : counted;
    done({ raw, powerMilliwatts: Math.round(shown) });
  }

  /** Works off what waits, portion by portion, until now. */
  #integrate(): void {
    const now = this.#nowMs();
    while (this.#sinceMs < now) {
      const next = Math.min(now, (this.#portions + 1) * PORTION_MS);
      const used = Math.min(this.#waitingMs, this.#allowed * (next - this.#sinceMs));
      this.#waitingMs -= used;
      this.#usedMs += used;
      this.#meteredMs += used - (used * this.#bypassedPermille) / 1000;
      this.#sinceMs = next;
      if (next === (this.#portions + 1) * PORTION_MS) this.#bringWork();
    }
  }

  #bringWork(): void {
    this.#portions += 1;
    const portion = 2 * BUSY_SHARE * PORTION_MS * this.#cores * drawAt(this.#seed, this.#portions);
    this.#waitingMs = Math.min(WAITING_MAX_MS * this.#cores, this.#waitingMs + portion);
  }
}
