// The ledger's file: what resolved is there after any end of the process, once, and read back as it was.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Libsql from "libsql";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SCHEMA_VERSION } from "#gateway/ledger/migrations";
import { openSqliteLedger } from "#gateway/ledger/sqlite/sqlite-ledger";
import { totalsOf } from "#gateway/purchase/funding";
import type { ChannelRecord, DepositRecord } from "#gateway/purchase/ports";
import { tokenName } from "#protocol/payment-token";
import { bundleOf } from "../processes/bundle.ts";
import { deviceOf, newKey, requirementsOf } from "../purchase/fixtures.ts";
import { channelNumbered, depositNumbered, paymentNumbered } from "./records.ts";
import { expectDocuments } from "./signed-documents.ts";

const KILLS = 25;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "watt402-ledger-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test(`${KILLS} kills at any moment: every payment whose promise resolved is in the ledger, whole, with its channel`, async () => {
  const writer = await bundleOf(fileURLToPath(new URL("./writer-process.ts", import.meta.url)), directory);
  const told = new Set<number>();
  for (let kill = 0; kill < KILLS; kill += 1) {
    const child = spawn(process.execPath, [writer, directory, String(kill * 100_000)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    await new Promise<void>((resolve) => {
      child.stdout.on("data", (chunk) => {
        text += chunk;
        if (text.split("\n").length > 8 + kill * 2) child.kill("SIGKILL");
      });
      child.on("close", () => resolve());
    });
    for (const line of text.split("\n").slice(0, -1)) told.add(Number(line));
  }
  const ledger = openSqliteLedger(directory);
  expect(told.size).toBeGreaterThan(KILLS * 8);
  expect(ledger.counts.payments).toBeGreaterThanOrEqual(told.size);
  for (const number of told) {
    const payment = paymentNumbered(number);
    expect(ledger.payment(payment.channelId, payment.maxClaimable)).toEqual(payment);
  }
  const highest = Math.max(...told);
  const [channel] = ledger.channelsOf(channelNumbered(0).device);
  expect(channel!.charged).toBeGreaterThanOrEqual(paymentNumbered(highest).charged);
  await ledger.close();
});

test("a payment recorded again, by whomever and with whatever beside, stays as it was", async () => {
  const ledger = openSqliteLedger(directory);
  await ledger.recordPayment(paymentNumbered(1), channelNumbered(1));
  const other = { ...paymentNumbered(1), granted: 999, signature: "0x00", amountAtomic: 1 };
  await Promise.all(Array.from({ length: 50 }, () => ledger.recordPayment(other, channelNumbered(1))));
  expect(ledger.payment(other.channelId, other.maxClaimable)).toEqual(paymentNumbered(1));
  expect(ledger.counts.payments).toBe(1);
  await ledger.close();
});

test("a channel's counters never fall, in whatever order they are written", async () => {
  const ledger = openSqliteLedger(directory);
  const high: ChannelRecord = { ...channelNumbered(9), promised: 5_000 };
  await Promise.all([ledger.saveChannel(high), ledger.saveChannel({ ...channelNumbered(3), revision: 1 })]);
  expect(ledger.channelsOf(high.device)).toEqual([{ ...high, balance: 0 }]);
  await ledger.close();
});

test("everything is read back as it was after the file was closed and opened", async () => {
  const device = deviceOf(newKey());
  const deposit: DepositRecord = {
    channelId: channelNumbered(0).id,
    index: 0,
    amountAtomic: 2 ** 48 - 1,
    validBeforeSeconds: 1_900_000_000,
    isNewcomer: false,
    token: tokenName(channelNumbered(0).requirements),
    signature: `0x${"12".repeat(65)}`,
    state: "confirmed",
    atSeconds: 1_800_000_000,
  };
  const intended: DepositRecord = {
    ...deposit,
    index: 1,
    amountAtomic: 7,
    state: "intended",
    atSeconds: 1_800_000_100,
  };
  const exact = {
    ...channelNumbered(2),
    id: `0x${"ee".repeat(32)}`,
    config: null,
    requirements: requirementsOf("exact", 10),
  };
  const first = openSqliteLedger(directory);
  await first.saveDevice(device);
  await first.recordPayment(paymentNumbered(4), channelNumbered(4));
  await first.saveChannel(exact);
  await first.saveDeposit(deposit);
  await first.saveDeposit(intended);
  const unknown = { maxClaimable: 10, sinceSeconds: 1_800_000_000 };
  await first.saveUnknown(exact.id, { ...unknown, maxClaimable: 9 });
  await first.saveUnknown(exact.id, unknown);
  await first.close();
  const again = openSqliteLedger(directory);
  expect(again.device(device.device)).toEqual(device);
  expect(again.device("00".repeat(20))).toBeNull();
  expect(again.deposits(deposit.channelId)).toEqual([deposit, intended]);
  const sum = deposit.amountAtomic + 7;
  const totals = {
    channelAtomic: sum,
    deviceDayAtomic: 7,
    fleetDayAtomic: 7,
    fleetAtomic: sum,
    newcomersDayAtomic: 0,
  };
  expect(again.depositTotals(channelNumbered(4), 1_800_000_100)).toEqual(totals);
  expect(again.depositTotals(exact, 0)).toMatchObject({ channelAtomic: 0, deviceDayAtomic: sum });
  const balance = deposit.amountAtomic;
  expect(again.channelsOf(exact.device)).toEqual(
    expect.arrayContaining([
      { ...channelNumbered(4), balance },
      { ...exact, balance: 0, unknown },
    ]),
  );
  await again.saveUnknown(exact.id, null);
  expect(again.channels().filter((channel) => channel.unknown !== undefined)).toEqual([]);
  expect(again.counts.payments).toBe(1);
  await again.close();
});

