// The store of charges: what was charged is there after a crash at any moment, however many charges the journal
// holds and however far they were folded into the accounts.

import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { KEPT_ANSWERS } from "#simulator/utility/kept-answers";
import type { Channel, ChannelOnChain, StoredAnswer } from "#simulator/utility/ports";
import { SqliteAccounts } from "#simulator/utility/sqlite-accounts";

const IDENTITY = { network: "eip155:31337", token: "0xaa", receiver: "0xbb" } as const;
const QUOTE = { pricePerMillionUnits: 200_000, validUntilSeconds: 2_000_000_000 };
const AMOUNT = 100;

const directories: string[] = [];
afterAll(() => Promise.all(directories.map((directory) => rm(directory, { recursive: true, force: true }))));

async function newDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "watt402-accounts-"));
  directories.push(directory);
  return directory;
}

const open = (directory: string, foldAfter: number, liveMax = 100) =>
  new SqliteAccounts({ directory, identity: IDENTITY, quote: () => QUOTE, foldAfter, liveMax });

const idOf = (index: number) => `0x${(index + 1).toString(16).padStart(64, "0")}`;
const address = (digit: string) => `0x${digit.repeat(40)}` as const;

/** A signature as unlike others as its rung. */
const signatureOf = (index: number, charged: number) =>
  `0x${charged.toString(16).padStart(64, "0")}${index.toString(16).padStart(64, "0")}1b`;

function firstState(index: number): Channel {
  return {
    channelId: idOf(index),
    channelConfig: {
      payer: address("1"),
      payerAuthorizer: address("2"),
      receiver: address("3"),
      receiverAuthorizer: address("3"),
      token: address("4"),
      withdrawDelay: 900,
      salt: `0x${"0".repeat(64)}`,
    },
    chargedCumulativeAmount: "0",
    signedMaxClaimable: "0",
    signature: signatureOf(index, 0),
    balance: "340282366920938463463374607431768211455",
    totalClaimed: "0",
    withdrawRequestedAt: 0,
    refundNonce: 0,
    onchainSyncedAt: 1,
    lastRequestTimestamp: 1,
  };
}

/** As a deposit does: the channel's record and its first charge in one. */
async function openChannel(store: SqliteAccounts, index: number): Promise<void> {
  const pendingRequest = { pendingId: "0x1", signedMaxClaimable: String(AMOUNT), expiresAt: 2 ** 40 };
  await store.updateChannel(idOf(index), () => ({ ...firstState(index), pendingRequest }));
  await store.updateChannel(idOf(index), () => ({
    ...firstState(index),
    chargedCumulativeAmount: String(AMOUNT),
    signedMaxClaimable: String(AMOUNT),
    signature: signatureOf(index, AMOUNT),
  }));
}

function buy(store: SqliteAccounts, index: number): Promise<StoredAnswer> {
  const channel = store.channel(idOf(index))!;
  const charged = Number(channel.chargedCumulativeAmount) + AMOUNT;
  const voucher = {
    maxClaimable: String(charged),
    signature: signatureOf(index, charged),
    amountAtomic: AMOUNT,
    atMs: 1_700_000_000_000 + charged,
  };
  return store.chargeVoucher(channel, voucher)!;
}

const onChain = (totalClaimed: bigint): ChannelOnChain => ({
  balance: 10_000n,
  totalClaimed,
  withdrawRequestedAt: 0,
  refundNonce: 3n,
});

