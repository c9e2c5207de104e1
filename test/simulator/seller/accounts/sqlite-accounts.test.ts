// The store of charges: what was charged is there after a crash at any moment, however many charges the journal
// holds and however far they were folded into the accounts; a disk that is slow or fails leaves nothing behind.

import { cp, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import Libsql from "libsql";
import { afterAll, describe, expect, test } from "vitest";
import { CHARGE_BYTES, channelIdAt, chargedAt } from "#simulator/seller/accounts/charge";
import { SqliteAccounts } from "#simulator/seller/accounts/sqlite-accounts";
import type { Channel, ChannelOnChain, StoredAnswer } from "#simulator/seller/ports";
import { type TroubledDisk, troubledDisk } from "../../../gateway/ledger/cuts/troubled-disk.ts";

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

const open = (directory: string, foldEveryMs = 60_000, liveMax = 100, disk?: TroubledDisk) =>
  new SqliteAccounts({
    directory,
    identity: IDENTITY,
    quote: () => QUOTE,
    foldEveryMs,
    liveMax,
    ...(disk === undefined ? {} : { disk }),
  });

/** What a process that is killed leaves: the files, in the middle of everything, and a lock that no process holds. */
async function crashOf(directory: string): Promise<string> {
  const copy = await newDirectory();
  await cp(directory, copy, { recursive: true, filter: (path) => !/\.lock|\.draft/.test(path) });
  return copy;
}

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

/** @param amountAtomic charged of the AMOUNT that is signed */
function buy(store: SqliteAccounts, index: number, amountAtomic = AMOUNT): Promise<StoredAnswer> {
  const channel = store.channel(idOf(index))!;
  const charged = Number(channel.chargedCumulativeAmount) + AMOUNT;
  const voucher = {
    maxClaimable: String(charged),
    signature: signatureOf(index, charged),
    amountAtomic,
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
      fc.constantFrom(1, 5, 60_000),
      fc.integer({ min: 1, max: 5 }),
    );
    await fc.assert(
      fc.asyncProperty(life, async ([steps, foldEveryMs, liveMax]) => {
        let directory = await newDirectory();
        let store = open(directory, foldEveryMs, liveMax);
        const answers = new Map<string, StoredAnswer>();
        const charged = [0, 0, 0, 0];
        for (const [index] of charged.entries()) {
          await openChannel(store, index);
          charged[index] = AMOUNT;
        }
        for (const one of [...steps, "crash" as const]) {
          if (one === "crash" || one === "restart") {
            const before = store;
            if (one === "restart") await store.close();
            else directory = await crashOf(directory);
            store = open(directory, foldEveryMs, liveMax);
            if (one === "crash") await before.close();
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
          const isNewest = amount === charged[index!];
          if (isNewest) expect(store.answer(idOf(index!), String(amount))).toEqual(answer);
          else expect(store.answer(idOf(index!), String(amount))).toBeUndefined();
        }
        expect(store.channels()).toHaveLength(charged.length);
        await store.close();
      }),
      { numRuns: 6 },
    );
  });

  test("keep the answer of a channel's newest voucher, through a crash and a fold", async () => {
    const directory = await newDirectory();
    const store = open(directory);
    await openChannel(store, 0);
    const sold: StoredAnswer[] = [];
    for (let rung = 0; rung < 5; rung += 1) sold.push(await buy(store, 0));
    const crashed = open(await crashOf(directory));
    await store.close();
    for (const one of [crashed, open(directory)]) {
      expect(sold.map(({ answer }) => one.answer(idOf(0), String(answer.charged)))).toEqual([
        ...Array.from({ length: 4 }),
        sold[4],
      ]);
      await one.close();
    }
  });

  test("in part keep the answer of a channel's newest voucher alone, through a crash and folds", async () => {
    const directory = await newDirectory();
    const store = open(directory);
    await openChannel(store, 0);
    const sold: [string, StoredAnswer][] = [];
    for (const part of [37, AMOUNT, 40, 41]) {
      const answer = await buy(store, 0, part);
      sold.push([store.channel(idOf(0))!.signedMaxClaimable, answer]);
    }
    const [crashed, newest] = [open(await crashOf(directory)), sold.at(-1)!];
    const charged = AMOUNT + 37 + AMOUNT + 40 + 41;
    await store.close();
    for (const one of [crashed, open(directory), open(await crashOf(directory))]) {
      expect(sold.map(([signed]) => one.answer(idOf(0), signed))).toEqual([
        ...Array.from({ length: 3 }),
        newest[1],
      ]);
      expect(one.account(idOf(0))).toMatchObject({ charged, purchases: 5 });
      expect(one.channel(idOf(0))).toMatchObject({
        chargedCumulativeAmount: String(charged),
        signedMaxClaimable: newest[0],
      });
      await one.close();
    }
  });

  test("of a deposit are not forgotten for older ones that the journal still holds", async () => {
    const directory = await newDirectory();
    const store = open(directory);
    await openChannel(store, 0);
    for (let rung = 0; rung < 5; rung += 1) await buy(store, 0);
    const charged = String(Number(store.channel(idOf(0))!.chargedCumulativeAmount) + AMOUNT);
    const signature = signatureOf(0, Number(charged));
    const counted = { chargedCumulativeAmount: charged, signedMaxClaimable: charged, signature };
    await store.updateChannel(idOf(0), (current) => ({ ...current!, ...counted, balance: "20000" }));
    const receipt = {
      success: true,
      transaction: "0xdd",
      network: IDENTITY.network,
      amount: "20000",
    } as const;
    await store.recordDeposit(idOf(0), charged, receipt);
    const answer = store.answer(idOf(0), charged);
    expect(answer).toMatchObject({ signature, receipt, answer: { charged: Number(charged) } });
    const again = open(await crashOf(directory));
    expect(again.answer(idOf(0), charged)).toEqual(answer);
    expect(again.channel(idOf(0))).toMatchObject({ ...counted, balance: "20000" });
    expect(again.totals().deposit).toEqual({ transactions: 1, channels: 1, gas: 0, amountAtomic: 20_000 });
    await again.close();
    await store.close();
  });

  test("of one channel wait for each other: while one is written no other is taken", async () => {
    const store = open(await newDirectory());
    await openChannel(store, 0);
    const channel = store.channel(idOf(0))!;
    const first = buy(store, 0);
    const voucher = { maxClaimable: "300", signature: signatureOf(0, 300), amountAtomic: 200, atMs: 1 };
    expect(store.chargeVoucher(channel, voucher)).toBeUndefined();
    expect((await first).answer.charged).toBe(200);
    await store.close();
  });

  test("that cannot be counted are refused, and those beside them in the commit are not", async () => {
    const store = open(await newDirectory());
    await openChannel(store, 0);
    const charging = buy(store, 0);
    const atEnd = { ...firstState(7), chargedCumulativeAmount: String(2 ** 48 - 1) };
    const overflow = store.chargeVoucher(atEnd, {
      maxClaimable: String(2 ** 48),
      signature: signatureOf(7, 1),
      amountAtomic: 1,
      atMs: 1,
    });
    await expect(overflow).rejects.toThrow("charged would pass");
    expect((await charging).answer.charged).toBe(2 * AMOUNT);
    expect(store.account(idOf(7))).toBeUndefined();
    await store.close();
    await expect(buy(store, 0)).rejects.toThrow("closed");
  });
});

