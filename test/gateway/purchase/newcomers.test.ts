// Money for strangers: what keys that anybody can make up may reserve, and when it is free again.

import fc from "fast-check";
import { expect, test } from "vitest";
import { depositSize, intendDeposit } from "#gateway/purchase/deposit";
import { isWithin, totalsOf } from "#gateway/purchase/funding";
import type { ChannelRecord, DepositRecord } from "#gateway/purchase/ports";
import { purchase } from "#gateway/purchase/purchase";
import { tokenName } from "#protocol/payment-token";
import {
  type Bench,
  NETWORK,
  NOW_SECONDS,
  newBench,
  newKey,
  openChannelOf,
  payOf,
  QUANTUM,
  TOKEN,
} from "./fixtures.ts";

const HOUR_SECONDS = 3_600;

/** A channel of a device that bought before. */
async function knownLight(bench: Bench): Promise<ChannelRecord> {
  const channel = { ...(await openChannelOf(bench, newKey())), charged: QUANTUM };
  await bench.ledger.saveChannel(channel);
  return channel;
}

const deposits = (bench: Bench) => [...bench.ledger.depositRows.values()];

test("a rung that the seller does not sell leaves no signed deposit", async () => {
  const bench = newBench();
  const key = newKey();
  const channel = await openChannelOf(bench, key);
  let signed = 0;
  const treasury = {
    address: bench.treasury.address,
    sign(digest: Uint8Array) {
      signed += 1;
      return bench.treasury.sign(digest);
    },
  };
  const isOnSale = (amountAtomic: number) => amountAtomic === QUANTUM;
  const parts = bench.parts({ treasury, isOnSale });
  for (const odd of [1, QUANTUM - 1, QUANTUM + 1, 7 * QUANTUM]) {
    const { grant } = await purchase(parts, channel, payOf(key, channel, odd));
    expect(grant.refusal).not.toBeNull();
  }
  expect(deposits(bench)).toEqual([]);
  expect(signed).toBe(0);
  expect((await purchase(parts, channel, payOf(key, channel, QUANTUM))).grant.refusal).toBeNull();
});

test("strangers use up their own budget, hear so, and a light that bought before is funded all the same", async () => {
  const bench = newBench({ depositAtomic: 1_000, perDayAtomic: 2_000, newcomersPerDayAtomic: 2_000 });
  const answers: (string | null)[] = [];
  for (let stranger = 0; stranger < 4; stranger += 1) {
    const channel = await openChannelOf(bench, newKey());
    const amount = await depositSize(bench.parts(), channel);
    answers.push(amount > 0 && (await intendDeposit(bench.parts(), channel, amount)) ? "reserved" : null);
  }
  expect(answers).toEqual(["reserved", "reserved", null, null]);
  const late = newKey();
  const theirs = await openChannelOf(bench, late);
  expect((await purchase(bench.parts(), theirs, payOf(late, theirs, QUANTUM))).grant.refusal).toBe(
    "unfunded",
  );
  const known = await knownLight(bench);
  expect(await intendDeposit(bench.parts(), known, 1_000)).toMatchObject({ isNewcomer: false });
});

test("a refused newcomer is served when the budget renews, and one that is enrolled is no newcomer", async () => {
  const bench = newBench({ depositAtomic: 1_000, newcomersPerDayAtomic: 1_000 });
  const first = await openChannelOf(bench, newKey());
  const arrived = await intendDeposit(bench.parts(), first, 1_000);
  await bench.ledger.saveDeposit({ ...arrived!, state: "confirmed" });
  const second = await openChannelOf(bench, newKey());
  expect(await depositSize(bench.parts(), second)).toBe(0);
  expect(await depositSize(bench.parts({ isEnrolled: (device) => device === second.device }), second)).toBe(
    1_000,
  );
  bench.nowSeconds += 24 * HOUR_SECONDS + 1;
  expect(await depositSize(bench.parts(), second)).toBe(1_000);
});

test("a newcomer that buys makes room for the next one, and counts as known from then on", async () => {
  const bench = newBench({ depositAtomic: 1_000, newcomersPerDayAtomic: 1_000, perDayAtomic: 3_000 });
  for (let device = 0; device < 3; device += 1) {
    const key = newKey();
    const channel = await openChannelOf(bench, key);
    const bought = await purchase(bench.parts(), channel, payOf(key, channel, QUANTUM));
    expect(bought.grant.refusal).toBeNull();
  }
  const channel = await knownLight(bench);
  // Three have bought, so the day of the known is used up; the newcomers' is not.
  expect(await depositSize(bench.parts(), channel)).toBe(0);
  expect(await depositSize(bench.parts(), await openChannelOf(bench, newKey()))).toBe(1_000);
});

