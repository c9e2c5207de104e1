/**
 * A tariff that finds out what its buyers bear: each step in which it sold makes the next one dearer, and one in which
 * nobody bought brings the first price back.
 *
 * Promise: within a step the price stands; it is never below the honest tariff's, nor above what a grant can carry.
 */
import { boundedPrice, MAX_PRICE, type Tariff } from "../sale/tariff.ts";

/** Seconds of the tariff's clock between two prices. */
export const STEP_SECONDS = 60;
const RISE_PERMILLE = 100;

export class GreedyTariff implements Tariff {
  readonly #honest: Tariff;
  /** The latest step that was asked about. */
  #step = 0;
  #permille = 1_000;
  #hasSold = false;

  constructor(honest: Tariff) {
    this.#honest = honest;
  }

  /** Somebody bought at the present price. */
  sold(): void {
    this.#hasSold = true;
  }

  priceAt(seconds: number): number {
    this.#moveTo(Math.floor(seconds / STEP_SECONDS));
    const price = (this.#honest.priceAt(seconds) * this.#permille) / 1_000;
    return boundedPrice(Math.min(MAX_PRICE, price), "greedy price");
  }

  validUntilSeconds(seconds: number): number {
    const nextStep = (Math.floor(seconds / STEP_SECONDS) + 1) * STEP_SECONDS;
    return Math.min(nextStep, this.#honest.validUntilSeconds(seconds));
  }

  #moveTo(step: number): void {
    if (step <= this.#step) return;
    this.#permille = this.#hasSold ? (this.#permille * (1_000 + RISE_PERMILLE)) / 1_000 : 1_000;
    this.#step = step;
    this.#hasSold = false;
  }
}
