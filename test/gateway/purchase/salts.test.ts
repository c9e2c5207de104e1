// A channel that can be bought on no more is left, never one that can; two sellers never share one.

import fc from "fast-check";
import { expect, test } from "vitest";
import { channelFor, chooseQuantum } from "#gateway/purchase/channels";
import { signatureText } from "#gateway/purchase/payload";
import type { Sale, Seller } from "#gateway/purchase/ports";
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
  const buyer = { device, client: clientOf(bench.seller, seller), signsAhead: false, leaves };
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

test("a device that signs ahead gets the units of a rung charged in part, no counter off its ladder, and another channel", async () => {
  const bench = newBench();
  bench.seller.chargedPermille = 700;
  const opened = await openChannelOf(bench, key);
  const parts = bench.parts({ signsAhead: true });
  const { channel: after, grant } = await purchase(parts, opened, payOf(key, opened, QUANTUM));
  expect(grant).toMatchObject({ refusal: "seller-refused", charged: 0, granted: (UNITS * 70) / QUANTUM });
  expect(after).toMatchObject({ charged: 70, signed: QUANTUM });
  expect(bench.ledger.payment(opened.id, QUANTUM)).toMatchObject({ amountAtomic: 70, charged: 70 });
  const again = await purchase(parts, after, payOf(key, opened, QUANTUM));
  expect(again.grant).toEqual(grant);
  expect(await channelOf(bench, true)).not.toMatchObject({ id: opened.id });
  expect(await channelOf(bench, false)).toMatchObject({ id: opened.id, charged: 70 });
});

test("a rung charged in part, whose answer was lost, is settled at that part", async () => {
  for (const signsAhead of [false, true]) {
    const bench = newBench();
    bench.seller.chargedPermille = 700;
    const opened = await openChannelOf(bench, key);
    const parts = bench.parts({ signsAhead });
    const pay = payOf(key, opened, QUANTUM);
    await purchase(parts, opened, pay);
    bench.ledger.payments.clear();
    const { channel: after, grant } = await purchase(parts, opened, pay);
    expect(after).toMatchObject({ charged: 70, granted: (UNITS * 70) / QUANTUM });
    expect(grant).toMatchObject(
      signsAhead ? { refusal: "seller-refused", charged: 0 } : { refusal: null, charged: 70 },
    );
    expect(bench.seller.charges).toHaveLength(1);
  }
});

test("a rung charged in part and presented again is answered by the ledger, without asking the seller", async () => {
  const bench = newBench();
  bench.seller.chargedPermille = 370;
  const opened = await openChannelOf(bench, key);
  const pay = payOf(key, opened, QUANTUM);
  const { channel: after, grant } = await purchase(bench.parts(), opened, pay);
  const { presented } = bench.seller;
  const again = await purchase(bench.parts(), after, pay);
  expect(again.grant).toMatchObject({ refusal: null, charged: 37, granted: grant.granted });
  expect(bench.seller.presented).toBe(presented);
});

test("vouchers charged in part that ledger and device forgot are caught up by the newest one, if the device signed it", async () => {
  for (const signer of [key, newKey()]) {
    const bench = newBench();
    const opened = await openChannelOf(bench, key);
    // It charged 37 of each of three vouchers; the ledger is from before them, the device from after the first.
    const newest = { maxClaimable: 174, signature: signatureText(payOf(signer, opened, 174)) };
    const seller: Seller = Object.assign(Object.create(bench.seller), {
      pay: async (): Promise<Sale> => ({
        ...{ kind: "unpaid", reason: "cumulative_amount_mismatch", charged: 111, voucher: newest },
      }),
      recover: async () => ({ charged: 111, granted: 555 }),
    });
    const { channel: after, grant } = await purchase(
      bench.parts({ seller }),
      opened,
      payOf(key, opened, 100),
    );
    if (signer === key) {
      expect(grant).toMatchObject({ refusal: null, charged: 111, granted: 555 });
      expect(after).toMatchObject({ charged: 111, signed: 174 });
      expect(bench.ledger.payment(opened.id, 174)).toMatchObject({
        ...{ amountAtomic: 111 },
        signature: newest.signature,
      });
    } else {
      expect(grant).toMatchObject({ refusal: "seller-unavailable", charged: 0, granted: 0 });
      expect(bench.ledger.payments.size).toBe(0);
    }
  }
});

test("the quantum offered leads above all that was signed, and where none does another channel is offered", async () => {
  const tariff = { unit: "mWh", pricePerMillionUnits: 200_000, validUntilSeconds: 0, menu: [20, 50, 100] };
  for (const [ahead, quantum] of [
    [0, 20],
    [20, 50],
    [63, 100],
    [100, 20],
  ] as const) {
    expect(chooseQuantum(tariff, 100, ahead)).toBe(quantum);
  }
  const bench = newBench();
  bench.seller.chargedPermille = 370;
  const opened = await openChannelOf(bench, key);
  await purchase(bench.parts(), opened, payOf(key, opened, QUANTUM));
  expect(await channelOf(bench, false, 64)).toMatchObject({ id: opened.id });
  expect(await channelOf(bench, false, 63)).not.toMatchObject({ id: opened.id });
});

test("a seller that charges nothing for a voucher has not sold: it is refused, and nothing is in the ledger", async () => {
  const bench = newBench();
  bench.seller.chargedPermille = 0;
  const opened = await openChannelOf(bench, key);
  const bought = await purchase(bench.parts(), opened, payOf(key, opened, QUANTUM));
  expect(bought.grant).toMatchObject({ refusal: "seller-refused", charged: 0, granted: 0 });
  expect(bought.fault).toMatchObject({
    reason: expect.stringContaining("it charged 0 for a voucher of 100 on 0"),
  });
  expect(bench.ledger.payments.size).toBe(0);
});

/** The channel that a device would be offered now. */
function channelOf(bench: Bench, signsAhead: boolean, amount = QUANTUM) {
  const quote = {
    resource: "http://seller/energy",
    requirements: requirementsOf("batch-settlement", amount),
  };
  const buyer = { device: deviceOf(key), client: clientOf(bench.seller), signsAhead, leaves: false };
  return channelFor(bench.parts(), buyer, quote, NOW_SECONDS * 1000);
}
