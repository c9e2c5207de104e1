import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Stage } from "#simulator/scenario/actions";
import { csvOf, hasPrices, pricedBy, seriesOf } from "#simulator/scenario/prices";
import { FLOOR_PRICE, flatTariff, seriesTariff } from "#simulator/seller/sale/tariff";
import { tariffFromCsv } from "#simulator/seller/sale/tariff-text";

const EPOCH = Date.UTC(2026, 0, 15, 20) / 1000;

function spell(startMinute: number, minutes: number, factor: number): Stage {
  const [startMs, durationMs] = [startMinute * 60_000, minutes * 60_000];
  return { name: "x", startMs, durationMs, action: { kind: "price", factor } };
}

describe("a scenario's prices", () => {
  const spells = fc.array(
    fc.tuple(fc.nat(100), fc.integer({ min: 1, max: 50 }), fc.double({ min: 0, max: 30, noNaN: true })),
    { maxLength: 5 },
  );

  it("are the tariff's with charges on top, times every factor that holds, never below the floor", () => {
    fc.assert(
      fc.property(spells, fc.nat(9_000), (rows, after) => {
        const stages = rows.map(([start, minutes, factor]) => spell(start, minutes, factor));
        let expected = 200_000;
        for (const [start, minutes, factor] of rows) {
          if (after >= start * 60 && after < (start + minutes) * 60) expected *= factor;
        }
        const price = pricedBy(flatTariff(180_000), { stages, surcharge: 20_000 }, EPOCH).priceAt(
          EPOCH + after,
        );
        // Factors multiply in another order than here: a last digit may differ.
        expect(Math.abs(price - Math.max(FLOOR_PRICE, Math.round(expected)))).toBeLessThanOrEqual(1);
      }),
    );
  });

  it("hold until they say, and survive being written as CSV", () => {
    fc.assert(
      fc.property(spells, fc.nat(9_000), (rows, after) => {
        const hours = Array.from({ length: 4 }, (_, hour) => ({
          startSeconds: EPOCH + 3600 * hour,
          pricePerMillionUnits: 100_000 + 20_000 * hour,
        }));
        const stages = rows.map(([start, minutes, factor]) => spell(start, minutes, factor));
        const tariff = pricedBy(seriesTariff(hours), { stages, surcharge: 0 }, EPOCH);
        const until = tariff.validUntilSeconds(EPOCH + after);
        expect(until).toBeGreaterThan(EPOCH + after);
        expect(tariff.priceAt(until - 1)).toBe(tariff.priceAt(EPOCH + after));
        const written = tariffFromCsv(csvOf(seriesOf(tariff, EPOCH, EPOCH + 9_000)));
        expect(written.priceAt(EPOCH + after)).toBe(tariff.priceAt(EPOCH + after));
      }),
    );
  });

  it("are looked for among stages and charges", () => {
    const outage: Stage = { name: "x", startMs: 0, durationMs: 0, action: { kind: "stop-seller" } };
    expect(hasPrices({ stages: [outage, spell(1, 1, 1)], surcharge: 0 })).toBe(true);
    expect(hasPrices({ stages: [], surcharge: 1 })).toBe(true);
    expect(hasPrices({ stages: [outage], surcharge: 0 })).toBe(false);
  });
});

describe("a price series", () => {
  it("may come by the quarter hour, begin with remarks, and have negative prices, which become the floor", () => {
    const tariff = tariffFromCsv(
      [
        "# remarks: where from",
        "start,eur_per_mwh",
        "2026-01-15T20:00Z,40.5",
        "2026-01-15T20:15Z,-76.01",
        "# and in between",
        "2026-01-15T20:30Z,0.02",
      ].join("\n"),
    );
    const at = (minute: number) => tariff.priceAt(EPOCH + 60 * minute);
    expect([at(0), at(14.99), at(15), at(29), at(30)]).toEqual([
      40_500,
      40_500,
      FLOOR_PRICE,
      FLOOR_PRICE,
      20,
    ]);
    expect(tariff.validUntilSeconds(EPOCH + 60)).toBe(EPOCH + 900);
  });

  it("counts lines as an editor does, remarks included", () => {
    expect(() => tariffFromCsv("# one\nhours,price\n")).toThrow(
      'tariff: csv line 2: expected "start,price" or "start,eur_per_mwh", found "hours,price"',
    );
    expect(() => tariffFromCsv("# one\nstart,price\n\n2026-01-15T20:00Z,cheap\n")).toThrow(
      'tariff: csv line 4: expected a price such as 200000 or -4.95, found "cheap"',
    );
  });
});
