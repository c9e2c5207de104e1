// An answer of long ago, which a seller that keeps them all gives to a ledger from a backup.

import { expect, test } from "vitest";
import type { Sale, Seller } from "#gateway/purchase/ports";
import { purchase } from "#gateway/purchase/purchase";
import { newBench, newKey, openChannelOf, PRICE, payOf, QUANTUM, UNITS } from "./fixtures.ts";

test("is not counted as a new sale: its units are granted already", async () => {
  const bench = newBench();
  const key = newKey();
  const channel = await openChannelOf(bench, key);
  const { channel: first } = await purchase(bench.parts(), channel, payOf(key, channel, QUANTUM));
  await purchase(bench.parts(), first, payOf(key, first, 2 * QUANTUM));
  const restored = { ...first, granted: 2 * UNITS };
  const sale: Sale = {
    kind: "paid",
    counters: { charged: 2 * QUANTUM, granted: UNITS + 1 },
    pricePerMillionUnits: PRICE,
    validUntilSeconds: 0,
    transaction: "",
  };
  const seller: Seller = Object.assign(Object.create(bench.seller), { pay: async () => sale });
  const { grant } = await purchase(bench.parts({ seller }), restored, payOf(key, first, 2 * QUANTUM));
  expect(grant).toMatchObject({ refusal: null, charged: 2 * QUANTUM, granted: 2 * UNITS });
});
