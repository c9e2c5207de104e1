/** A lamp and the meter behind it, both in software: 7.2 kW, so that an example buys several times a second. */
import type { Clock, Lamp, Meter } from "watt402/device";

export const RATED_MILLIWATTS = 7_200_000;
const MS_PER_HOUR = 3_600_000;

export class SimulatedLamp implements Lamp, Meter {
  readonly #clock: Clock;
  #levelPercent = 0;
  #milliwattHours = 0;
  #sinceMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sinceMs = clock.nowMs();
  }

  get levelPercent(): number {
    return this.#levelPercent;
  }

  set(levelPercent: number): void {
    this.#count();
    this.#levelPercent = levelPercent;
  }

  read(done: Parameters<Meter["read"]>[0]): void {
    this.#count();
    done({ raw: Math.floor(this.#milliwattHours), powerMilliwatts: this.#powerMilliwatts() });
  }

  #powerMilliwatts(): number {
    return (RATED_MILLIWATTS * this.#levelPercent) / 100;
  }

  #count(): void {
    const nowMs = this.#clock.nowMs();
    this.#milliwattHours += (this.#powerMilliwatts() * (nowMs - this.#sinceMs)) / MS_PER_HOUR;
    this.#sinceMs = nowMs;
  }
}
