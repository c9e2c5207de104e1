/**
 * The seller's account of one light on the fast path.
 *
 * Promise: what is granted for each charge is the seller's own arithmetic (seller/accounts): whole units, the
 * rest of the money carried on to the next purchase.
 */
import { PRICED_UNITS } from "#core/units";

/** A price and quantum, and since when. */
export interface FastPrice {
  /** World milliseconds; the first price also holds before. */
  readonly fromMs: number;
  readonly pricePerMillionUnits: number;
  /** What the gateway offers this light at this price. */
  readonly quantumAtomic: number;
}

export class FastSales {
  charged = 0;
  granted = 0;
  /** What the energy granted was worth at the prices it was sold at, millionths of an atomic unit. */
  boughtMicroAtomic = 0;
  /** Price of the latest order. */
  price = 0;
  readonly #prices: readonly FastPrice[];
  #selling = 0;
  #remainder = 0;

  constructor(prices: readonly FastPrice[]) {
    this.#prices = prices;
  }

  /** A payment arrives: its price is the one of this instant. */
  order(nowMs: number): void {
    const prices = this.#prices;
    while (this.#selling + 1 < prices.length && prices[this.#selling + 1]!.fromMs <= nowMs) this.#selling++;
    this.price = prices[this.#selling]!.pricePerMillionUnits;
  }

  /** Charges up to `rung`; returns the units granted for it. */
  grant(rung: number): number {
    const money = (rung - this.charged) * PRICED_UNITS + this.#remainder;
    this.#remainder = money % this.price;
    const units = (money - this.#remainder) / this.price;
    this.charged = rung;
    this.granted += units;
    this.boughtMicroAtomic += units * this.price;
    return units;
  }
}
