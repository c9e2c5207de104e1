// The ledger in a real PostgreSQL: durable under kills of writer and server, one payment a rung, one set of
// limits for several gateways.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { POSTGRES, SCHEMA_VERSION, stepsAfter, VERSION_TABLE } from "#gateway/ledger/migrations";
import { openPostgresLedger } from "#gateway/ledger/postgres/postgres-ledger";
import type { LedgerStore, PaymentFilter } from "#gateway/ledger/store";
import { intendDeposit } from "#gateway/purchase/deposit";
import type { DepositRecord, PaymentRecord } from "#gateway/purchase/ports";
import { tokenName } from "#protocol/payment-token";
import { bundleOf } from "../../processes/bundle.ts";
import { deviceOf, newBench, newKey, openChannelOf } from "../../purchase/fixtures.ts";
import { channelNumbered, paymentNumbered } from "../records.ts";
import { expectDocuments } from "../signed-documents.ts";
import { type Postgres, startPostgres } from "./postgres.ts";

const KILLS = 12;

let postgres: Postgres;
let directory: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "watt402-ledger-"));
  postgres = await startPostgres();
});
afterAll(() => {
  postgres.stop();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(async () => {
  await postgres.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
});

const open = (troubles: string[] = []) =>
  openPostgresLedger({
    url: postgres.url,
    password: postgres.password,
    onTrouble: (reason) => troubles.push(reason),
  });

async function read(ledger: LedgerStore, filter: PaymentFilter = {}): Promise<PaymentRecord[]> {
  const found: PaymentRecord[] = [];
  for await (const payment of ledger.payments(filter)) found.push(payment);
  return found;
}

test(`${KILLS} kills at any moment, of the writer or of the server: every payment whose promise resolved is there`, async () => {
  const writer = await bundleOf(fileURLToPath(new URL("../writer-process.ts", import.meta.url)), directory);
  const passwordFile = join(directory, "password");
  writeFileSync(passwordFile, postgres.password, { mode: 0o600 });
  const told = new Set<number>();
  for (let kill = 0; kill < KILLS; kill += 1) {
    const from = String(kill * 100_000);
    const child = spawn(process.execPath, [writer, postgres.url, from, passwordFile], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let text = "";
    let killed = false;
    await new Promise<void>((resolve) => {
      child.stdout.on("data", (chunk) => {
        text += chunk;
        if (killed || text.split("\n").length < 20 + kill * 7) return;
        killed = true;
        if (kill % 3 === 2) postgres.restart("immediate");
        child.kill("SIGKILL");
      });
      child.on("close", () => resolve());
    });
    for (const line of text.split("\n").slice(0, -1)) told.add(Number(line));
  }
  const ledger = await open();
  expect(told.size).toBeGreaterThan(KILLS * 20);
  for (const number of told) {
    const payment = paymentNumbered(number);
    expect(await ledger.payment(payment.channelId, payment.maxClaimable)).toEqual(payment);
  }
  const [channel] = await ledger.channelsOf(channelNumbered(0).device);
  expect(channel!.charged).toBeGreaterThanOrEqual(paymentNumbered(Math.max(...told)).charged);
  expect((await read(ledger)).length).toBe(ledger.counts.payments);
  await ledger.close();
});

test("a payment recorded by two gateways at once is one row, the first one's, and counters never fall", async () => {
  const [left, right] = await Promise.all([open(), open()]);
  const numbers = Array.from({ length: 300 }, (_, number) => number);
  await Promise.all(
    numbers.flatMap((number) => [
      left.recordPayment(paymentNumbered(number), channelNumbered(number)),
      right.recordPayment({ ...paymentNumbered(number), granted: 1 }, channelNumbered(300 - number)),
    ]),
  );
  const rows = await read(left);
  expect(rows.map(({ maxClaimable }) => maxClaimable)).toEqual(
    numbers.map((number) => paymentNumbered(number).maxClaimable),
  );
  for (const row of rows) {
    expect([paymentNumbered(0).granted * (row.maxClaimable / 100), 1]).toContain(row.granted);
  }
  expect(left.counts.payments + right.counts.payments).toBe(300);
  expect((await right.channelsOf(channelNumbered(0).device))[0]).toMatchObject({
    charged: channelNumbered(300).charged,
    granted: channelNumbered(300).granted,
  });
  // Grouped: far fewer commits than payments.
  expect(left.counts.commits).toBeLessThan(100);
  await Promise.all([left.close(), right.close()]);
});

test("devices that ask two gateways at once get no more deposits than the day's limit allows", async () => {
  const ledgers = await Promise.all([open(), open()]);
  const bench = newBench({ depositAtomic: 1000, perDayAtomic: 7_500 });
  const channels = await Promise.all(Array.from({ length: 20 }, () => openChannelOf(bench, newKey())));
  for (const channel of channels) await ledgers[0]!.saveChannel(channel);
  const made = await Promise.all(
    channels.flatMap((channel) =>
      ledgers.map((ledger) => intendDeposit(bench.parts({ ledger, isEnrolled: () => true }), channel, 1000)),
    ),
  );
  const channelsPaid = new Set(made.flatMap((deposit) => (deposit ? [deposit.channelId] : [])));
  expect(channelsPaid.size).toBe(7);
  const totals = await ledgers[1]!.depositTotals(channels[0]!, 0);
  expect(totals.fleetDayAtomic).toBe(7_000);
  // Both gateways were given the very same deposit: one nonce, one signature.
  for (const id of channelsPaid) {
    const signatures = made.flatMap((deposit) => (deposit?.channelId === id ? [deposit.signature] : []));
    expect(new Set(signatures).size).toBe(1);
    expect(await ledgers[0]!.deposits(id)).toHaveLength(1);
  }
  await Promise.all(ledgers.map((ledger) => ledger.close()));
});

test("everything is read back as it was, page after page, and nothing is deposited while money leaves", async () => {
  const first = await open();
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
  await first.saveDevice(device);
  await first.saveDeposit(deposit);
  const numbers = Array.from({ length: 2_500 }, (_, number) => number);
  await Promise.all(
    numbers.map((number) => first.recordPayment(paymentNumbered(number), channelNumbered(number))),
  );
  await first.close();
  await expect(first.saveDevice(device)).rejects.toThrow("closed");

  const again = await open();
  expect(await again.device(device.device)).toEqual(device);
  expect(await again.devices()).toEqual([device]);
  expect(await again.deposits(deposit.channelId)).toEqual([deposit]);
  expect(await read(again)).toEqual(numbers.map(paymentNumbered));
  expect(await read(again, { channelId: deposit.channelId, toSeconds: 1 })).toEqual([]);
  const channel = channelNumbered(2_499);
  expect(await again.channels()).toEqual([{ ...channel, balance: deposit.amountAtomic }]);
  await again.saveWithdrawal({
    channelId: channel.id,
    index: 0,
    kind: "withdraw",
    amountAtomic: 1_000,
    state: "initiated",
    transaction: "0x01",
    atSeconds: 1,
  });
  expect(await again.balanceOf(channel.id)).toBe(deposit.amountAtomic - 1_000);
  const next: DepositRecord = { ...deposit, index: 1, state: "intended" };
  expect(await again.intendDeposit(channel, 1, 0, () => next)).toBeNull();
  expect(await again.deposits(channel.id)).toEqual([deposit]);
  await again.close();
});

test("a row that the database refuses fails alone; a server that went away and came back is used again", async () => {
  const troubles: string[] = [];
  const ledger = await open(troubles);
  const bad: PaymentRecord = { ...paymentNumbered(1), signature: "\u0000" };
  const [spoilt, good] = await Promise.allSettled([
    ledger.recordPayment(bad, channelNumbered(1)),
    ledger.recordPayment(paymentNumbered(2), channelNumbered(2)),
  ]);
  expect([spoilt.status, good.status]).toEqual(["rejected", "fulfilled"]);
  postgres.restart("immediate");
  await expect
    .poll(() => ledger.recordPayment(paymentNumbered(3), channelNumbered(3)).then(() => "stored", String), {
      timeout: 10_000,
    })
    .toBe("stored");
  expect(await read(ledger)).toEqual([paymentNumbered(2), paymentNumbered(3)]);
  expect(troubles.length).toBeGreaterThan(0);
  await ledger.close();
});

test("a later program's schema and a wrong password are reported in one line without the password", async () => {
  await (await open()).close();
  await postgres.query("INSERT INTO schema_version VALUES (99)");
  await expect(open()).rejects.toThrow(
    `ledger ${postgres.url}: expected schema version ${SCHEMA_VERSION} or older, found 99; use the program that wrote it`,
  );
  const wrong = openPostgresLedger({ url: postgres.url, password: "wrong horse", onTrouble: () => {} });
  await expect(wrong).rejects.toThrow(/^ledger .*password authentication failed.*check ledger\.url/);
  await expect(wrong).rejects.not.toThrow("wrong horse");
});

test("an outcome that is not known is read with its channel, from whichever gateway, until it is known", async () => {
  const [one, other] = await Promise.all([open(), open()]);
  const channel = channelNumbered(0);
  await one.saveChannel(channel);
  const unknown = { maxClaimable: 100, sinceSeconds: 1_800_000_000 };
  await one.saveUnknown(channel.id, { ...unknown, maxClaimable: 99 });
  await one.saveUnknown(channel.id, unknown);
  expect(await other.channelsOf(channel.device)).toMatchObject([{ id: channel.id, unknown }]);
  await other.saveUnknown(channel.id, null);
  expect((await one.channels())[0]!.unknown).toBeUndefined();
  await Promise.all([one.close(), other.close()]);
});

test("what sellers have signed stays as it was first kept, and a receipt is due for what is charged beyond the newest", async () => {
  const ledger = await open();
  await expectDocuments(ledger, channelNumbered(1), paymentNumbered(1));
  await ledger.close();
});

/** Steps before deposits named their token. */
const BEFORE_TOKENS = 7;

test("deposits of before there were several tokens are in that of their channel; one without counts in each", async () => {
  const steps = stepsAfter(0, POSTGRES).slice(0, BEFORE_TOKENS);
  await postgres.query([VERSION_TABLE, ...steps].join(";"));
  const channel = channelNumbered(0);
  const asset = "0xD0114A0000000000000000000000000000000402";
  const requirements = JSON.stringify({ ...channel.requirements, asset });
  await postgres.query(
    "INSERT INTO channel (id, device, resource, requirements, config, promised, charged, granted, revision, seller)" +
      ` VALUES ('${channel.id}', '${channel.device}', 'r', '${requirements}', NULL, 0, 1, 0, 1, '')`,
  );
  await postgres.query(
    "INSERT INTO deposit (channel_id, idx, amount, valid_before, signature, state, at_seconds, newcomer) VALUES" +
      ` ('${channel.id}', 0, 70, 9, '0x', 'confirmed', 1, 0), ('0xab', 0, 5, 9, '0x', 'intended', 1, 0)`,
  );
  const ledger = await open();
  const paid = { ...channel.requirements, asset };
  expect((await ledger.deposits(channel.id))[0]!.token).toBe(tokenName(paid));
  const totals = (network: string) =>
    ledger.depositTotals({ ...channel, requirements: { ...paid, network } }, 0);
  expect(await totals(paid.network)).toMatchObject({ channelAtomic: 70, fleetAtomic: 75 });
  expect(await totals("eip155:1")).toMatchObject({ channelAtomic: 0, fleetAtomic: 5 });
  await ledger.close();
});
