/** Prices that a light received: by channel, by news and echoes, by false messages under the right tag. */
import { describe, expect, it } from "vitest";
import type { Grant, Offer } from "#core/events";
import { PricesHeard } from "#simulator/world/invariants/prices-heard";

const CEILING = 400_000;
const HIGH = 500_000;
const LOW = 200_000;
const GRACE_MS = 15_000;
const A = `0xaaaaaaaa${"0".repeat(56)}`;
const B = `0xbbbbbbbb${"0".repeat(56)}`;

function offer(channelId: string, revision: number, pricePerMillionUnits: number, charged = 0): Offer {
  const terms = {
    scheme: "batch-settlement" as const,
    network: "eip155:31337",
    asset: "0x",
    payTo: "0x",
    contract: "0x",
    tokenName: "",
    tokenVersion: "",
  };
  return {
    revision,
    channelId,
    terms,
    unit: "mWh",
    quantumAtomic: 100,
    pricePerMillionUnits,
    balance: 0,
    charged,
    granted: 0,
    metered: false,
  };
}

function grant(channelTag: number, charged: number, pricePerMillionUnits: number): Grant {
  return { refusal: null, channelTag, charged, granted: 0, pricePerMillionUnits, validUntilSeconds: 0 };
}

function heard(tell: (prices: PricesHeard) => void, channelId = A): number | null {
  const prices = new PricesHeard(CEILING);
  tell(prices);
  return prices.tooHigh(channelId, 100_000, GRACE_MS);
}

describe("the price a light received last", () => {
  it("is held against its ceiling once the grace is over, whether an offer or a grant stated it", () => {
    expect(heard((prices) => prices.offered(offer(A, 1, HIGH), 0))).toBe(HIGH);
    expect(heard((prices) => prices.granted(grant(0xaaaaaaaa, 100, HIGH), 0))).toBe(HIGH);
    expect(heard((prices) => prices.offered(offer(A, 1, HIGH), 90_000))).toBeNull();
    expect(heard((prices) => prices.offered(offer(A, 1, CEILING), 0))).toBeNull();
  });

  it("on a channel is not changed by a late grant of another", () => {
    const tell = (prices: PricesHeard) => {
      prices.offered(offer(A, 1, LOW), 0);
      prices.granted(grant(0xbbbbbbbb, 88_000, HIGH), 1);
    };
    expect(heard(tell)).toBeNull();
    expect(heard(tell, B)).toBe(HIGH);
  });

  it("is seen to rise on a channel whose counter is below that of the channel left", () => {
    const tell = (prices: PricesHeard) => {
      prices.granted(grant(0xbbbbbbbb, 88_000, LOW), 0);
      prices.offered(offer(A, 1, LOW), 1);
      prices.granted(grant(0xaaaaaaaa, 100, HIGH), 2);
    };
    expect(heard(tell)).toBe(HIGH);
  });

  it("is no echo's: of an older revision, or of a counter heard before", () => {
    const tell = (prices: PricesHeard) => {
      prices.offered(offer(A, 2, HIGH, 100), 0);
      prices.offered(offer(A, 1, LOW), 1);
      prices.granted(grant(0xaaaaaaaa, 100, LOW), 2);
    };
    expect(heard(tell)).toBe(HIGH);
  });

  it("is not set by an offer whose revision a false one used up, and is by the next one", () => {
    const prices = new PricesHeard(CEILING);
    prices.offered(offer(A, 1, LOW), 0);
    prices.lied(offer(A, 2, LOW));
    prices.offered(offer(A, 2, HIGH), 1);
    expect(prices.tooHigh(A, 100_000, GRACE_MS)).toBeNull();
    prices.offered(offer(A, 3, HIGH), 2);
    expect(prices.tooHigh(A, 100_000, GRACE_MS)).toBe(HIGH);
  });

  it("is forgotten with the power", () => {
    const tell = (prices: PricesHeard) => {
      prices.offered(offer(A, 1, HIGH), 0);
      prices.forget();
    };
    expect(heard(tell)).toBeNull();
  });
});
