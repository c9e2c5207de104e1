/**
 * The gateway's ledger in one SQLite file, and a journal of payments beside it.
 *
 * Promise (M4): a write that resolved is on disk: payments in the journal, all else in the file; a payment is keyed by
 * its money, so the same rung is recorded once, however often it is presented. Writes wait for the disk in other threads, and
 * for locks of other processes; reads wait for neither, and see all that resolved before them.
 */

import { chmodSync, closeSync, existsSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import Database from "libsql";
import { Watt402Error } from "#payment/watt402-error";
import type { PaymentToken } from "#protocol/payment-token";
import type {
  ChannelKey,
  ChannelRecord,
  DecideDeposit,
  DepositRecord,
  DepositTotals,
  DeviceRecord,
  OverdueDeposit,
  PaymentRecord,
} from "../../purchase/ports.ts";
import { Journal, readJournal } from "../journal/append-journal.ts";
import { PaymentJournal, rowIn } from "../journal/payment-journal.ts";
import { type SegmentDisk, segmentDisk } from "../journal/segment-disk.ts";
import { COUNTERS, UnfoldedPayments } from "../journal/unfolded-payments.ts";
import { SQLITE, stepsAfter, VERSION_TABLE } from "../migrations.ts";
import { READS } from "../queries.ts";
import {
  type Cell,
  COLUMNS,
  channelIn,
  channelRow,
  depositRow,
  deviceRow,
  paymentIn,
  type Row,
  withdrawalRow,
} from "../rows.ts";
import { decideOn, depositQueries, type Query, SqlLedger } from "../sql-ledger.ts";
import {
  type LedgerStore,
  NONE_WAITING,
  PAYMENTS_PER_PAGE,
  type PaymentFilter,
  paged,
  type WaitingPayments,
  type WithdrawalRecord,
} from "../store.ts";
import { SqliteWriter } from "./sqlite-writer.ts";

/** The file is beside the process: its reads are immediate. */
export interface SqliteLedger extends LedgerStore {
  device(device: string): DeviceRecord | null;
  devices(): readonly DeviceRecord[];
  channelsOf(device: string): readonly ChannelRecord[];
  channels(): readonly ChannelRecord[];
  payment(channelId: string, maxClaimable: number): PaymentRecord | null;
  paymentsAfter(channelId: string, charged: number, limit: number): readonly PaymentRecord[];
  deposits(channelId: string): readonly DepositRecord[];
  balanceOf(channelId: string): number;
  depositTotals(channel: ChannelKey, daySinceSeconds: number): DepositTotals;
  overdueDeposits(token: PaymentToken, nowSeconds: number, limit: number): readonly OverdueDeposit[];
  withdrawals(channelId: string): readonly WithdrawalRecord[];
}

/** Reads wait this long for a lock; in write-ahead mode only the recovery of a file holds one against them. */
const READ_TIMEOUT_MS = 1_000;
/** Another process's deposits change the sums that a decision was made on: then it is made anew, so often. */
const DECISIONS_MAX = 20;
/** Files of the journal: payments-0000000001.journal. */
const JOURNAL_NAME = "payments";

interface SqliteLedgerOptions {
  /** The gateway records payments and folds them; other processes read, and write all that is not a payment. */
  readonly isGateway?: boolean;
  readonly disk?: SegmentDisk;
  /** Called with why payments stay in the journal for now, or what of it is damaged. */
  readonly onTrouble?: (reason: string) => void;
}

/** Opens or creates `ledger.sqlite` in a directory. Throws one clear line when the file is none of ours. */
export function openSqliteLedger(directory: string, options: SqliteLedgerOptions = {}): SqliteLedger {
  const store: LedgerStore = new SqliteStore(directory, options);
  return store as SqliteLedger;
}

class SqliteStore extends SqlLedger implements LedgerStore {
  readonly #directory: string;
  readonly #disk: SegmentDisk;
  readonly #db: Database.Database;
  readonly #writer: SqliteWriter;
  /** Null in processes that record no payments. */
  readonly #journal: PaymentJournal | null;
  readonly #statements = new Map<string, Database.Statement>();
  readonly #paymentsBefore: number;
  #deciding: Promise<unknown> = Promise.resolve();

  constructor(
    directory: string,
    { isGateway = true, disk = segmentDisk, onTrouble = () => undefined }: SqliteLedgerOptions,
  ) {
    super();
    const file = join(directory, "ledger.sqlite");
    this.#directory = directory;
    this.#disk = disk;
    this.#db = openFile(file);
    this.#writer = new SqliteWriter(file);
    this.#journal = isGateway
      ? new PaymentJournal(
          new Journal({ folder: directory, name: JOURNAL_NAME, disk }),
          this.#writer,
          FOLD,
          onTrouble,
        )
      : null;
    this.#paymentsBefore = this.select(READS.paymentCount)[0]!.payments as number;
  }

  get counts() {
    const payments = this.#paymentsBefore + (this.#journal?.folded ?? 0) + this.#unfolded().size;
    return { payments, commits: (this.#journal?.flushes ?? 0) + this.#writer.commits };
  }

  get waiting(): WaitingPayments {
    return this.#journal?.waiting ?? NONE_WAITING;
  }

  saveDevice(record: DeviceRecord): Promise<void> {
    return this.#put(WRITES.device, deviceRow(record));
  }

  channelsOf(device: string): readonly ChannelRecord[] {
    return this.#counted(READS.channelsOf, [device], (channel) => channel.device === device);
  }

  channels(): readonly ChannelRecord[] {
    return this.#counted(READS.channels, [], () => true).sort(byDevice);
  }

  saveChannel(record: ChannelRecord): Promise<void> {
    return this.#put(WRITES.channel, channelRow(record));
  }

  payment(channelId: string, maxClaimable: number): PaymentRecord | null {
    const waiting = this.#unfolded();
    const [row] = this.select(READS.payment, channelId, maxClaimable);
    return row ? paymentIn(row) : waiting.payment(channelId, maxClaimable);
  }

  paymentsAfter(channelId: string, charged: number, limit: number): readonly PaymentRecord[] {
    const waiting = this.#unfolded().payments(channelId, channelId, charged);
    const rows = this.select(READS.paymentsAfter, channelId, charged, limit);
    return merged(rows.map(paymentIn), waiting, limit);
  }

  payments(filter: PaymentFilter): AsyncIterable<PaymentRecord> {
    const { channelId, fromSeconds = 0, toSeconds = Number.MAX_SAFE_INTEGER } = filter;
    const snapshot = this.#unfolded();
    return paged(async (afterChannel, afterAmount) => {
      const waiting = snapshot
        .payments(channelId ?? null, channelId ?? afterChannel, afterAmount)
        .filter(({ atSeconds }) => atSeconds >= fromSeconds && atSeconds <= toSeconds);
      const rows = await this.paymentRows(filter, afterChannel, afterAmount);
      return merged(rows.map(paymentIn), waiting, PAYMENTS_PER_PAGE);
    });
  }

  async recordPayment(payment: PaymentRecord, channel: ChannelRecord): Promise<void> {
    if (this.#journal === null) {
      throw new Error(`ledger in ${this.#directory}: payments are recorded by the gateway alone`);
    }
    await this.#journal.record(payment, channel);
  }

  /** One after the other: decisions of this process never change each other's sums. */
  intendDeposit(
    channel: ChannelKey,
    index: number,
    daySinceSeconds: number,
    decide: DecideDeposit,
  ): Promise<DepositRecord | null> {
    const queries = depositQueries(channel, daySinceSeconds);
    const decided = this.#deciding.then(() => this.#decide(channel, queries, index, decide));
    this.#deciding = decided.catch(() => undefined);
    return decided;
  }

  saveDeposit(record: DepositRecord): Promise<void> {
    return this.#put(WRITES.deposit, depositRow(record));
  }

  saveWithdrawal(record: WithdrawalRecord): Promise<void> {
    return this.#put(WRITES.withdrawal, withdrawalRow(record));
  }

  async close(): Promise<void> {
    await this.#journal?.close();
    await this.#writer.close();
    this.#db.close();
  }

  protected override select(sql: string, ...cells: readonly Cell[]): readonly Row[] {
    const statement = this.#statements.get(sql) ?? this.#db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement.all(...cells) as Row[];
  }

  protected override async writeThenRead(write: Query, read: Query): Promise<readonly Row[]> {
    const writes = [{ sql: write.sql, rows: [write.cells] }];
    return (await this.#writer.run({ writes, queries: [read] })).rows[0]!;
  }

  async #put(sql: string, cells: readonly Cell[]): Promise<void> {
    await this.#writer.run({ writes: [{ sql, rows: [cells] }] });
  }

  async #decide(
    channel: ChannelKey,
    queries: readonly Query[],
    index: number,
    decide: DecideDeposit,
  ): Promise<DepositRecord | null> {
    for (let made = 0; made < DECISIONS_MAX; made += 1) {
      const rows = queries.map(({ sql, cells }) => this.select(sql, ...cells));
      const { decided, isNew } = decideOn(rows, index, decide);
      if (decided === null || !isNew) return decided;
      const guard = { queries, rows: JSON.stringify(rows) };
      const writes = [{ sql: WRITES.deposit, rows: [depositRow(decided)] }];
      if ((await this.#writer.run({ guard, writes })).isHeld) return decided;
    }
    throw new Watt402Error(
      "in-use",
      `deposit into ${channel.id}: its sums changed ${DECISIONS_MAX} times while it was decided`,
    );
  }

  /** Payments in the journal and not in the tables; of another process's journal, as it lies there now. */
  #unfolded(): UnfoldedPayments {
    if (this.#journal !== null) return this.#journal.unfolded;
    const waiting = new UnfoldedPayments();
    for (const { segment, bytes } of readJournal(this.#directory, JOURNAL_NAME, this.#disk).entries) {
      waiting.add(segment, rowIn(bytes));
    }
    return waiting;
  }

  /** Channels of the tables with the journal's counters, and those that only the journal has. */
  #counted(
    sql: string,
    cells: readonly Cell[],
    isWanted: (channel: ChannelRecord) => boolean,
  ): ChannelRecord[] {
    const rows = this.select(sql, ...cells);
    const waiting = this.#unfolded();
    const known = rows.map((row) => waiting.counted(channelIn(row)));
    const ids = new Set(known.map(({ id }) => id));
    const others = waiting.channels().filter((channel) => !ids.has(channel.id) && isWanted(channel));
    const balanceOf = (id: string) => this.select(READS.balance, id)[0]!.balance as number;
    return [...known, ...others.map((channel) => ({ ...channel, balance: balanceOf(channel.id) }))];
  }
}

/**
 * A page of the tables together with what the journal has beyond it, in the order of (channel, amount).
 * @param limit at most so many; a page of fewer is the last one
 */
function merged(
  page: readonly PaymentRecord[],
  waiting: readonly PaymentRecord[],
  limit: number,
): readonly PaymentRecord[] {
  if (waiting.length === 0) return page;
  const last = page.length < limit ? undefined : page[page.length - 1];
  const known = new Set(page.map(keyOf));
  const missing = waiting.filter(
    (payment) => !known.has(keyOf(payment)) && (last === undefined || byKey(payment, last) < 0),
  );
  return [...page, ...missing].sort(byKey).slice(0, limit);
}

const keyOf = ({ channelId, maxClaimable }: PaymentRecord) => `${channelId} ${maxClaimable}`;

function byKey(left: PaymentRecord, right: PaymentRecord): number {
  if (left.channelId !== right.channelId) return left.channelId < right.channelId ? -1 : 1;
  return left.maxClaimable - right.maxClaimable;
}

function byDevice(left: ChannelRecord, right: ChannelRecord): number {
  const [one, other] = [`${left.device} ${left.id}`, `${right.device} ${right.id}`];
  if (one === other) return 0;
  return one < other ? -1 : 1;
}

const insert = (table: keyof typeof COLUMNS, verb = "INSERT OR REPLACE") =>
  `${verb} INTO ${table} (${COLUMNS[table].join(", ")}) VALUES (${COLUMNS[table].map(() => "?").join(", ")})`;

const WRITES = {
  device: insert("device"),
  channel:
    `${insert("channel", "INSERT")} ON CONFLICT (id) DO UPDATE SET seller = excluded.seller, resource = excluded.resource,` +
    " requirements = excluded.requirements, promised = max(promised, excluded.promised)," +
    " charged = max(charged, excluded.charged), granted = max(granted, excluded.granted)," +
    " revision = max(revision, excluded.revision)",
  deposit: insert("deposit"),
  withdrawal: insert("withdrawal"),
} as const;

/** Terms of a row that was written later are not replaced by those of the journal. */
const laterOf = (name: string) =>
  `${name} = iif(excluded.revision >= channel.revision, excluded.${name}, channel.${name})`;

const FOLD = {
  payment: insert("payment", "INSERT OR IGNORE"),
  channel:
    `${insert("channel", "INSERT")} ON CONFLICT (id) DO UPDATE SET` +
    ` ${["seller", "resource", "requirements"].map(laterOf).join(", ")}`,
  counters: `UPDATE channel SET ${COUNTERS.map((name) => `${name} = max(${name}, ?)`).join(", ")} WHERE id = ?`,
} as const;

function openFile(file: string): Database.Database {
  try {
    // The log and its index beside the file get the file's mode. A file that is there is not opened here: closing it
    // again would give up the locks that other connections of this process hold.
    if (!existsSync(file)) closeSync(openSync(file, "a", 0o600));
    if ((statSync(file).mode & 0o077) !== 0) chmodSync(file, 0o600);
    const db = new Database(file);
    db.pragma(`busy_timeout = ${READ_TIMEOUT_MS}`);
    db.pragma("journal_mode = WAL");
    db.pragma("synchronous = FULL");
    migrate(db);
    return db;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Watt402Error(
      "data-damaged",
      `ledger ${file}: ${reason}; restore a backup, or name another gateway.data directory`,
    );
  }
}

function migrate(db: Database.Database): void {
  db.exec(VERSION_TABLE);
  const version = "SELECT coalesce(max(version), 0) AS version FROM schema_version";
  const steps = stepsAfter((db.prepare(version).get() as Row).version as number, SQLITE);
  if (steps.length > 0) db.exec(`BEGIN IMMEDIATE; ${steps.join("\n")} COMMIT;`);
}
