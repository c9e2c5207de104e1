// The ledger while its disk or another process stands in the way: what was asked meanwhile fails or waits alone.

import { spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Libsql from "libsql";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openSqliteLedger, type SqliteLedger } from "#gateway/ledger/sqlite/sqlite-ledger";
import { type Step, troubledDisk } from "./cuts/troubled-disk.ts";
import { channelNumbered, depositNumbered, paymentNumbered } from "./records.ts";

let directory: string;
const opened: SqliteLedger[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "watt402-locked-"));
});
afterEach(async () => {
  for (const ledger of opened.splice(0)) await ledger.close();
  rmSync(directory, { recursive: true, force: true });
});

function open(options: Parameters<typeof openSqliteLedger>[1] = {}): SqliteLedger {
  const ledger = openSqliteLedger(directory, options);
  opened.push(ledger);
  return ledger;
}

const record = (ledger: SqliteLedger, number: number) =>
  ledger.recordPayment(paymentNumbered(number), channelNumbered(number));
const paid = (ledger: SqliteLedger, number: number) =>
  ledger.payment(paymentNumbered(number).channelId, paymentNumbered(number).maxClaimable);

/** Another process in the middle of a write; the result ends it. */
async function lock(): Promise<() => Promise<void>> {
  const source =
    'const db = new (require("libsql"))(process.argv[1]); db.exec("BEGIN IMMEDIATE"); process.send("locked");' +
    ' process.on("message", () => { db.exec("ROLLBACK"); process.exit(); });';
  const child = spawn(process.execPath, ["-e", source, join(directory, "ledger.sqlite")], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  await new Promise((resolve) => child.once("message", resolve));
  return async () => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.send("end");
    await ended;
  };
}

test("payments are recorded, and read back at once, while another process holds the tables' lock", async () => {
  const ledger = open();
  await record(ledger, 0);
  const unlock = await lock();
  await Promise.all([1, 2, 3].map((number) => record(ledger, number)));
  expect(paid(ledger, 3)).toEqual(paymentNumbered(3));
  expect(ledger.paymentsAfter(paymentNumbered(0).channelId, 100, 2)).toEqual([
    paymentNumbered(1),
    paymentNumbered(2),
  ]);
  expect(ledger.channelsOf(channelNumbered(3).device)).toEqual([channelNumbered(3)]);
  expect(ledger.counts.payments).toBe(4);
  await unlock();
});

test("a write that a lock outlasted fails alone, the event loop goes on meanwhile, and the next write succeeds", async () => {
  const ledger = open();
  await ledger.saveChannel(channelNumbered(0));
  const unlock = await lock();
  const refused = ledger.saveDeposit(depositNumbered(0)).then(
    () => "saved",
    (error) => String(error.message),
  );
  let ticks = 0;
  const ticking = setInterval(() => {
    ticks += 1;
  }, 10);
  expect(await refused).toContain("locked");
  clearInterval(ticking);
  // It waited for the lock for seconds; had this thread waited, the timer had not come once in it.
  expect(ticks).toBeGreaterThan(20);
  await unlock();
  await ledger.saveDeposit(depositNumbered(0));
  expect(ledger.deposits(depositNumbered(0).channelId)).toEqual([depositNumbered(0)]);
});

test.each<[Step, string]>([
  ["open", "EMFILE"],
  ["write", "ENOSPC"],
  ["datasync", "EIO"],
])("a payment whose %s fails (%s) is refused, and is recorded when it comes again", async (step, code) => {
  const disk = troubledDisk();
  const ledger = open({ disk });
  if (step !== "open") await record(ledger, 0);
  disk.fail(step, code);
  await expect(record(ledger, 1)).rejects.toMatchObject({ code });
  expect(paid(ledger, 1)).toBeNull();
  disk.fail(step, null);
  await Promise.all([1, 2].map((number) => record(ledger, number)));
  await ledger.close();
  opened.splice(0);
  const again = open();
  expect([1, 2].map((number) => paid(again, number))).toEqual([paymentNumbered(1), paymentNumbered(2)]);
});