test("a store from before a loss takes up the count that the chain knows was claimed", async () => {
  const store = open(await newDirectory());
  await openChannel(store, 0);
  await store.refreshChannels(new Map([[idOf(0), onChain(700n)]]), 5);
  expect(store.account(idOf(0))).toMatchObject({ charged: 700, granted: 500 });
  expect(store.channel(idOf(0))).toMatchObject({ chargedCumulativeAmount: "700", signature: "" });
  expect((await buy(store, 0)).answer).toMatchObject({ charged: 800, granted: 1_000 });
  await store.close();
});

describe("a disk in trouble", () => {
  test.each(["open", "write", "datasync", "syncFolder"] as const)(
    "whose %s fails refuses what it was to keep and nothing after it, and no refused charge comes back",
    async (step) => {
      const directory = await newDirectory();
      const disk = troubledDisk();
      const store = open(directory, 60_000, 100, disk);
      await openChannel(store, 0);
      await openChannel(store, 1);
      // A segment begins after each failure, so that every step is taken.
      disk.fail("write", "ENOSPC");
      await expect(buy(store, 1)).rejects.toThrow("ENOSPC");
      disk.fail("write", null);
      disk.fail(step, "EIO");
      const failed = await Promise.allSettled([buy(store, 0), buy(store, 1), recordExact(store, "0x01")]);
      expect(failed.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
      disk.fail(step, null);
      const sold = await Promise.all([buy(store, 0), recordExact(store, "0x02"), recordExact(store, "0x01")]);
      expect(sold.map(({ answer }) => answer.charged)).toEqual([2 * AMOUNT, AMOUNT, 2 * AMOUNT]);
      const again = open(await crashOf(directory));
      for (const one of [store, again]) {
        expect(one.account(idOf(0))).toMatchObject({ charged: 2 * AMOUNT, purchases: 2 });
        expect(one.account(idOf(1))).toMatchObject({ charged: AMOUNT, purchases: 1 });
        expect(one.account("0xee")).toMatchObject({ charged: 2 * AMOUNT, purchases: 2 });
        expect(one.answer("0xee", "0x01")).toEqual(sold[2]);
        await one.close();
      }
    },
  );

  test("that is slow delays the charge, and neither reads nor this thread", async () => {
    const disk = troubledDisk();
    const store = open(await newDirectory(), 1, 100, disk);
    await openChannel(store, 0);
    const release = disk.hold("datasync");
    let isSold = false;
    const charging = buy(store, 0).then((stored) => {
      isSold = true;
      return stored;
    });
    await disk.held();
    for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(isSold).toBe(false);
    expect(store.account(idOf(0))?.charged).toBe(AMOUNT);
    release();
    expect((await charging).answer.charged).toBe(2 * AMOUNT);
    await store.close();
  });

  test("whose journal is full refuses, and takes charges again once the tables have it", async () => {
    const disk = troubledDisk();
    const directory = await newDirectory();
    const store = new SqliteAccounts({
      directory,
      identity: IDENTITY,
      quote: () => QUOTE,
      disk,
      maxQueued: 3,
    });
    for (let index = 0; index < 5; index += 1) await openChannel(store, index);
    const release = disk.hold("datasync");
    const first = buy(store, 0);
    await disk.held();
    const others = [1, 2, 3].map((index) => buy(store, index));
    expect(store.isFull).toBe(true);
    await expect(buy(store, 4)).rejects.toThrow("expected room for one more entry");
    release();
    expect((await Promise.all([first, ...others])).map(({ answer }) => answer.charged)).toEqual(
      Array.from({ length: 4 }, () => 2 * AMOUNT),
    );
    expect((await buy(store, 4)).answer.charged).toBe(2 * AMOUNT);
    await store.close();
  });
});

describe("the directory", () => {
  test("is one process's: another store on it is refused by name", async () => {
    const directory = await newDirectory();
    const store = open(directory);
    expect(() => open(directory)).toThrow(/data directory .*: in use by another process/);
    await store.close();
    await open(directory).close();
  });

  test("has files that only their owner reads, whatever the umask", async () => {
    const directory = join(await newDirectory(), "data");
    const umask = process.umask(0);
    try {
      const store = open(directory, 1);
      await openChannel(store, 0);
      await buy(store, 0);
      for (const name of await readdir(directory)) {
        expect(`${name} ${((await stat(join(directory, name))).mode & 0o777).toString(8)}`).toBe(
          `${name} 600`,
        );
      }
      await store.close();
    } finally {
      process.umask(umask);
    }
  });

  test("of the version before opens with all its charges, those in its table included", async () => {
    const directory = await newDirectory();
    await cp("test/fixtures/before-0.1.0/accounts.db", join(directory, "accounts.db"));
    const before = new Libsql(join(directory, "accounts.db"));
    const rows = before.prepare("SELECT charges FROM charges ORDER BY seq").all() as {
      charges: Uint8Array;
    }[];
    const seller = before.prepare("SELECT network, token, receiver FROM seller").get() as typeof IDENTITY;
    before.close();
    const bytes = Buffer.concat(rows.map(({ charges }) => Buffer.from(charges)));
    expect(bytes.length).toBe(19 * CHARGE_BYTES);
    const identity = { network: seller.network, token: seller.token, receiver: seller.receiver };
    const newest = new Map<string, number>();
    for (let at = 0; at < bytes.length; at += CHARGE_BYTES)
      newest.set(channelIdAt(bytes, at), chargedAt(bytes, at));
    for (let opening = 0; opening < 2; opening += 1) {
      const store = new SqliteAccounts({ directory, identity, quote: () => QUOTE });
      for (const [id, charged] of newest) {
        expect(store.account(id)?.charged).toBe(charged);
        expect(store.answer(id, String(charged))).toMatchObject({ answer: { account: id, charged } });
      }
      await store.close();
    }
  });
});

function recordExact(store: SqliteAccounts, nonce: string): Promise<StoredAnswer> {
  const receipt = { success: true, transaction: `0xtx${nonce}`, network: IDENTITY.network } as const;
  return store.chargeTransfer({
    scheme: "exact",
    payer: "0xee",
    reference: nonce,
    signature: "0x5e",
    amountAtomic: AMOUNT,
    receipt,
  });
}
