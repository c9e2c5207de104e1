/**
 * What a seller has to sell in a day, as a neighbour's battery that the sun fills: once it is empty nothing is sold until
 * the next day of the tariff's clock.
 *
 * Promise: at most one purchase goes beyond the stock. It is kept in memory: a seller that is started again has it full.
 */
const DAY_SECONDS = 86_400;

export class Stock {
  readonly #unitsADay: number;
  readonly #nowSeconds: () => number;
  #day = -1;
  #left = 0;

  /** @param nowSeconds Unix seconds of the tariff's clock */
  constructor(unitsADay: number, nowSeconds: () => number) {
    this.#unitsADay = unitsADay;
    this.#nowSeconds = nowSeconds;
  }

  get isEmpty(): boolean {
    return this.#today() <= 0;
  }

  take(units: number): void {
    this.#left = this.#today() - units;
  }

  #today(): number {
    const day = Math.floor(this.#nowSeconds() / DAY_SECONDS);
    if (day > this.#day) {
      this.#day = day;
      this.#left = this.#unitsADay;
    }
    return this.#left;
  }
}