describe("charges", () => {
  test("are all there after a crash at any moment, with the answers they were given", async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ buyers: fc.uniqueArray(fc.nat(3), { minLength: 1 }) }) },
      { weight: 2, arbitrary: fc.record({ refreshed: fc.nat(3) }) },
      { weight: 1, arbitrary: fc.constant("crash" as const) },
      { weight: 1, arbitrary: fc.constant("restart" as const) },
    );
    const life = fc.tuple(
      fc.array(step, { minLength: 5, maxLength: 40 }),
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 5 }),
    );
    await fc.assert(
      fc.asyncProperty(life, async ([steps, foldAfter, liveMax]) => {
        let directory = await newDirectory();
        let store = open(directory, foldAfter, liveMax);
        const answers = new Map<string, StoredAnswer>();
        const charged = [0, 0, 0, 0];
        for (const [index] of charged.entries()) {
          await openChannel(store, index);
          charged[index] = AMOUNT;
        }
        for (const one of [...steps, "crash" as const]) {
          if (one === "crash" || one === "restart") {
            const crashed = directory;
            if (one === "restart") store.close();
            else directory = await newDirectory();
            // What a process that is killed leaves: the files, in the middle of everything.
            if (one === "crash") await cp(crashed, directory, { recursive: true });
            const before = store;
            store = open(directory, foldAfter, liveMax);
            if (one === "crash") before.close();
          } else if ("refreshed" in one) {
            await store.refreshChannels(new Map([[idOf(one.refreshed), onChain(50n)]]), 5);
          } else {
            const sold = await Promise.all(one.buyers.map((index) => buy(store, index)));
            one.buyers.forEach((index, at) => {
              charged[index]! += AMOUNT;
              answers.set(`${index} ${charged[index]}`, sold[at]!);
            });
          }
          for (const [index, amount] of charged.entries()) {
            expect(store.account(idOf(index))).toMatchObject({
              charged: amount,
              granted: (amount * 1_000_000) / QUOTE.pricePerMillionUnits,
              purchases: amount / AMOUNT,
            });
            expect(store.channel(idOf(index))).toMatchObject({
              chargedCumulativeAmount: String(amount),
              signedMaxClaimable: String(amount),
              signature: signatureOf(index, amount),
            });
          }
        }
        for (const [key, answer] of answers) {
          const [index, amount] = key.split(" ").map(Number);
          expect(store.answer(idOf(index!), String(amount))).toEqual(answer);
        }
        expect(store.channels()).toHaveLength(charged.length);
        store.close();
      }),
      { numRuns: 12 },
    );
  });

  test("keep the newest answers of a channel and no more, through a crash", async () => {
    const directory = await newDirectory();
    const store = open(directory, 10);
    await openChannel(store, 0);
    const sold: StoredAnswer[] = [];
    for (let rung = 0; rung < KEPT_ANSWERS + 20; rung += 1) sold.push(await buy(store, 0));
    const copy = await newDirectory();
    await cp(directory, copy, { recursive: true });
    for (const one of [store, open(copy, 10)]) {
      const found = sold.filter(
        (answer) => one.answer(idOf(0), String(answer.answer.charged))?.signature === answer.signature,
      );
      expect(found).toEqual(sold.slice(-KEPT_ANSWERS));
      expect(one.answer(idOf(0), String(sold.at(-1)!.answer.charged))).toEqual(sold.at(-1));
      one.close();
    }
  });

  test("of a deposit are not forgotten for older ones that the journal still holds", async () => {
    const directory = await newDirectory();
    const store = open(directory, 1_000);
    await openChannel(store, 0);
    for (let rung = 0; rung < KEPT_ANSWERS + 5; rung += 1) await buy(store, 0);
    const charged = String(Number(store.channel(idOf(0))!.chargedCumulativeAmount) + AMOUNT);
    const signature = signatureOf(0, Number(charged));
    const counted = { chargedCumulativeAmount: charged, signedMaxClaimable: charged, signature };
    await store.updateChannel(idOf(0), (current) => ({ ...current!, ...counted, balance: "20000" }));
    const answer = store.answer(idOf(0), charged);
    expect(answer).toMatchObject({ signature, answer: { charged: Number(charged) } });
    const copy = await newDirectory();
    await cp(directory, copy, { recursive: true });
    const again = open(copy, 1_000);
    expect(again.answer(idOf(0), charged)).toEqual(answer);
    expect(again.channel(idOf(0))).toMatchObject({ ...counted, balance: "20000" });
    again.close();
    store.close();
  });

  test("of one channel wait for each other: while one is written no other is taken", async () => {
    const store = open(await newDirectory(), 100);
    await openChannel(store, 0);
    const channel = store.channel(idOf(0))!;
    const first = buy(store, 0);
    const voucher = { maxClaimable: "300", signature: signatureOf(0, 300), amountAtomic: 200, atMs: 1 };
    expect(store.chargeVoucher(channel, voucher)).toBeUndefined();
    expect((await first).answer.charged).toBe(200);
    store.close();
  });

  test("that cannot be counted are refused, and those beside them in the commit are not", async () => {
    const store = open(await newDirectory(), 100);
    await openChannel(store, 0);
    const charging = buy(store, 0);
    const overflow = store.chargeVoucher(firstState(7), {
      maxClaimable: String(2 ** 48),
      signature: signatureOf(7, 1),
      amountAtomic: 1,
      atMs: 1,
    });
    await expect(overflow).rejects.toThrow("charged would pass");
    expect((await charging).answer.charged).toBe(2 * AMOUNT);
    expect(store.account(idOf(7))).toBeUndefined();
    store.close();
    await expect(buy(store, 0)).rejects.toThrow("closed");
  });
});

test("a store from before a loss takes up the count that the chain knows was claimed", async () => {
  const store = open(await newDirectory(), 100);
  await openChannel(store, 0);
  await store.refreshChannels(new Map([[idOf(0), onChain(700n)]]), 5);
  expect(store.account(idOf(0))).toMatchObject({ charged: 700, granted: 500 });
  expect(store.channel(idOf(0))).toMatchObject({ chargedCumulativeAmount: "700", signature: "" });
  expect((await buy(store, 0)).answer).toMatchObject({ charged: 800, granted: 1_000 });
  store.close();
});
