import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { creditOf, msUntilCreditEnds, raiseGrant } from "#core/credit";
import {
  COUNTER_MAX,
  energyMilliwattHours,
  isCounter,
  msUntilUsed,
  QUANTUM_MAX,
  raiseCounter,
  unitsForQuantum,
} from "#core/units";

const counter = fc.integer({ min: 0, max: COUNTER_MAX });

describe("counters", () => {
  it("are whole numbers in 0..2^48-1 and nothing else", () => {
    for (const value of [0, 1, COUNTER_MAX]) expect(isCounter(value)).toBe(true);
    for (const value of [-1, 0.5, COUNTER_MAX + 1, Number.NaN, Infinity, "1", null, undefined, {}, 1n]) {
      expect(isCounter(value)).toBe(false);
    }
  });

  it("stop at their largest value instead of rounding or throwing", () => {
    fc.assert(
      fc.property(counter, counter, (value, by) => {
        const raised = raiseCounter(value, by);
        expect(isCounter(raised)).toBe(true);
        expect(BigInt(raised)).toBe(
          BigInt(value) + BigInt(by) > BigInt(COUNTER_MAX) ? BigInt(COUNTER_MAX) : BigInt(value) + BigInt(by),
        );
      }),
    );
  });
});

describe("money into energy", () => {
  it("equals the exact quotient, rounded down, over the whole allowed range", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: QUANTUM_MAX }),
        fc.integer({ min: 1, max: 4_294_967_295 }),
        (quantum, price) => {
          expect(BigInt(unitsForQuantum(quantum, price))).toBe(
            (BigInt(quantum) * 1_000_000n) / BigInt(price),
          );
        },
      ),
    );
  });

  it("buys 500 mWh for 100 units at $0.20 per kWh", () => {
    expect(unitsForQuantum(100, 200_000)).toBe(500);
  });

  it("refuses a quantum it cannot reckon exactly, and a price of nothing", () => {
    expect(() => unitsForQuantum(QUANTUM_MAX + 1, 1)).toThrow("price out of range");
    expect(() => unitsForQuantum(100, 0)).toThrow("found 100 at 0");
    expect(() => unitsForQuantum(Number.NaN, 1)).toThrow("price out of range");
  });
});

describe("energy and time", () => {
  it("say that 350 mWh at 60 W last 21 s", () => {
    expect(msUntilUsed(350, 60_000)).toBe(21_000);
    expect(msUntilCreditEnds(350, 0)).toBe(Infinity);
    expect(msUntilCreditEnds(0, 60_000)).toBe(0);
    expect(msUntilCreditEnds(-5, 60_000)).toBe(0);
  });

  it("agree: what is used in the time computed is all of it, and a millisecond less is not", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), fc.integer({ min: 1, max: 1e7 }), (units, power) => {
        const ms = msUntilUsed(units, power);
        expect(energyMilliwattHours(power, ms)).toBeGreaterThanOrEqual(units * (1 - 1e-12));
        expect(energyMilliwattHours(power, ms - 1)).toBeLessThan(units);
      }),
    );
  });
});

describe("credit", () => {
  it("counts every grant once, whatever order grants are heard in", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1e9 }), { minLength: 1 }), (heard) => {
        let account = { granted: 0, registerAtOpen: 7 };
        let channel = 0;
        for (const granted of heard) {
          account = raiseGrant(account, channel, granted);
          channel = Math.max(channel, granted);
        }
        expect(account).toEqual({ granted: Math.max(...heard), registerAtOpen: 7 });
        expect(creditOf(account, 7 + 100)).toBe(Math.max(...heard) - 100);
      }),
    );
  });

  it("is held at the largest counter when a peer grants more than there is", () => {
    const account = raiseGrant({ granted: 500, registerAtOpen: 0 }, 0, COUNTER_MAX);
    expect(account.granted).toBe(COUNTER_MAX);
  });
});
