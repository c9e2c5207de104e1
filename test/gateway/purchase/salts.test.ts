// A channel that can be bought on no more is left, never one that can; two sellers never share one.

import fc from "fast-check";
import { expect, test } from "vitest";
import { channelFor } from "#gateway/purchase/channels";
import type { ChannelRecord, Sale } from "#gateway/purchase/ports";
import { purchase } from "#gateway/purchase/purchase";
import { tokenName } from "#protocol/payment-token";
import {
  type Bench,
  clientOf,
  deviceOf,
  NOW_SECONDS,
  newBench,
  newKey,
  openChannelOf,
  payOf,
  QUANTUM,
  requirementsOf,
  UNITS,
} from "./fixtures.ts";

const key = newKey();
const device = deviceOf(key);

async function channel(
  bench: Bench,
  seller: string,
  leaves = false,
  scheme = "batch-settlement" as const,
  amount = QUANTUM,
) {
  const quote = { resource: "http://seller/energy", requirements: requirementsOf(scheme, amount) };
  const buyer = { device, client: clientOf(bench.seller, seller), leaves };
  return channelFor(bench.parts(), buyer, quote, NOW_SECONDS * 1000);
}

test("every channel of a device is one seller's, whatever is offered, left and offered again, by either scheme", async () => {
  const step = fc.record({ seller: fc.constantFrom("a", "b", "c"), leaves: fc.boolean() });
  for (const scheme of ["batch-settlement", "exact"] as const) {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 20 }), async (steps) => {
        const bench = newBench();
        const owners = new Map<string, string>();
        const present = new Map<string, string>();
        for (const [index, { seller, leaves }] of steps.entries()) {
          // No price comes back: one that did would lead back to its channel.
          const found = await channel(bench, seller, leaves, scheme as "batch-settlement", QUANTUM + index);
          await bench.ledger.saveChannel(found);
          expect(owners.get(found.id) ?? seller).toBe(seller);
          expect(found.seller).toBe(seller);
          const isSame = present.get(seller) === found.id;
          expect(isSame).toBe(present.has(seller) && !leaves);
          if (!isSame) expect(owners.has(found.id)).toBe(false);
          owners.set(found.id, seller);
          present.set(seller, found.id);
        }
      }),
      { numRuns: 30 },
    );
  }
});

test("a device whose channels are all used up is refused with that reason", async () => {
  const bench = newBench();
  for (let salt = 0; salt < 128; salt++) await bench.ledger.saveChannel(await channel(bench, "a", salt > 0));
  await expect(channel(bench, "a", true)).rejects.toThrow(
    /expected at most 128 channels, found them all used up/,
  );
});

test("a price that comes back finds the channel that was left at it, unless that one is empty", async () => {
  for (const [balance, isBack] of [
    [QUANTUM, true],
    [QUANTUM - 1, false],
  ] as const) {
    const bench = newBench();
    const first = await channel(bench, "a");
    const deposit = { channelId: first.id, index: 0, amountAtomic: balance, validBeforeSeconds: 0 };
    await bench.ledger.saveChannel(first);
    await bench.ledger.saveDeposit({
      ...deposit,
      signature: "0x",
      state: "confirmed",
      atSeconds: 0,
      isNewcomer: false,
      token: tokenName(first.requirements),
    });
    const second = await channel(bench, "a", true, undefined, 150);
    await bench.ledger.saveChannel(second);
    expect(second.id).not.toBe(first.id);
    const third = await channel(bench, "a", true);
    expect(third.id === first.id).toBe(isBack);
    expect(third.revision).toBeGreaterThan(second.revision);
    await bench.ledger.saveChannel(third);
    // The one offered last is the present one, whatever its salt.
    expect((await channel(bench, "a")).id).toBe(third.id);
  }
});

/** A seller that charges a share of what is signed. */
function partial(bench: Bench, chargedAtomic: number): Bench["seller"] {
  return Object.assign(Object.create(bench.seller) as Bench["seller"], {
    pay: async (of: ChannelRecord): Promise<Sale> => ({
      kind: "paid",
      counters: {
        charged: of.charged + chargedAtomic,
        granted: of.granted + (UNITS * chargedAtomic) / QUANTUM,
      },
      pricePerMillionUnits: 200_000,
      validUntilSeconds: 0,
      transaction: "",
    }),
  });
}

test("a rung charged in part gives its units, ends its channel, and is answered without a counter off the ladder", async () => {
  const bench = newBench();
  const opened = await openChannelOf(bench, key);
  const parts = bench.parts({ seller: partial(bench, 70) });
  const { channel: after, grant } = await purchase(parts, opened, payOf(key, opened, QUANTUM));
  expect(grant).toMatchObject({ refusal: "seller-refused", charged: 0, granted: (UNITS * 70) / QUANTUM });
  expect(after).toMatchObject({ charged: 70 });
  expect(bench.ledger.payment(opened.id, QUANTUM)).toMatchObject({ amountAtomic: 70, charged: 70 });
  expect(bench.notes.join()).toContain("charged less than was signed");
  const next = await channel(bench, opened.seller);
  expect(next.id).not.toBe(opened.id);
  expect(next).toMatchObject({ charged: 0, granted: 0, balance: 0 });
});

test("a rung charged in part, whose answer was lost, is settled at that part", async () => {
  const bench = newBench();
  const opened = await openChannelOf(bench, key);
  const seller = Object.assign(partial(bench, 0), {
    pay: async (of: ChannelRecord): Promise<Sale> => ({
      kind: "unpaid",
      reason: "invalid_batch_settlement_evm_cumulative_amount_mismatch",
      charged: Math.max(of.charged, 70),
    }),
    recover: async () => ({ charged: 70, granted: (UNITS * 70) / QUANTUM }),
  });
  const { channel: after } = await purchase(bench.parts({ seller }), opened, payOf(key, opened, QUANTUM));
  expect(after).toMatchObject({ charged: 70, granted: (UNITS * 70) / QUANTUM });
  expect((await channel(bench, opened.seller)).id).not.toBe(opened.id);
});
