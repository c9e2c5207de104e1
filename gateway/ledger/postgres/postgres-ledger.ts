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
import type {
  ChannelKey,
  ChannelRecord,
  DecideDeposit,
  DepositRecord,
  DeviceRecord,
  PaymentRecord,
} from "../../purchase/ports.ts";
import { POSTGRES, stepsAfter, VERSION_TABLE } from "../migrations.ts";
import { READS } from "../queries.ts";
import { type Cell, channelIn, depositRow, paymentIn, type Row, withdrawalRow } from "../rows.ts";
import { decideOn, depositQueries, type Query, SqlLedger } from "../sql-ledger.ts";
import {
  type LedgerStore,
  NONE_WAITING,
  type PaymentFilter,
  paged,
  type WithdrawalRecord,
} from "../store.ts";
import type { FencingCheck } from "./postgres-membership.ts";
import { inTransaction, openPool, type PostgresOptions, reasonOf } from "./postgres-pool.ts";
import { BatchedWrites, HeldByOther, upsert } from "./postgres-writes.ts";

/** A statement given up is a payment presented again. */
const BOUNDS = { connectionsMax: 8, connectTimeoutMs: 10_000, statementTimeoutMs: 30_000 };

/** Keys of transaction-scoped advisory locks: one program of ours at a time. */
const LOCK_MIGRATION = 4_020_001;
const LOCK_DEPOSITS = 4_020_002;
const LOCK_ENROLMENTS = 4_020_004;

/**
 * Opens the database and brings its schema up to date. Rejects with one clear line.
 * @param fencing check of writes for a device where several gateways run; null: none
 */
export async function openPostgresLedger(
  options: PostgresOptions,
  fencing: FencingCheck | null = null,
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
  const [counted] = (await pool.query<Row>(READS.paymentCount)).rows;
  return new PostgresLedger(pool, fencing, counted!.payments as number);
}

class PostgresLedger extends SqlLedger implements LedgerStore {
  readonly waiting = NONE_WAITING;
  readonly #pool: Pool;
  readonly #fencing: FencingCheck | null;
  readonly #writes: BatchedWrites;
  readonly #paymentsBefore: number;

  constructor(pool: Pool, fencing: FencingCheck | null, paymentsBefore: number) {
    super();
    this.#pool = pool;
    this.#fencing = fencing;
    this.#writes = new BatchedWrites(pool, fencing);
    this.#paymentsBefore = paymentsBefore;
  }

  get counts() {
    return { payments: this.#paymentsBefore + this.#writes.payments, commits: this.#writes.commits };
  }

  saveDevice(device: DeviceRecord): Promise<void> {
    return this.#writes.add({ device });
  }

  async channelsOf(device: string): Promise<readonly ChannelRecord[]> {
    return (await this.select(READS.channelsOf, device)).map(channelIn);
  }

  async channels(): Promise<readonly ChannelRecord[]> {
    return (await this.select(READS.channels)).map(channelIn);
  }

  saveChannel(channel: ChannelRecord): Promise<void> {
    return this.#writes.add({ channel });
  }

  async payment(channelId: string, maxClaimable: number): Promise<PaymentRecord | null> {
    const [row] = await this.select(READS.payment, channelId, maxClaimable);
    return row ? paymentIn(row) : null;
  }

  async paymentsAfter(channelId: string, charged: number, limit: number): Promise<readonly PaymentRecord[]> {
    return (await this.select(READS.paymentsAfter, channelId, charged, limit)).map(paymentIn);
  }

  payments(filter: PaymentFilter): AsyncIterable<PaymentRecord> {
    return paged(async (afterChannel, afterAmount) =>
      (await this.paymentRows(filter, afterChannel, afterAmount)).map(paymentIn),
    );
  }

  recordPayment(payment: PaymentRecord, channel: ChannelRecord): Promise<void> {
    return this.#writes.add({ payment, channel });
  }

  intendDeposit(
    channel: ChannelKey,
    index: number,
    daySinceSeconds: number,
    decide: DecideDeposit,
  ): Promise<DepositRecord | null> {
    return inTransaction(this.#pool, LOCK_DEPOSITS, async (client) => {
      if (this.#fencing !== null && (await this.#fencing(client, [channel.device])).size === 0) {
        throw new HeldByOther(channel.device);
      }
      const rows: (readonly Row[])[] = [];
      for (const query of depositQueries(channel, daySinceSeconds)) rows.push(await run(client, query));
      const { decided, isNew } = decideOn(rows, index, decide);
      if (decided !== null && isNew) await client.query(upsert("deposit"), depositRow(decided));
      return decided;
    });
  }

  async saveDeposit(record: DepositRecord): Promise<void> {
    await this.#pool.query(upsert("deposit"), depositRow(record));
  }

  saveWithdrawal(record: WithdrawalRecord): Promise<void> {
    return inTransaction(this.#pool, LOCK_DEPOSITS, async (client) => {
      await client.query(upsert("withdrawal"), withdrawalRow(record));
    });
  }

  async close(): Promise<void> {
    await this.#writes.close();
    await this.#pool.end();
  }

  protected override select(sql: string, ...cells: readonly Cell[]): Promise<readonly Row[]> {
    return run(this.#pool, { sql, cells });
  }

  protected override writeThenRead(write: Query, read: Query): Promise<readonly Row[]> {
    return inTransaction(this.#pool, LOCK_ENROLMENTS, async (client) => {
      await run(client, write);
      return run(client, read);
    });
  }
}

async function run(database: Pool | PoolClient, { sql, cells }: Query): Promise<readonly Row[]> {
  return (await database.query<Row>(numbered(sql), [...cells])).rows;
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
