// How much leaves the treasury: by the device's own use, and never beyond any of the limits.

import { expect, test } from "vitest";
import { intendDeposit } from "#gateway/purchase/deposit";
import { type FundingLimits, isWithin, nextDepositAtomic } from "#gateway/purchase/funding";
import type { ChannelRecord, DepositRecord } from "#gateway/purchase/ports";
import { paymentNumbered } from "../ledger/records.ts";
import { type Bench, NOW_SECONDS, newBench, newKey, openChannelOf } from "../purchase/fixtures.ts";

const DAY_SECONDS = 86_400;

/** A channel that was charged 100 atomic units at a time, evenly, until now. */
async function used(bench: Bench, days: number, purchases: number): Promise<ChannelRecord> {
  const channel = await openChannelOf(bench, newKey());
  const since = NOW_SECONDS - days * DAY_SECONDS;
  for (let number = 0; number < purchases; number += 1) {
    const atSeconds = Math.floor(since + (number * days * DAY_SECONDS) / (purchases - 1));
    const payment = { ...paymentNumbered(number), channelId: channel.id, atSeconds };
    await bench.ledger.recordPayment(payment, { ...channel, charged: payment.charged });
  }
  return { ...channel, charged: purchases * 100 };
}

/** Devices of the operator's list: limits are those of the whole fleet. */
const ENROLLED = { isEnrolled: () => true };

const next = (bench: Bench, channel: ChannelRecord, limits: Partial<FundingLimits> = {}) =>
  nextDepositAtomic(
    bench.parts({ ...ENROLLED, limits: { ...bench.limits, ...limits } }),
    channel,
    NOW_SECONDS,
  );

test("a deposit is sized to days of the device's own use, once a whole day of it is known", async () => {
  const bench = newBench({ depositDays: 7, depositAtomic: 1_000 });
  // 10 purchases of 100 a day.
  expect(await next(bench, await used(bench, 4, 41))).toBe(7 * 1_000);
  expect(await next(bench, await used(bench, 30, 301))).toBe(7 * 1_000);
  expect(await next(bench, await used(bench, 4, 41), { depositDays: 2 })).toBe(2_000);
  expect(await next(bench, await used(bench, 4, 41), { depositDays: 0 })).toBe(1_000);
  expect(await next(bench, await used(bench, 0.5, 41))).toBe(1_000);
  expect(await next(bench, await openChannelOf(bench, newKey()))).toBe(1_000);
});

test("a seller's minimum raises a deposit, and where a limit leaves no room for the sized one the usual one is tried", async () => {
  const bench = newBench({ depositDays: 7, depositAtomic: 1_000 });
  const channel = await used(bench, 4, 41);
  const extra = { ...channel.requirements.extra, minDeposit: "9000" };
  const demanding = { ...channel, requirements: { ...channel.requirements, extra } };
  expect(await next(bench, demanding)).toBe(9_000);
  expect(await next(bench, channel, { perDayAtomic: 5_000 })).toBe(1_000);
  expect(await next(bench, channel, { perDayAtomic: 900 })).toBe(0);
  expect(await next(bench, demanding, { perDayAtomic: 5_000 })).toBe(0);
});

test.each<[keyof FundingLimits, number]>([
  ["perChannelAtomic", 2],
  ["perDevicePerDayAtomic", 2],
  ["perDayAtomic", 2],
  ["fleetAtomic", 2],
])("%s is never passed, and exactly reached", async (limit, fitting) => {
  const bench = newBench({ depositAtomic: 1_000, [limit]: fitting * 1_000 });
  const channel = await openChannelOf(bench, newKey());
  const made: (DepositRecord | null)[] = [];
  for (let index = 0; index < 4; index += 1) {
    const amount = await next(bench, channel);
    const counted = { ...channel, balance: bench.ledger.balanceOf(channel.id) };
    const deposit = amount === 0 ? null : await intendDeposit(bench.parts(ENROLLED), counted, amount);
    if (deposit) await bench.ledger.saveDeposit({ ...deposit, state: "confirmed" });
    made.push(deposit);
  }
  expect(made.map((deposit) => deposit !== null)).toEqual([true, true, false, false]);
});

test("a device's day and the fleet's day end; a channel's and the fleet's life do not", async () => {
  const bench = newBench({ depositAtomic: 1_000 });
  const channel = await openChannelOf(bench, newKey());
  const deposit = await intendDeposit(bench.parts(ENROLLED), channel, 1_000);
  await bench.ledger.saveDeposit({ ...deposit!, state: "confirmed" });
  const tomorrow = NOW_SECONDS + DAY_SECONDS + 1;
  const ask = (limits: Partial<FundingLimits>, nowSeconds: number) =>
    nextDepositAtomic(
      bench.parts({ ...ENROLLED, limits: { ...bench.limits, ...limits } }),
      channel,
      nowSeconds,
    );
  for (const limit of ["perDevicePerDayAtomic", "perDayAtomic"] as const) {
    expect(await ask({ [limit]: 1_500 }, NOW_SECONDS)).toBe(0);
    expect(await ask({ [limit]: 1_500 }, tomorrow)).toBe(1_000);
  }
  for (const limit of ["perChannelAtomic", "fleetAtomic"] as const) {
    expect(await ask({ [limit]: 1_500 }, tomorrow)).toBe(0);
  }
});

test("devices that ask in the same moment cannot pass the day's limit together", async () => {
  const bench = newBench({ depositAtomic: 1_000, perDayAtomic: 7_500 });
  const channels = await Promise.all(Array.from({ length: 30 }, () => openChannelOf(bench, newKey())));
  const made = await Promise.all(
    channels.map((channel) => intendDeposit(bench.parts(ENROLLED), channel, 1_000)),
  );
  expect(made.filter((deposit) => deposit !== null)).toHaveLength(7);
  const totals = bench.ledger.depositTotals(channels[0]!, 0);
  expect(totals.fleetAtomic).toBe(7_000);
  expect(isWithin(bench.limits, totals, 501, false)).toBe(false);
});

test("a deposit reckoned without one that arrived meanwhile is not made", async () => {
  const bench = newBench({ depositAtomic: 1_000 });
  const channel = await openChannelOf(bench, newKey());
  const first = await intendDeposit(bench.parts(), channel, 1_000);
  // A gateway that still counts the balance from before, and saw no deposit under way when it decided.
  await bench.ledger.saveDeposit({ ...first!, state: "confirmed" });
  expect(await intendDeposit(bench.parts(), channel, 1_000)).toBeNull();
  expect(bench.ledger.deposits(channel.id)).toHaveLength(1);
  const counted = { ...channel, balance: bench.ledger.balanceOf(channel.id) };
  expect(await intendDeposit(bench.parts(), counted, 1_000)).toMatchObject({ index: 1 });
});
