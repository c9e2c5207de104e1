// Tariffs and accounts, without a chain: prices are positive and hold as long as they say, energy granted is
// money charged, to within one unit, whatever the price did in between.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_COUNTER, newAccount, purchase } from "#simulator/seller/accounts/accounts";
import {
  FLOOR_PRICE,
  flatTariff,
  MAX_PRICE,
  seriesTariff,
  timeOfUseTariff,
} from "#simulator/seller/sale/tariff";
import { tariffFromCsv, tariffFromToml } from "#simulator/seller/sale/tariff-text";

const price = fc.integer({ min: FLOOR_PRICE, max: MAX_PRICE });
const moment = fc.integer({ min: 1_600_000_000, max: 2_000_000_000 });

describe("a tariff", () => {
  test("is never below the floor and holds until it says, whatever the series", () => {
    const points = fc.uniqueArray(fc.record({ startSeconds: moment, pricePerMillionUnits: fc.integer() }), {
      minLength: 1,
      maxLength: 20,
      selector: (point) => point.startSeconds,
    });
    fc.assert(
      fc.property(points, moment, fc.double({ min: 0, max: 1, noNaN: true }), (unordered, seconds, part) => {
        const bounded = unordered.map((point) => ({
          ...point,
          pricePerMillionUnits: Math.min(point.pricePerMillionUnits, MAX_PRICE),
        }));
        const tariff = seriesTariff(bounded.sort((a, b) => a.startSeconds - b.startSeconds));
        const until = tariff.validUntilSeconds(seconds);
        expect(tariff.priceAt(seconds)).toBeGreaterThanOrEqual(FLOOR_PRICE);
        expect(until).toBeGreaterThan(seconds);
        const within = Math.min(until - 1, seconds + Math.floor((until - seconds) * part));
        expect(tariff.priceAt(within)).toBe(tariff.priceAt(seconds));
      }),
    );
  });

  test("of windows follows the local clock through both changes of summer time", () => {
    const tariff = timeOfUseTariff({
      timeZone: "Europe/Berlin",
      otherwisePricePerMillionUnits: 300_000,
      windows: [{ fromMinute: 22 * 60, toMinute: 6 * 60, pricePerMillionUnits: 120_000 }],
    });
    const at = (iso: string) => Date.parse(iso) / 1000;
    expect(tariff.priceAt(at("2026-01-10T12:00:00+01:00"))).toBe(300_000);
    expect(tariff.priceAt(at("2026-01-10T22:00:00+01:00"))).toBe(120_000);
    expect(tariff.priceAt(at("2026-07-10T05:59:59+02:00"))).toBe(120_000);
    expect(tariff.priceAt(at("2026-07-10T06:00:00+02:00"))).toBe(300_000);
    // The nights in which the clock jumps are an hour shorter and an hour longer.
    expect(tariff.validUntilSeconds(at("2026-03-28T22:00:00+01:00"))).toBe(at("2026-03-29T06:00:00+02:00"));
    expect(tariff.validUntilSeconds(at("2026-10-24T22:00:00+02:00"))).toBe(at("2026-10-25T06:00:00+01:00"));
  });

  test("of windows holds until it says", () => {
    const tariff = tariffFromToml(`
      timeZone = "America/New_York"
      otherwisePricePerMillionUnits = 90000
      [[window]]
      from = "07:00"
      to = "11:00"
      days = ["mon", "tue", "wed", "thu", "fri"]
      pricePerMillionUnits = 250000
    `);
    fc.assert(
      fc.property(moment, fc.double({ min: 0, max: 1, noNaN: true }), (seconds, part) => {
        const until = tariff.validUntilSeconds(seconds);
        expect(until).toBeGreaterThan(seconds);
        const within = Math.min(until - 1, seconds + Math.floor((until - seconds) * part));
        expect(tariff.priceAt(within)).toBe(tariff.priceAt(seconds));
      }),
      { numRuns: 40 },
    );
  });

  test("from exchange prices converts EUR/MWh and lifts negative ones to the floor", () => {
    const csv = "start,eur_per_mwh\n2026-11-01T00:00:00Z,85.5\n2026-11-01T01:00:00Z,-12.3\n";
    const tariff = tariffFromCsv(csv, { tokensPerEuro: 1.1 });
    expect(tariff.priceAt(Date.parse("2026-11-01T00:30:00Z") / 1000)).toBe(94_050);
    expect(tariff.priceAt(Date.parse("2026-11-01T01:30:00Z") / 1000)).toBe(FLOOR_PRICE);
  });

  test.each([
    ["", 'csv line 1: expected "start,price" or "start,eur_per_mwh", found ""'],
    ["start,price\n", "expected at least one price under the header, found none"],
    ["start,price\n2026-11-01T00:00:00Z,12,3", "csv line 2: expected 2 fields"],
    [
      "start,price\n2026-11-01 00:00,12",
      'csv line 2: expected a start such as 2026-11-01T00:00:00Z, found "',
    ],
    ["start,price\n2026-13-01T00:00:00Z,12", "csv line 2: expected a start"],
    [
      "start,price\n2026-11-01T00:00:00Z,cheap",
      'csv line 2: expected a price such as 200000 or -4.95, found "cheap"',
    ],
    [
      "start,price\n2026-11-01T01:00:00Z,1\n2026-11-01T01:00:00Z,2",
      "csv line 3: expected a start later than",
    ],
    ["start,price\n2026-11-01T00:00:00Z,5000000000", "csv line 2: expected at most"],
  ])("says what is wrong with %j", (csv, complaint) => {
    expect(() => tariffFromCsv(csv)).toThrow(complaint);
  });

  test("says what is wrong with its windows", () => {
    const head = 'timeZone = "Europe/Berlin"\notherwisePricePerMillionUnits = 1\n';
    expect(() =>
      tariffFromToml(`${head}[[window]]\nfrom = "25:00"\nto = "06:00"\npricePerMillionUnits = 1`),
    ).toThrow("toml window.0.from: expected a local time");
    expect(() => tariffFromToml(`${head.replace("Berlin", "Berlim")}window = []`)).toThrow(
      "expected an IANA name",
    );
  });

  test("that is flat costs the same for ever", () => {
    fc.assert(
      fc.property(price, moment, moment, (flat, a, b) => {
        const tariff = flatTariff(flat);
        expect(tariff.priceAt(a)).toBe(tariff.priceAt(b));
        expect(tariff.validUntilSeconds(a)).toBeGreaterThan(a);
      }),
    );
  });
});

