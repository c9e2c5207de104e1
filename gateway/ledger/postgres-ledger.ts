/**
 * The gateway's ledger in PostgreSQL, for several gateways on one.
 *
 * Promise (M4): a write that resolved is committed with synchronous_commit on; a payment is keyed by its
 * money, so the same rung is recorded once, by whichever gateway; deposits of all gateways are decided one
 * after the other.
 */
import { Pool, type PoolClient, types } from "pg";
import { shownUrl } from "../config-layers.ts";
import type { ChannelKey, DepositTotals } from "../purchase/ports.ts";
import { POSTGRES, stepsAfter, VERSION_TABLE } from "./migrations.ts";
import { BatchedWrites, upsert } from "./postgres-writes.ts";
import {
  type Cell,
  channelIn,
  depositIn,
  depositRow,
  deviceIn,
  paymentIn,
  type Row,
  withdrawalIn,
  withdrawalRow,
} from "./rows.ts";
import { READS } from "./statements.ts";
import { type LedgerStore, PAYMENTS_PER_PAGE, paged } from "./store.ts";

export interface PostgresOptions {
  /** "postgres://user@host:5432/database", without a password. */
  readonly url: string;
  readonly password: string | null;
  /** Told when a connection breaks; the next use makes a new one. */
  readonly onTrouble: (reason: string) => void;
}

const CONNECTIONS_MAX = 8;
const CONNECT_TIMEOUT_MS = 10_000;
/** Longer than this a statement is given up; its payment is presented again. */
const STATEMENT_TIMEOUT_MS = 30_000;

/** Keys of transaction-scoped advisory locks: one program of ours at a time. */
const LOCK_MIGRATION = 4_020_001;
const LOCK_DEPOSITS = 4_020_002;

const INT8_OID = 20;

/** Opens the database and brings its schema up to date. Rejects with one clear line. */
export async function openPostgresLedger(options: PostgresOptions): Promise<LedgerStore> {
  const pool = new Pool({
    connectionString: withPassword(options.url, options.password),
    max: CONNECTIONS_MAX,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    application_name: "watt402-gateway",
    options: "-c synchronous_commit=on",
    types: {
      // All our integers are counters below 2^53; the driver would give them as text.
      getTypeParser: (oid, format) => (oid === INT8_OID ? Number : types.getTypeParser(oid, format)),
    },
  });
  // A connection that breaks tells so itself, idle or in use; the pool repeats it for idle ones.
  pool.on("connect", (client) => client.on("error", (error) => options.onTrouble(error.message)));
  pool.on("error", () => undefined);
  try {
    await inTransaction(pool, LOCK_MIGRATION, migrate);
  } catch (error) {
    await pool.end();
    throw new Error(
      `ledger ${shownUrl(options.url)}: ${reasonOf(error)}; check ledger.url and ledger.passwordFile`,
    );
  }
  return storeOn(pool);
}

async function storeOn(pool: Pool): Promise<LedgerStore> {
  const writes = new BatchedWrites(pool);
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
    async saveDeposit(record) {
      await pool.query(upsert("deposit"), depositRow(record));
    },
    withdrawals: async (channelId) => (await all(READS.withdrawals, channelId)).map(withdrawalIn),
    saveWithdrawal: (record) =>
      inTransaction(pool, LOCK_DEPOSITS, async (client) => {
        await client.query(upsert("withdrawal"), withdrawalRow(record));
      }),
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

/** Runs work alone among all who take the same lock; what throws undoes everything. */
async function inTransaction<Result>(
  pool: Pool,
  lock: number,
  work: (client: PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    await client.query("SELECT pg_advisory_xact_lock($1)", [lock]);
    const result = await work(client);
    await client.query("COMMIT");
    client.release();
    return result;
  } catch (error) {
    // The connection is in an unknown state: closed, it rolls back.
    client.release(true);
    throw error;
  }
}

function totalsCells({ id, device }: ChannelKey, daySinceSeconds: number): Cell[] {
  const since = Math.floor(daySinceSeconds);
  return [id, since, id, device, since];
}

function totalsIn(row: Row): DepositTotals {
  return {
    channelAtomic: row.channel as number,
    deviceDayAtomic: row.device_day as number,
    fleetDayAtomic: row.fleet_day as number,
    fleetAtomic: row.fleet as number,
  };
}

/** The driver takes the password of its URL over any other. */
function withPassword(url: string, password: string | null): string {
  const complete = new URL(url);
  if (password !== null) complete.password = encodeURIComponent(password);
  return complete.href;
}

/** `?, ?` as PostgreSQL wants it: `$1, $2`. */
function numbered(sql: string): string {
  let count = 0;
  return sql.replaceAll("?", () => {
    count += 1;
    return `$${count}`;
  });
}

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return reasonOf(error.errors[0]);
  return error instanceof Error ? error.message : String(error);
}
