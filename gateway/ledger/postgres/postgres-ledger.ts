/**
 * The gateway's ledger in PostgreSQL, for several gateways on one.
 *
 * Promise (M4): a write that resolved is committed with synchronous_commit on; a payment is keyed by its
 * money, so the same rung is recorded once, by whichever gateway; deposits of all gateways are decided one
 * after the other.
 */

import type { Pool, PoolClient } from "pg";
import { Watt402Error } from "#payment/watt402-error";
import { shownUrl } from "../../config/layers.ts";
import { enrolmentsIn } from "../enrolment-rows.ts";
import { POSTGRES, stepsAfter, VERSION_TABLE } from "../migrations.ts";
import { READS } from "../queries.ts";
import {
  type Cell,
  channelIn,
  depositIn,
  depositRow,
  deviceIn,
  overdueIn,
  paymentIn,
  type Row,
  totalsCells,
  totalsIn,
  withdrawalIn,
  withdrawalRow,
} from "../rows.ts";
import { type LedgerStore, NONE_WAITING, PAYMENTS_PER_PAGE, paged } from "../store.ts";
import type { Fence } from "./postgres-membership.ts";
import { inTransaction, openPool, type PostgresOptions, reasonOf } from "./postgres-pool.ts";
import { BatchedWrites, OthersDuty, upsert } from "./postgres-writes.ts";

/** A statement given up is a payment presented again. */
const BOUNDS = { connectionsMax: 8, connectTimeoutMs: 10_000, statementTimeoutMs: 30_000 };

/** Keys of transaction-scoped advisory locks: one program of ours at a time. */
const LOCK_MIGRATION = 4_020_001;
const LOCK_DEPOSITS = 4_020_002;
const LOCK_ENROLMENTS = 4_020_004;

/**
 * Opens the database and brings its schema up to date. Rejects with one clear line.
 * @param fence what writes for a device have to pass where several gateways run; null: nothing
 */
export async function openPostgresLedger(
  options: PostgresOptions,
  fence: Fence | null = null,
): Promise<LedgerStore> {
  const pool = openPool(options, BOUNDS);
  try {
    await inTransaction(pool, LOCK_MIGRATION, migrate);
  } catch (error) {
    await pool.end();
    throw new Watt402Error(
      "unreachable",
      `ledger ${shownUrl(options.url)}: ${reasonOf(error)}; check ledger.url and ledger.passwordFile`,
    );
  }
  return storeOn(pool, fence);
}

async function storeOn(pool: Pool, fence: Fence | null): Promise<LedgerStore> {
  const writes = new BatchedWrites(pool, fence);
  const all = async (sql: string, ...cells: Cell[]) => (await pool.query<Row>(numbered(sql), cells)).rows;
  const first = async (sql: string, ...cells: Cell[]) => (await all(sql, ...cells))[0];

  const before = (await first(READS.paymentCount))!.payments as number;

  return {
    async device(device) {
      const row = await first(READS.device, device);
      return row ? deviceIn(row) : null;
    },
    devices: async () => (await all(READS.devices)).map(deviceIn),
    saveDevice: (record) => writes.add({ device: record }),
    channelsOf: async (device) => (await all(READS.channelsOf, device)).map(channelIn),
    channels: async () => (await all(READS.channels)).map(channelIn),
    saveChannel: (record) => writes.add({ channel: record }),
    async payment(channelId, maxClaimable) {
      const row = await first(READS.payment, channelId, maxClaimable);
      return row ? paymentIn(row) : null;
    },
    paymentsAfter: async (channelId, charged, limit) =>
      (await all(READS.paymentsAfter, channelId, charged, limit)).map(paymentIn),
    payments({ channelId, fromSeconds = 0, toSeconds = Number.MAX_SAFE_INTEGER }) {
      return paged(async (afterChannel, afterAmount) => {
        const rest = [afterAmount, fromSeconds, toSeconds, PAYMENTS_PER_PAGE];
        const rows =
          channelId === undefined
            ? await all(READS.paymentPage, afterChannel, ...rest)
            : await all(READS.paymentPageOfChannel, channelId, ...rest);
        return rows.map(paymentIn);
      });
    },
    recordPayment: (payment, channel) => writes.add({ payment, channel }),
    deposits: async (channelId) => (await all(READS.deposits, channelId)).map(depositIn),
    balanceOf: async (channelId) => (await first(READS.balance, channelId))!.balance as number,
    depositTotals: async (channel, daySinceSeconds) =>
      totalsIn((await first(READS.totals, ...totalsCells(channel, daySinceSeconds)))!),
    intendDeposit: (channel, index, daySinceSeconds, decide) =>
      inTransaction(pool, LOCK_DEPOSITS, async (client) => {
        if (fence !== null && (await fence(client, [channel.device])).size === 0) {
          throw new OthersDuty(channel.device);
        }
        const read = async (sql: string, ...cells: Cell[]) =>
          (await client.query<Row>(numbered(sql), cells)).rows;
        const leaving = (await read(READS.withdrawals, channel.id)).map(withdrawalIn);
        if (leaving.some(({ state }) => state === "initiated")) return null;
        const deposits = (await read(READS.deposits, channel.id)).map(depositIn);
        const known = deposits.find((deposit) => deposit.index === index) ?? null;
        const [totals] = await read(READS.totals, ...totalsCells(channel, daySinceSeconds));
        const decided = decide(known, totalsIn(totals!));
        if (decided !== null && decided !== known) {
          await client.query(upsert("deposit"), depositRow(decided));
        }
        return decided;
      }),
    overdueDeposits: async (nowSeconds, limit) =>
      (await all(READS.overdue, Math.floor(nowSeconds), limit)).map(overdueIn),
    async saveDeposit(record) {
      await pool.query(upsert("deposit"), depositRow(record));
    },
    withdrawals: async (channelId) => (await all(READS.withdrawals, channelId)).map(withdrawalIn),
    saveWithdrawal: (record) =>
      inTransaction(pool, LOCK_DEPOSITS, async (client) => {
        await client.query(upsert("withdrawal"), withdrawalRow(record));
      }),
    ...enrolmentsIn({
      select: all,
      write: (sql, cells, readSql, readCells) =>
        inTransaction(pool, LOCK_ENROLMENTS, async (client) => {
          await client.query(numbered(sql), [...cells]);
          return (await client.query<Row>(numbered(readSql), [...readCells])).rows;
        }),
    }),
    waiting: NONE_WAITING,
    get counts() {
      return { payments: before + writes.payments, commits: writes.commits };
    },
    async close() {
      await writes.close();
      await pool.end();
    },
  };
}

async function migrate(client: PoolClient): Promise<void> {
  await client.query(VERSION_TABLE);
  const { rows } = await client.query<{ version: number }>(
    "SELECT coalesce(max(version), 0) AS version FROM schema_version",
  );
  for (const step of stepsAfter(rows[0]!.version, POSTGRES)) await client.query(step);
}

/** `?, ?` as PostgreSQL wants it: `$1, $2`. */
function numbered(sql: string): string {
  let count = 0;
  return sql.replaceAll("?", () => {
    count += 1;
    return `$${count}`;
  });
}