test("what sellers have signed stays as it was first kept, and a receipt is due for what is charged beyond the newest", async () => {
  const ledger = openSqliteLedger(directory);
  await expectDocuments(ledger, channelNumbered(1), paymentNumbered(1));
  await ledger.close();
});

test("deposits are summed as the rules sum them: each token by itself, strangers' apart until they buy, expired ones nowhere", async () => {
  const ledger = openSqliteLedger(directory);
  const states = ["intended", "confirmed", "expired"] as const;
  const paid = tokenName(channelNumbered(0).requirements);
  const other = paid.replace(/0x.*/, `0x${"99".repeat(20)}`);
  const names = [paid, paid, other, "", paid];
  const drawn = Array.from({ length: 24 }, (_, number) => ({
    channel: {
      ...channelNumbered(0),
      id: `0x${String(number).padStart(64, "0")}`,
      device: `${number % 5}`.repeat(40),
    },
    hasBought: number % 5 === 2,
    deposit: {
      ...depositNumbered(0),
      channelId: `0x${String(number).padStart(64, "0")}`,
      amountAtomic: 3 ** (number % 12),
      state: states[number % 3]!,
      isNewcomer: number % 2 === 0,
      token: names[number % names.length]!,
      atSeconds: 1_800_000_000 + (number % 4) * 100,
    },
  }));
  for (const { channel, deposit, hasBought } of drawn) {
    await ledger.saveChannel({ ...channel, charged: hasBought ? 100 : 0 });
    await ledger.saveDeposit(deposit);
  }
  const { id, device, requirements } = drawn[7]!.channel;
  const counted = drawn.map(({ channel, deposit, hasBought }) => ({
    deposit,
    hasBought,
    isOfChannel: channel.id === id,
    isOfDevice: channel.device === device,
  }));
  for (const asset of [requirements.asset, `0x${"99".repeat(20)}`]) {
    const token = { network: requirements.network, asset };
    const totals = ledger.depositTotals({ id, device, requirements: token }, 1_800_000_200);
    expect(totals).toEqual(totalsOf(counted, 1_800_000_200, token));
  }
  const overdue = drawn
    .filter(({ deposit: { state, token } }) => state === "intended" && token !== other)
    .map(({ deposit }) => deposit);
  const found = ledger.overdueDeposits(requirements, 1_900_000_000, 99).map(({ deposit }) => deposit);
  expect(found).toHaveLength(overdue.length);
  expect(found).toEqual(expect.arrayContaining(overdue));
  expect(ledger.overdueDeposits(requirements, 1_899_999_999, 99)).toEqual([]);
  await ledger.close();
});

test("payments beyond a counter come lowest first and no more than asked for", async () => {
  const ledger = openSqliteLedger(directory);
  for (const number of [5, 1, 3, 2, 4])
    await ledger.recordPayment(paymentNumbered(number), channelNumbered(number));
  const { channelId, charged } = paymentNumbered(2);
  expect(ledger.paymentsAfter(channelId, charged, 2)).toEqual([paymentNumbered(3), paymentNumbered(4)]);
  expect(ledger.paymentsAfter(`0x${"00".repeat(32)}`, 0, 9)).toEqual([]);
  await ledger.close();
});

test.each([
  ["garbage", (file: string) => writeFileSync(file, "x".repeat(9_000)), "not a database"],
  [
    "a later version's file",
    (file: string) => {
      const db = new Libsql(file);
      db.exec("CREATE TABLE schema_version (version INTEGER PRIMARY KEY)");
      db.exec("INSERT INTO schema_version VALUES (1), (99)");
      db.close();
    },
    `expected schema version ${SCHEMA_VERSION} or older, found 99`,
  ],
])("%s is refused by name, with what to do", (_, spoil, reason) => {
  const file = join(directory, "ledger.sqlite");
  spoil(file);
  const refused = () => openSqliteLedger(directory);
  expect(refused).toThrow(`ledger ${file}: `);
  expect(refused).toThrow(reason);
  expect(refused).toThrow("restore a backup");
});

test("after it is closed a ledger takes nothing more, and says so", async () => {
  const ledger = openSqliteLedger(directory);
  await ledger.close();
  await expect(ledger.saveChannel(channelNumbered(1))).rejects.toThrow("closed");
});

test("payments in the journal are reported by count, bytes and age, and are none once they are folded", async () => {
  const folder = mkdtempSync(join(tmpdir(), "watt402-waiting-"));
  const ledger = openSqliteLedger(folder);
  expect(ledger.waiting).toEqual({ payments: 0, bytes: 0, sinceSeconds: null });
  await ledger.recordPayment({ ...paymentNumbered(0), atSeconds: 1_800_000_500 }, channelNumbered(0));
  await ledger.recordPayment({ ...paymentNumbered(1), atSeconds: 1_800_000_400 }, channelNumbered(1));
  expect(ledger.waiting).toMatchObject({ payments: 2, sinceSeconds: 1_800_000_400 });
  expect(ledger.waiting.bytes).toBeGreaterThan(200);
  await expect
    .poll(() => ledger.waiting, { timeout: 15_000 })
    .toEqual({ payments: 0, bytes: 0, sinceSeconds: null });
  await ledger.close();
  rmSync(folder, { recursive: true });
});
