// A fixed seller's units follow its paid answers, whatever its price was before and is by now.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { ChannelRecord } from "#gateway/purchase/ports";
import { fixedSeller } from "#gateway/sellers/client/fixed-seller";
import type { Answer, Http } from "#gateway/sellers/client/seller-http";
import type { PaymentPayload } from "#protocol/x402";
import { NETWORK, requirementsOf, TOKEN } from "../purchase/fixtures.ts";

const UNITS = 500;
const sale = {
  url: "http://seller/energy",
  method: "GET",
  unit: "mWh",
  unitsPerPayment: UNITS,
  metered: false,
} as const;
const payable = { schemes: ["batch-settlement"], tokens: [{ network: NETWORK, asset: TOKEN }] } as const;
const payload = { payload: {} } as PaymentPayload;

function sellerAnswering(charged: () => number) {
  const http: Http = {
    async call(): Promise<Answer> {
      const receipt = {
        success: true,
        transaction: "",
        network: NETWORK as `${string}:${string}`,
        extra: { channelState: { chargedCumulativeAmount: String(charged()) } },
      };
      return { kind: "paid", status: 200, body: "", receipt };
    },
    close: async () => {},
  };
  return fixedSeller(http, sale, payable);
}

const channelAt = (charged: number, granted: number, amount: number) =>
  ({
    charged,
    granted,
    config: {},
    requirements: requirementsOf("batch-settlement", amount),
  }) as unknown as ChannelRecord;

test("each payment charged in full is worth its units, and one in part its share of them, whatever the offer says", async () => {
  const step = fc.record({
    signed: fc.integer({ min: 1, max: 1000 }),
    offered: fc.integer({ min: 1, max: 1000 }),
    chargedPermille: fc.constantFrom(1000, 1000, 1000, 500, 0),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 10 }), async (steps) => {
      let [charged, granted] = [0, 0];
      const seller = sellerAnswering(() => charged);
      for (const { signed, offered, chargedPermille } of steps) {
        const before = channelAt(charged, granted, offered);
        const part = Math.floor((signed * chargedPermille) / 1000);
        charged += part;
        granted += Math.floor((part / signed) * UNITS);
        const answered = await seller.pay(before, signed, payload);
        expect(answered).toMatchObject({ kind: "paid", counters: { charged, granted } });
      }
    }),
  );
});

test("four answers at 100, 125, 125 and 100 are worth four times the units", async () => {
  let [charged, granted] = [0, 0];
  const seller = sellerAnswering(() => charged);
  for (const signed of [100, 125, 125, 100]) {
    const before = channelAt(charged, granted, 100);
    charged += signed;
    const answered = await seller.pay(before, signed, payload);
    if (answered.kind !== "paid") throw new Error("expected a sale");
    granted = answered.counters.granted;
  }
  expect(granted).toBe(4 * UNITS);
});

test("lost answers are counted by what was signed for each", async () => {
  const seller = sellerAnswering(() => 0);
  expect(await seller.recover(channelAt(100, UNITS, 150), 250, 150)).toEqual({
    charged: 250,
    granted: 2 * UNITS,
  });
  expect(await seller.recover(channelAt(100, UNITS, 150), 400, 100)).toEqual({
    charged: 400,
    granted: 4 * UNITS,
  });
});
