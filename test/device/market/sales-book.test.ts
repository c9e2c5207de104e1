import fc from "fast-check";
import { expect, it } from "vitest";
import { CLOCKS_APART_SECONDS } from "#node/market/market-rules";
import { SalesBook } from "#node/market/sales-book";
import { CHANNEL, type Dealings, dealings, termsAt, termsOf } from "./sale.ts";

const skew = fc.integer({ min: -CLOCKS_APART_SECONDS + 1, max: CLOCKS_APART_SECONDS - 1 });

/** How often a device finds that less was granted than was signed. @param priced what a sale costs, by what the terms say */
function found(made: Dealings, apart: number, isLate: boolean, priced = (price: number) => price): number {
  const book = new SalesBook();
  const counters = { id: CHANNEL, charged: 0, granted: 0 };
  let [money, below] = [0, 0];
  for (const { atSeconds, charged } of made.sales) {
    const { terms, price } = termsAt(made.terms, atSeconds);
    const now = atSeconds + apart;
    // The first grant under new terms may come before the offer that names them, or behind it.
    if (!isLate || counters.charged === 0) book.begin(counters, terms, now);
    money += charged * 1_000_000;
    counters.charged += charged;
    counters.granted += Math.floor(money / priced(price));
    money %= priced(price);
    if (book.isBelow(counters, now)) below += 1;
    book.begin(counters, terms, now);
  }
  return below;
}

it("a seller that sells at its terms is never found to grant below them, over windows, late offers and clocks apart", () => {
  fc.assert(
    fc.property(dealings, skew, fc.boolean(), (made, apart, isLate) => {
      expect(found(made, apart, isLate)).toBe(0);
    }),
    { numRuns: 500 },
  );
});

it("one that takes twice what it has signed is found out by the first grant of a quantum", () => {
  const sales = [{ atSeconds: 1_800_003_600, charged: 100 }];
  const made = { terms: [termsOf()], sales, receiptsAt: [] };
  expect([found(made, 0, false), found(made, 0, false, (price) => 2 * price)]).toEqual([0, 1]);
});
