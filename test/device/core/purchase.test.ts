import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { budgetOn, refuseOffer, spentToday } from "#core/policy";
import { reactionTo, refusalOfStatus, statusOfRefusal, WIRE_REFUSALS } from "#core/refusal";
import {
  channelTagOf,
  markOf,
  nextAttemptMs,
  nextRung,
  openChannel,
  RESERVED_RUNGS,
  refuseCharged,
  reserveRung,
  settleQuantum,
} from "#core/rungs";
import { SETTINGS, Seller, TERMS } from "./seller.ts";

const { policy } = SETTINGS;
const offer = { ...new Seller().offer(), charged: 1_000 };

describe("the policy (P1)", () => {
  it("lets the agreed offer pass", () => {
    expect(refuseOffer(policy, offer)).toBeNull();
    expect(
      refuseOffer({ ...policy, payees: [] }, { ...offer, terms: { ...TERMS, payTo: "0x00" } }),
    ).toBeNull();
  });

  it.each([
    ["scheme-not-allowed", { terms: { ...TERMS, scheme: "exact" as const } }],
    ["network-not-allowed", { terms: { ...TERMS, network: "eip155:1" } }],
    ["token-not-allowed", { terms: { ...TERMS, asset: TERMS.payTo } }],
    ["contract-not-allowed", { terms: { ...TERMS, contract: TERMS.payTo } }],
    ["payee-not-allowed", { terms: { ...TERMS, payTo: TERMS.asset } }],
    ["unit-mismatch", { unit: "s" }],
    ["quantum-above-limit", { quantumAtomic: policy.quantumMaxAtomic + 1 }],
    ["quantum-above-limit", { quantumAtomic: 0 }],
    ["price-above-ceiling", { pricePerMillionUnits: policy.priceCeiling + 1 }],
  ])("refuses with %s", (code, changes) => {
    expect(refuseOffer(policy, { ...offer, ...changes })).toBe(code);
  });

  it("refuses a quantum whose energy cannot be reckoned, however generous it is", () => {
    const generous = { ...policy, quantumMaxAtomic: 1e15 };
    expect(refuseOffer(generous, { ...offer, quantumAtomic: 9_007_199_255 })).toBe("quantum-above-limit");
    expect(refuseOffer(generous, { ...offer, quantumAtomic: Number.NaN })).toBe("quantum-above-limit");
  });
});

describe("the budget", () => {
  it("begins anew with a later day, and with no other step of the clock", () => {
    const today = { day: 100, spentBefore: 5, signedAtStart: 50 };
    expect(budgetOn(today, null, 80)).toBe(today);
    expect(budgetOn(today, 100 * 86_400 + 86_399, 80)).toBe(today);
    expect(budgetOn(today, 99 * 86_400, 80)).toBe(today);
    expect(budgetOn(today, 101 * 86_400, 80)).toEqual({ day: 101, spentBefore: 0, signedAtStart: 80 });
    expect(spentToday(today, 80)).toBe(35);
    expect(spentToday(today, 10)).toBe(5);
  });
});

describe("the ladder (M1)", () => {
  it("goes up one quantum at a time from what was charged", () => {
    expect(nextRung(openChannel(offer, null))).toBe(1_100);
  });

  it("reserves sixteen rungs, whole ones, and none beyond the deposit", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 0, max: 5_000 }), (quantum, spare) => {
        const balance = 1_000 + quantum + spare;
        const channel = openChannel({ ...offer, quantumAtomic: quantum, balance }, null);
        const { reserved } = reserveRung(channel, nextRung(channel));
        expect(reserved).toBeGreaterThanOrEqual(nextRung(channel));
        expect(reserved).toBeLessThanOrEqual(balance);
        expect((reserved - 1_000) % quantum).toBe(0);
        expect((reserved - 1_000) / quantum).toBeLessThanOrEqual(RESERVED_RUNGS);
      }),
    );
  });

  it("is stored once for sixteen rungs", () => {
    const first = openChannel(offer, null);
    const channel = reserveRung(first, 1_100);
    expect(channel).not.toBe(first);
    for (let rung = 1_100; rung <= 2_600; rung += 100) expect(reserveRung(channel, rung)).toBe(channel);
    expect(reserveRung(channel, 2_700)).not.toBe(channel);
  });

  it("believes only charges that a signature of this ladder allows", () => {
    const mark = markOf(reserveRung(openChannel(offer, null), 1_100));
    expect(mark.reserved).toBe(2_600);
    expect(refuseCharged(mark, 900, false)).toBeNull();
    expect(refuseCharged(mark, 1_500, false)).toBeNull();
    expect(refuseCharged(mark, 1_550, false)).toBe("counter-off-ladder");
    expect(refuseCharged(mark, 2_700, false)).toBe("charged-above-signed");
  });

  it("takes up another quantum only above everything that may have been signed", () => {
    const mark = markOf(reserveRung(openChannel(offer, null), 1_100));
    const reopened = openChannel({ ...offer, quantumAtomic: 50 }, mark);
    expect(settleQuantum(reopened, false).quantumAtomic).toBe(100);
    const caughtUp = settleQuantum({ ...reopened, charged: 2_600 }, false);
    expect(caughtUp).toMatchObject({ quantumAtomic: 50, reserved: 2_600 });
  });

  it("remembers what was charged, so an old offer cannot lead it below its own ladder", () => {
    const mark = { ...markOf(openChannel(offer, null)), charged: 3_000, signed: 3_000, reserved: 3_000 };
    expect(nextRung(openChannel({ ...offer, charged: 1_000 }, mark))).toBe(3_100);
  });
});

describe("the back-off", () => {
  it("waits at least half of a doubling time and never more than its bound", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (attempts, random) => {
          const full = Math.min(20_000, 2_000 * 2 ** (attempts - 1));
          const wait = nextAttemptMs(SETTINGS.retry, attempts, 5_000, random) - 5_000;
          expect(wait).toBeGreaterThanOrEqual(full / 2);
          expect(wait).toBeLessThanOrEqual(full);
        },
      ),
    );
  });
});

describe("refusals", () => {
  it("have one number each, and back", () => {
    const numbers = new Set(WIRE_REFUSALS.map(statusOfRefusal));
    expect(numbers.size).toBe(WIRE_REFUSALS.length);
    for (const code of WIRE_REFUSALS) {
      const status = statusOfRefusal(code);
      expect(refusalOfStatus(status)).toBe(code);
      expect(reactionTo(code)).toBe(code === "channel-closing" ? "halt" : "again");
      expect(status).toBeGreaterThan(0);
      expect(status).toBeLessThan(256);
    }
    expect(refusalOfStatus(0)).toBeNull();
    expect(refusalOfStatus(255)).toBeNull();
  });

  it("keep the numbers they were published with", () => {
    expect(WIRE_REFUSALS.map((code) => `${statusOfRefusal(code)} ${code}`)).toEqual([
      "1 unknown-channel",
      "2 counter-mismatch",
      "3 bad-signature",
      "4 seller-unavailable",
      "5 seller-refused",
      "6 unfunded",
      "7 overloaded",
      "8 channel-closing",
      "9 ledger-unavailable",
      "10 expired",
      "11 not-enrolled",
      "12 outcome-unknown",
    ]);
  });

  it("are assigned to channels by the first four bytes of their id, unsigned", () => {
    expect(channelTagOf(`0xffeeddcc${"00".repeat(28)}`)).toBe(0xffeeddcc);
  });
});
