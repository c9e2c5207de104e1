// Prices ahead: what is read has one price at each second, and what strangers publish instead is named.

import fc from "fast-check";
import { expect, test } from "vitest";
import { cutTo, priceAt, readPriceSeries, STEPS_MAX, stepsFrom } from "#market/price-series";

const FROM = 1_800_000_000;
const good = {
  unit: "mWh",
  timeZone: "Europe/Berlin",
  price: [
    [FROM - 60, 200_000],
    [FROM + 900, 300_000],
  ],
  fromSeconds: FROM,
  untilSeconds: FROM + 1_800,
};

const series = fc
  .record({
    gaps: fc.array(fc.integer({ min: 1, max: 7_200 }), { minLength: 1, maxLength: 60 }),
    prices: fc.array(fc.integer({ min: 1, max: 2 ** 32 - 1 }), { minLength: 60, maxLength: 60 }),
  })
  .map(({ gaps, prices }) => {
    let at = FROM;
    const price = gaps.map((gap, index): [number, number] => {
      const start = at;
      at += gap;
      return [start, prices[index]!];
    });
    return { ...good, price, fromSeconds: FROM, untilSeconds: at };
  });

test("the steps of a series follow each other without a gap, and have its price at each second", () => {
  fc.assert(
    fc.property(series, fc.nat(7_200), fc.integer({ min: 1, max: 60 }), (found, later, most) => {
      const { series: read } = readPriceSeries(JSON.parse(JSON.stringify(found)));
      const steps = stepsFrom(read!, FROM + later);
      for (const [at, step] of steps.entries()) {
        expect(step.startSeconds).toBe(at === 0 ? FROM + later : steps[at - 1]!.endSeconds);
        expect(priceAt(read!, step.startSeconds)).toBe(step.pricePerMillionUnits);
        expect(priceAt(read!, step.endSeconds - 1)).toBe(step.pricePerMillionUnits);
      }
      if (FROM + later < read!.untilSeconds) expect(steps.at(-1)!.endSeconds).toBe(read!.untilSeconds);
      else expect(steps).toEqual([]);
      const cut = cutTo(most, read!);
      expect(readPriceSeries(cut).series).toEqual(cut);
      expect(cut.price.length).toBeLessThanOrEqual(most);
      expect(priceAt(cut, cut.untilSeconds - 1)).toBe(priceAt(read!, cut.untilSeconds - 1));
    }),
  );
});

test("a series of strangers that has no price somewhere, or too many, is refused with the place and what was expected", () => {
  const steps = Array.from({ length: STEPS_MAX + 1 }, (_, at) => [FROM + at, 1]);
  const odd: readonly [unknown, RegExp][] = [
    [null, /the document: .*expected object/],
    [{ ...good, price: [] }, /price: .*1/],
    [{ ...good, price: steps }, /price: .*2880/],
    [{ ...good, price: [[FROM, Number.NaN]] }, /price\.0\.1: .*NaN/],
    [{ ...good, price: [[FROM, 0]] }, /price\.0\.1/],
    [{ ...good, price: [[FROM, 2 ** 32]] }, /price\.0\.1/],
    [{ ...good, price: [[FROM, 1.5]] }, /price\.0\.1/],
    [
      { ...good, price: [[FROM + 60, 1]] },
      /expected a price from 1800000000 on, found the first from 1800000060/,
    ],
    [{ ...good, price: [...good.price].reverse() }, /found the first from|expected rising seconds/],
    [{ ...good, untilSeconds: FROM }, /untilSeconds: expected 1 to 604800 s after fromSeconds, found 0/],
    [{ ...good, untilSeconds: FROM + 8 * 86_400 }, /found 691200/],
    [{ ...good, timeZone: "<script>" }, /timeZone/],
    [{ ...good, unit: "" }, /unit/],
  ];
  for (const [found, expected] of odd) {
    const { series: read, reason } = readPriceSeries(found);
    expect(read).toBeNull();
    expect(reason).toMatch(expected);
    expect(reason.length).toBeLessThan(320);
  }
  expect(readPriceSeries(good)).toEqual({ series: good, reason: "" });
});
