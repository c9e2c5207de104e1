/**
 * Prices that bind: what the tariff says becomes terms for the rest of the day, and until their end nothing is sold at
 * another price, whatever the tariff says by then.
 *
 * Promise: terms are on disk before anybody is quoted their price, so a seller that was killed, or started again with
 * another tariff, sells on at what it has signed.
 */
import { existsSync } from "node:fs";
import { z } from "zod";
import { CURVE, type PriceCurve } from "#market/price-series";
import { readText } from "#node/config/text-file";
import { writeOver } from "#node/journal/private-file";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import { curveOf } from "../sale/price-curve.ts";
import type { Quote, Tariff } from "../sale/tariff.ts";

const DAY_SECONDS = 86_400;
/** Terms that would end sooner reach to the end of the day after: a buyer has to fetch them, and to use them. */
const WINDOW_SECONDS_MIN = 600;

const WINDOW = z.strictObject(CURVE);

export class BoundPrices {
  readonly #file: string;
  readonly #tariff: Tariff;
  #window: PriceCurve | null;

  /** @param file where the window in force is kept; throws one line when it holds something else */
  constructor(file: string, tariff: Tariff) {
    this.#file = file;
    this.#tariff = tariff;
    this.#window = existsSync(file) ? windowIn(file) : null;
  }

  /** In force at a second; one before its begin, by a clock that was set back, is answered with its first price. */
  windowAt(seconds: number): PriceCurve {
    if (this.#window !== null && seconds < this.#window.untilSeconds) return this.#window;
    const window = windowFrom(this.#tariff, Math.floor(seconds));
    writeOver(this.#file, JSON.stringify(window));
    this.#window = window;
    return window;
  }

  quote(seconds: number): Quote {
    const { price, untilSeconds } = this.windowAt(seconds);
    const next = price.findIndex(([start]) => start > seconds);
    const at = next === -1 ? price.length - 1 : Math.max(0, next - 1);
    return {
      pricePerMillionUnits: price[at]![1],
      validUntilSeconds: Math.min(untilSeconds, price[at + 1]?.[0] ?? untilSeconds),
    };
  }
}

function windowFrom(tariff: Tariff, fromSeconds: number): PriceCurve {
  const endOfDay = (Math.floor(fromSeconds / DAY_SECONDS) + 1) * DAY_SECONDS;
  const untilSeconds = endOfDay - fromSeconds < WINDOW_SECONDS_MIN ? endOfDay + DAY_SECONDS : endOfDay;
  return curveOf(tariff, fromSeconds, untilSeconds);
}

function windowIn(file: string): PriceCurve {
  const read = WINDOW.safeParse(jsonIn(file));
  if (read.success) return read.data;
  throw new Watt402Error(
    "file-invalid",
    `${file}: expected the prices that this seller has signed, found something else; put its copy back, or remove it once the day of its terms is over`,
  );
}

function jsonIn(file: string): unknown {
  try {
    return parseJson(readText(file));
  } catch {
    return undefined;
  }
}
