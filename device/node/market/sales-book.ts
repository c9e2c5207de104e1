/**
 * What was charged and granted on each channel since its terms are known, held against the highest price they allow.
 *
 * Promise: a channel's counters are taken as they are; when they show less than the money buys at the highest price that the
 * seller has signed for that time, it has broken its terms. One that sold at its terms never has: what its division
 * leaves over, prices that changed on the way, and clocks that are apart are allowed for.
 */
import type { Channel } from "#core/rungs";
import { PRICED_UNITS } from "#core/units";
import { type Terms, termsHash } from "#market/terms-of-sale";
import { CLOCKS_APART_SECONDS, REMEMBERED_MAX } from "./market-rules.ts";
import { highestAround } from "./terms-check.ts";

type Counters = Pick<Channel, "id" | "charged" | "granted">;

interface Sale {
  /** The newest last; a payment that was on its way while they changed is of the terms before. */
  readonly terms: readonly Terms[];
  readonly charged: number;
  readonly granted: number;
  /** Unix seconds; null while the clock was not set. */
  readonly sinceSeconds: number | null;
}

/** Of terms that followed each other. */
const TERMS_KEPT_MAX = 2;

export class SalesBook {
  readonly #sales = new Map<string, Sale>();

  /** A channel goes on under these terms, from the counters that it has now. */
  begin({ id, charged, granted }: Counters, terms: Terms, nowSeconds: number | null): void {
    const before = this.#sales.get(id);
    if (before !== undefined && termsHash(before.terms.at(-1)!) === termsHash(terms)) return;
    const kept = [...(before?.terms ?? []), terms].slice(-TERMS_KEPT_MAX);
    for (const old of this.#sales.keys()) if (this.#sales.size >= REMEMBERED_MAX) this.#sales.delete(old);
    this.#sales.set(id, { terms: kept, charged, granted, sinceSeconds: nowSeconds });
  }

  /** Did the seller grant less than it had signed? Not known while the clock is not set, nor near the end of its terms. */
  isBelow({ id, charged, granted }: Counters, nowSeconds: number | null): boolean {
    const sale = this.#sales.get(id);
    if (sale === undefined || charged <= sale.charged || nowSeconds === null) return false;
    // By its own clock the seller may sell under the next terms already.
    if (nowSeconds + CLOCKS_APART_SECONDS >= sale.terms.at(-1)!.untilSeconds) return false;
    const prices = sale.terms.map((terms) => highestAround(terms, sale.sinceSeconds, nowSeconds) ?? 0);
    const least = Math.ceil(((charged - sale.charged) * PRICED_UNITS) / Math.max(...prices)) - 1;
    return granted - sale.granted < least;
  }
}
