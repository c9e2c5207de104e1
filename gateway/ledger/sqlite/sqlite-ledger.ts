/**
 * The gateway's ledger in one SQLite file, and a journal of payments beside it.
 *
 * Promise (M4): a write that resolved is on disk: payments in the journal, all else in the file; a payment is keyed by
 * its money, so the same rung is recorded once, whoever presents it. Writes wait for the disk in other threads, and
 * for locks of other processes; reads wait for neither, and see all that resolved before them.
 */

import { chmodSync, closeSync, existsSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import Database from "libsql";
import { Watt402Error } from "#payment/watt402-error";
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
import { enrolmentsIn } from "../enrolment-rows.ts";
import { Journal, readJournal } from "../journal/journal.ts";
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
  depositIn,
  depositRow,
  deviceIn,
  deviceRow,
  overdueIn,
  paymentIn,
  type Row,
  totalsCells,
  totalsIn,
  withdrawalIn,
  withdrawalRow,
} from "../rows.ts";
import { type LedgerStore, NONE_WAITING, PAYMENTS_PER_PAGE, paged, type WithdrawalRecord } from "../store.ts";
import { SqliteWriter } from "./sqlite-writer.ts";
import type { Query } from "./writer-messages.ts";

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
  overdueDeposits(nowSeconds: number, limit: number): readonly OverdueDeposit[];
  withdrawals(channelId: string): readonly WithdrawalRecord[];
}

/** Reads wait this long for a lock; in write-ahead mode only the recovery of a file holds one against them. */
const READ_TIMEOUT_MS = 1_000;
/** Another process's deposits change the sums that a decision was made on: then it is made anew, so often. */
const DECISIONS_MAX = 20;
/** Files of the journal: payments-0000000001.journal. */
const JOURNAL_NAME = "payments";

export interface SqliteLedgerOptions {
  /** The gateway records payments and folds them; other processes read, and write all that is not a payment. */
  readonly isGateway?: boolean;
  readonly disk?: SegmentDisk;
  /** Told why payments stay in the journal for now, or what of it is damaged. */
  readonly onTrouble?: (reason: string) => void;
}

