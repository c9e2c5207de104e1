/**
 * A live stream of road data in a car, counted by the second: load and meter.
 *
 * Promise: seconds are counted while the stream is on, somebody sells where the car is and a link reaches it; what was used
 * with each seller is known, whatever the device says. The time is the exact integral of a piecewise constant level.
 */
import type { Reading } from "#core/events";
import type { Draw } from "../../city/random.ts";
import type { Equipment, SimulatedLoad } from "../profile.ts";
import { Drive } from "./drive.ts";
import type { SellersMap } from "./sellers-map.ts";

export const SECONDS_PER_HOUR = 3_600;

export class DataStream implements SimulatedLoad {
  readonly drive: Drive;
  readonly #nowMs: () => number;
  readonly #initial: number;
  readonly #rollOverAt: number;
  /** Seconds by the seller's number. */
  readonly #used = new Map<number, number>();
  #level = 0;
  #metered = 0;
  #bypassedPermille = 0;
  #sinceMs: number;

  constructor(map: SellersMap, { meter, meterInitial }: Equipment, draw: Draw, nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#sinceMs = nowMs();
    this.#initial = meterInitial;
    this.#rollOverAt = meter.rollOverAt;
    this.drive = new Drive(map, draw, this.#sinceMs);
  }

  deliveredUnits(): number {
    this.#integrate();
    return [...this.#used.values()].reduce((sum, seconds) => sum + seconds, 0);
  }

  meteredUnits(): number {
    this.#integrate();
    return this.#metered;
  }

  /** Seconds of one seller's stream. */
  usedAt(seller: number): number {
    this.#integrate();
    return this.#used.get(seller) ?? 0;
  }

  bypass(permille: number): void {
    this.#integrate();
    this.#bypassedPermille = permille;
  }

  set(levelPercent: number): void {
    this.#integrate();
    this.#level = levelPercent;
  }

  read(done: (reading: Reading | null) => void): void {
    this.#integrate();
    const { seller, isTunnel } = this.drive.at(this.#sinceMs);
    const streams = seller !== null && !isTunnel;
    const rate = streams ? (SECONDS_PER_HOUR * this.#level) / 100 : 0;
    const counted = Math.floor(this.#initial + this.#metered + 1e-9);
    const raw = this.#rollOverAt > 0 ? counted % this.#rollOverAt : counted;
    done({ raw, powerMilliwatts: Math.round(rate * (1 - this.#bypassedPermille / 1_000)) });
  }

  #integrate(): void {
    const now = this.#nowMs();
    if (this.#level > 0) {
      this.drive.between(this.#sinceMs, now, ({ seller, isTunnel }, ms) => {
        if (seller === null || isTunnel) return;
        const seconds = (ms * this.#level) / 100_000;
        this.#used.set(seller, (this.#used.get(seller) ?? 0) + seconds);
        this.#metered += seconds - (seconds * this.#bypassedPermille) / 1_000;
      });
    }
    this.#sinceMs = now;
  }
}
