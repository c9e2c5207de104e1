/**
 * A feeder of limited power, as its seller sees it: what loads drew at each quarter of the day, and what it asks for that.
 *
 * Promise: a price ahead is made of what was metered by then, never of what will be; below the limit it is the tariff's own.
 */
import { boundedPrice, type Tariff } from "../../seller/sale/tariff.ts";

const QUARTER_SECONDS = 900;
const QUARTERS_PER_DAY = 96;
/** Of what was expected of a quarter, so much gives way to what was drawn: half makes two days' swings die out. */
const LEARNING = 0.5;

export class Feeder {
  readonly limitMilliwatts: number;
  /** Expected at each quarter of the UTC day, milliwatts. */
  readonly #expected = new Float64Array(QUARTERS_PER_DAY);
  readonly #known = new Uint8Array(QUARTERS_PER_DAY);

  constructor(limitMilliwatts: number) {
    this.limitMilliwatts = limitMilliwatts;
  }

  /** What was drawn on average in the quarter that begins there. */
  drawn(startSeconds: number, milliwatts: number): void {
    const quarter = quarterOf(startSeconds);
    const before = this.#known[quarter] === 1 ? this.#expected[quarter]! : milliwatts;
    this.#expected[quarter] = before + LEARNING * (milliwatts - before);
    this.#known[quarter] = 1;
  }

  /** Above the limit, in feeders' worth of power; 0 below it. */
  expectedExcess(atSeconds: number): number {
    return Math.max(0, this.#expected[quarterOf(atSeconds)]! / this.limitMilliwatts - 1);
  }
}

function quarterOf(atSeconds: number): number {
  return Math.floor(atSeconds / QUARTER_SECONDS) % QUARTERS_PER_DAY;
}

/** @param congestionPerKwh for a feeder's worth of power above the limit, atomic units */
export function congestedTariff(base: Tariff, feeder: Feeder, congestionPerKwh: number): Tariff {
  return {
    timeZone: base.timeZone,
    priceAt: (seconds) =>
      boundedPrice(
        base.priceAt(seconds) + congestionPerKwh * feeder.expectedExcess(seconds),
        "price of a feeder",
      ),
    validUntilSeconds: (seconds) =>
      Math.min(
        base.validUntilSeconds(seconds),
        (Math.floor(seconds / QUARTER_SECONDS) + 1) * QUARTER_SECONDS,
      ),
  };
}