/** Opens or creates `ledger.sqlite` in a directory. Throws one clear line when the file is none of ours. */
export function openSqliteLedger(
  directory: string,
  { isGateway = true, disk = segmentDisk, onTrouble = () => undefined }: SqliteLedgerOptions = {},
): SqliteLedger {
  const file = join(directory, "ledger.sqlite");
  const db = openFile(file);
  const writer = new SqliteWriter(file);
  const statements = new Map<string, Database.Statement>();
  const statement = (sql: string): Database.Statement => {
    const known = statements.get(sql) ?? db.prepare(sql);
    statements.set(sql, known);
    return known;
  };
  const all = (sql: string, ...cells: Cell[]) => statement(sql).all(...cells) as Row[];
  const first = (sql: string, ...cells: Cell[]) => all(sql, ...cells)[0];
  const put = async (sql: string, cells: readonly Cell[]): Promise<void> => {
    await writer.run({ writes: [{ sql, rows: [cells] }] });
  };

  const journal = isGateway
    ? new PaymentJournal(
        new Journal({ folder: directory, name: JOURNAL_NAME, disk }),
        writer,
        FOLD,
        onTrouble,
      )
    : null;
  const unfolded = () => journal?.unfolded ?? unfoldedIn(directory, disk);
  const paymentsBefore = first(READS.paymentCount)!.payments as number;
  const deposits = (channelId: string) => all(READS.deposits, channelId).map(depositIn);
  const withdrawals = (channelId: string) => all(READS.withdrawals, channelId).map(withdrawalIn);
  const balanceOf = (channelId: string) => first(READS.balance, channelId)!.balance as number;

  /** Channels of the tables with the journal's counters, and those that only the journal has. */
  function counted(rows: readonly Row[], isWanted: (channel: ChannelRecord) => boolean): ChannelRecord[] {
    const waiting = unfolded();
    const known = rows.map((row) => waiting.counted(channelIn(row)));
    const ids = new Set(known.map(({ id }) => id));
    const others = waiting.channels().filter((channel) => !ids.has(channel.id) && isWanted(channel));
    return [...known, ...others.map((channel) => ({ ...channel, balance: balanceOf(channel.id) }))];
  }

  async function intendDeposit(
    channel: ChannelKey,
    index: number,
    daySinceSeconds: number,
    decide: DecideDeposit,
  ): Promise<DepositRecord | null> {
    const queries: readonly Query[] = [
      { sql: READS.withdrawals, cells: [channel.id] },
      { sql: READS.deposits, cells: [channel.id] },
      { sql: READS.totals, cells: totalsCells(channel, daySinceSeconds) },
    ];
    for (let made = 0; made < DECISIONS_MAX; made += 1) {
      const rows = queries.map(({ sql, cells }) => all(sql, ...cells));
      const [taken, put, totals] = rows as [Row[], Row[], [Row]];
      if (taken.map(withdrawalIn).some(({ state }) => state === "initiated")) return null;
      const known = put.map(depositIn).find((deposit) => deposit.index === index) ?? null;
      const decided = decide(known, totalsIn(totals[0]));
      if (decided === null || decided === known) return decided;
      const guard = { queries, rows: JSON.stringify(rows) };
      const writes = [{ sql: WRITES.deposit, rows: [depositRow(decided)] }];
      if ((await writer.run({ guard, writes })).isHeld) return decided;
    }
    throw new Watt402Error(
      "in-use",
      `deposit into ${channel.id}: its sums changed ${DECISIONS_MAX} times while it was decided`,
    );
  }

  let deciding: Promise<unknown> = Promise.resolve();

  return {
    device(device) {
      const row = first(READS.device, device);
      return row ? deviceIn(row) : null;
    },
    devices: () => all(READS.devices).map(deviceIn),
    saveDevice: (record) => put(WRITES.device, deviceRow(record)),
    channelsOf: (device) => counted(all(READS.channelsOf, device), (channel) => channel.device === device),
    channels: () => counted(all(READS.channels), () => true).sort(byDevice),
    saveChannel: (record) => put(WRITES.channel, channelRow(record)),
    payment(channelId, maxClaimable) {
      const waiting = unfolded();
      const row = first(READS.payment, channelId, maxClaimable);
      return row ? paymentIn(row) : waiting.payment(channelId, maxClaimable);
    },
    paymentsAfter(channelId, charged, limit) {
      const waiting = unfolded().payments(channelId, channelId, charged);
      return merged(all(READS.paymentsAfter, channelId, charged, limit).map(paymentIn), waiting, limit);
    },
    payments({ channelId, fromSeconds = 0, toSeconds = Number.MAX_SAFE_INTEGER }) {
      const snapshot = unfolded();
      return paged((afterChannel, afterAmount) => {
        const waiting = snapshot
          .payments(channelId ?? null, channelId ?? afterChannel, afterAmount)
          .filter(({ atSeconds }) => atSeconds >= fromSeconds && atSeconds <= toSeconds);
        const rest = [afterAmount, fromSeconds, toSeconds, PAYMENTS_PER_PAGE];
        const rows =
          channelId === undefined
            ? all(READS.paymentPage, afterChannel, ...rest)
            : all(READS.paymentPageOfChannel, channelId, ...rest);
        return merged(rows.map(paymentIn), waiting, PAYMENTS_PER_PAGE);
      });
    },
    async recordPayment(payment, channel) {
      if (journal === null) throw new Error(`ledger ${file}: payments are recorded by the gateway alone`);
      await journal.record(payment, channel);
    },
    deposits,
    balanceOf,
    depositTotals: (channel, daySinceSeconds) =>
      totalsIn(first(READS.totals, ...totalsCells(channel, daySinceSeconds))!),
    overdueDeposits: (nowSeconds, limit) => all(READS.overdue, Math.floor(nowSeconds), limit).map(overdueIn),
    intendDeposit(...asked) {
      const decided = deciding.then(() => intendDeposit(...asked));
      deciding = decided.catch(() => undefined);
      return decided;
    },
    saveDeposit: (record) => put(WRITES.deposit, depositRow(record)),
    withdrawals,
    saveWithdrawal: (record) => put(WRITES.withdrawal, withdrawalRow(record)),
    ...enrolmentsIn({
      select: all,
      async write(sql, cells, readSql, readCells) {
        const queries = [{ sql: readSql, cells: readCells }];
        return (await writer.run({ writes: [{ sql, rows: [cells] }], queries })).rows[0]!;
      },
    }),
    get counts() {
      const payments = paymentsBefore + (journal?.folded ?? 0) + unfolded().size;
      return { payments, commits: (journal?.flushes ?? 0) + writer.commits };
    },
    get waiting() {
      return journal?.waiting ?? NONE_WAITING;
    },
    async close() {
      await journal?.close();
      await writer.close();
      db.close();
    },
  };
}

/** The journal of another process, as it lies there now. */
function unfoldedIn(directory: string, disk: SegmentDisk): UnfoldedPayments {
  const waiting = new UnfoldedPayments();
  for (const { segment, bytes } of readJournal(directory, JOURNAL_NAME, disk).entries) {
    waiting.add(segment, rowIn(bytes));
  }
  return waiting;
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