describe("an account", () => {
  const deal = fc.record({ quantum: fc.integer({ min: 1, max: 1_000_000 }), price });

  test("turns money into energy and keeps what is over: nothing is made or lost, whatever the price does", () => {
    fc.assert(
      fc.property(fc.array(deal, { maxLength: 50 }), (deals) => {
        let account = newAccount("0xaa", "exact");
        let spentMicroAtomic = 0n;
        let paidMicroAtomic = 0n;
        for (const { quantum, price: pricePerMillionUnits } of deals) {
          const quote = { pricePerMillionUnits, validUntilSeconds: 2_000_000_000 };
          const before = account;
          const sold = purchase(account, quantum, quote);
          account = sold.account;
          expect(account.charged).toBe(before.charged + quantum);
          expect(account.granted).toBeGreaterThanOrEqual(before.granted);
          expect(account.remainderMicroAtomic).toBeLessThan(pricePerMillionUnits);
          expect(sold.answer).toMatchObject({ charged: account.charged, granted: account.granted, ...quote });
          paidMicroAtomic += BigInt(quantum) * 1_000_000n;
          spentMicroAtomic += BigInt(account.granted - before.granted) * BigInt(pricePerMillionUnits);
        }
        expect(spentMicroAtomic + BigInt(account.remainderMicroAtomic)).toBe(paidMicroAtomic);
        expect(account.purchases).toBe(deals.length);
      }),
    );
  });

  test("at one price grants exactly floor(charged x 1e6 / price)", () => {
    fc.assert(
      fc.property(price, fc.array(fc.integer({ min: 1, max: 10_000 }), { minLength: 1 }), (flat, quanta) => {
        let account = newAccount("0xaa", "exact");
        for (const quantum of quanta) {
          account = purchase(account, quantum, { pricePerMillionUnits: flat, validUntilSeconds: 1 }).account;
        }
        expect(BigInt(account.granted)).toBe((BigInt(account.charged) * 1_000_000n) / BigInt(flat));
      }),
    );
  });

  test("refuses to count past six bytes, and a quantum that is none", () => {
    const full = { ...newAccount("0xaa", "exact"), charged: MAX_COUNTER };
    const quote = { pricePerMillionUnits: 1, validUntilSeconds: 1 };
    expect(() => purchase(full, 1, quote)).toThrow("charged would pass");
    expect(() => purchase(newAccount("0xaa", "exact"), 300_000_000, quote)).toThrow("granted would pass");
    for (const quantum of [0, -1, 0.5, Number.NaN]) {
      expect(() => purchase(newAccount("0xaa", "exact"), quantum, quote)).toThrow(RangeError);
    }
  });
});