test("a deposit whose authorization ended unused counts nowhere, once the chain's clock says that it ended", async () => {
  const bench = newBench({ depositAtomic: 1_000, newcomersPerDayAtomic: 1_000 });
  const first = await openChannelOf(bench, newKey());
  const reserved = await intendDeposit(bench.parts(), first, 1_000);
  const second = await openChannelOf(bench, newKey());
  bench.nowSeconds = reserved!.validBeforeSeconds + 1;
  // The chain's clock is behind: it may still arrive.
  bench.chain.clockSeconds = reserved!.validBeforeSeconds - 1;
  expect(await depositSize(bench.parts(), second)).toBe(0);
  bench.chain.clockSeconds = reserved!.validBeforeSeconds;
  expect(await depositSize(bench.parts(), second)).toBe(1_000);
  expect(deposits(bench)).toMatchObject([{ state: "expired" }]);
  expect(bench.ledger.depositTotals(first, 0)).toMatchObject({ channelAtomic: 0, newcomersDayAtomic: 0 });
  // Its device is served again too, by another authorization.
  expect(await intendDeposit(bench.parts(), first, 1_000)).toMatchObject({ index: 1, state: "intended" });
});

test("one that arrived unnoticed is confirmed, not freed, and a chain that is away frees nothing", async () => {
  const bench = newBench({ depositAtomic: 1_000, newcomersPerDayAtomic: 1_000 });
  const channel = await openChannelOf(bench, newKey());
  const reserved = await intendDeposit(bench.parts(), channel, 1_000);
  const other = await openChannelOf(bench, newKey());
  bench.nowSeconds = reserved!.validBeforeSeconds + 1;
  bench.chain.clockSeconds = bench.nowSeconds;
  const away = { ...bench.parts(), chain: Object.assign(Object.create(bench.chain), { timeSeconds: gone }) };
  expect(await depositSize(away, other)).toBe(0);
  bench.chain.authorizationUsed = async () => true;
  expect(await depositSize(bench.parts(), other)).toBe(0);
  expect(deposits(bench)).toMatchObject([{ state: "confirmed" }]);
  expect(bench.ledger.balanceOf(channel.id)).toBe(1_000);
});

const gone = () => Promise.reject(new Error("no node"));

const DEPOSIT = fc.record({
  amountAtomic: fc.integer({ min: 1, max: 1_000 }),
  state: fc.constantFrom<DepositRecord["state"]>("intended", "confirmed", "expired"),
  isToday: fc.boolean(),
  isNewcomer: fc.boolean(),
  hasBought: fc.boolean(),
});

test("whatever strangers reserve, the sums that known lights are held against stay as they are", () => {
  fc.assert(
    fc.property(fc.array(DEPOSIT), fc.array(DEPOSIT), (known, strange) => {
      const counted = (all: typeof known, isNewcomer: boolean) =>
        all.map((drawn, index) => ({
          deposit: depositOf(drawn, index),
          isOfChannel: false,
          isOfDevice: false,
          hasBought: isNewcomer ? false : drawn.hasBought,
        }));
      const others = counted(known, false);
      const strangers = counted(strange, true).map((one) => ({
        ...one,
        deposit: { ...one.deposit, isNewcomer: true },
      }));
      const before = totalsOf(others, NOW_SECONDS, { network: NETWORK, asset: TOKEN });
      const after = totalsOf([...others, ...strangers], NOW_SECONDS, { network: NETWORK, asset: TOKEN });
      expect({ ...after, newcomersDayAtomic: 0 }).toEqual({ ...before, newcomersDayAtomic: 0 });
      const { limits } = newBench();
      expect(isWithin(limits, after, 1, false)).toBe(isWithin(limits, before, 1, false));
    }),
  );
});

function depositOf(
  drawn: { amountAtomic: number; state: DepositRecord["state"]; isToday: boolean; isNewcomer: boolean },
  index: number,
): DepositRecord {
  const { amountAtomic, state, isNewcomer } = drawn;
  const atSeconds = drawn.isToday ? NOW_SECONDS : NOW_SECONDS - 1;
  const channelId: ChannelRecord["id"] = `0x${"ab".repeat(32)}`;
  return {
    channelId,
    index,
    amountAtomic,
    state,
    isNewcomer,
    token: tokenName({ network: NETWORK, asset: TOKEN }),
    atSeconds,
    signature: "0x",
    validBeforeSeconds: 0,
  };
}