test("another process sees payments that are not in the tables yet, and may not record any", async () => {
  const gateway = open();
  const unlock = await lock();
  await record(gateway, 0);
  const operator = open({ isGateway: false });
  expect(paid(operator, 0)).toEqual(paymentNumbered(0));
  await record(gateway, 1);
  const seen = [];
  for await (const payment of operator.payments({})) seen.push(payment);
  expect(seen).toEqual([paymentNumbered(0), paymentNumbered(1)]);
  expect(operator.channels()).toEqual([channelNumbered(1)]);
  await expect(record(operator, 2)).rejects.toThrow("recorded by the gateway alone");
  await unlock();
});

test("a second gateway on the same directory is refused by name", () => {
  open();
  expect(() => openSqliteLedger(directory)).toThrow(`found process ${process.pid}`);
});

test("pages of the tables and of the journal come together, each payment once and in order", async () => {
  const ledger = open();
  for (let number = 0; number < 2_500; number += 2) await record(ledger, number);
  await ledger.close();
  opened.splice(0);
  const again = open();
  const unlock = await lock();
  await Promise.all(Array.from({ length: 1_250 }, (_, half) => record(again, 2 * half + 1)));
  const seen: number[] = [];
  for await (const { register } of again.payments({})) seen.push(register);
  expect(seen).toEqual(Array.from({ length: 2_500 }, (_, number) => number));
  await unlock();
});

test("deposits that are decided at once never pass a limit together, whichever process decides", async () => {
  const [one, other] = [open(), open({ isGateway: false })];
  const channel = channelNumbered(0);
  const ask = (ledger: SqliteLedger, index: number) =>
    ledger.intendDeposit(channel, index, 0, (known, { fleetAtomic }) =>
      known === null && fleetAtomic + 10 <= 100 ? { ...depositNumbered(index), amountAtomic: 10 } : null,
    );
  const asked = Array.from({ length: 30 }, (_, index) => ask(index % 2 === 0 ? one : other, index));
  const decided = (await Promise.all(asked)).filter((deposit) => deposit !== null);
  expect(decided).toHaveLength(10);
  expect(one.depositTotals(channel, 0).fleetAtomic).toBe(100);
});

test("terms that were saved later are not replaced by those of a payment before", async () => {
  const ledger = open();
  const later = { ...channelNumbered(5), resource: "http://seller/another", revision: 99 };
  const unlock = await lock();
  await record(ledger, 0);
  await unlock();
  await ledger.saveChannel(later);
  expect(ledger.channelsOf(later.device)).toMatchObject([{ resource: later.resource, revision: 99 }]);
  await ledger.close();
  opened.splice(0);
  expect(open().channelsOf(later.device)).toMatchObject([{ resource: later.resource, revision: 99 }]);
});

test("a ledger whose payments waited in a table of their own opens with all of them", async () => {
  copyFileSync(
    new URL("../../fixtures/before-0.1.0/ledger.sqlite", import.meta.url),
    join(directory, "ledger.sqlite"),
  );
  const before = new Libsql(join(directory, "ledger.sqlite"));
  const [channel] = before.prepare("SELECT id, charged FROM channel").all() as {
    id: string;
    charged: number;
  }[];
  const { id, charged } = channel!;
  const next = [
    id,
    charged + 10,
    10,
    charged + 10,
    2_000,
    200_000,
    7,
    `0x${"12".repeat(65)}`,
    "",
    1_800_000_000,
  ];
  const counters = [20_000, charged + 10, 2_000, 5];
  before
    .prepare("INSERT INTO payment_journal (payments) VALUES (?)")
    .run([JSON.stringify([[...next, ...counters]])]);
  before.close();
  const ledger = open();
  expect(ledger.payment(id, charged + 10)).toMatchObject({ charged: charged + 10, register: 7 });
  expect(ledger.channels()).toMatchObject([{ id, charged: charged + 10, granted: 2_000 }]);
  expect(ledger.counts.payments).toBe(21);
});

test("every file of a ledger is its owner's alone, whatever the umask", async () => {
  const umask = process.umask(0);
  const ledger = open();
  await record(ledger, 0);
  await ledger.saveChannel(channelNumbered(0));
  process.umask(umask);
  const modes = readdirSync(directory).map((name) => [name, statSync(join(directory, name)).mode & 0o777]);
  expect(modes.length).toBeGreaterThanOrEqual(4);
  expect(modes.filter(([, mode]) => mode !== 0o600)).toEqual([]);
});
