/**
 * The gateway's ledger in one SQLite file.
 *
 * Promise (M4): a write that resolved is on disk (WAL, synchronous=FULL, one commit for all writes of a
 * turn); a payment is keyed by its money, so the same rung is recorded once, whoever presents it. Payments go
 * through a journal in the same file: who reads folds it first, and so does who opens it.
 */
import { join } from "node:path";
import Database from "libsql";
import type {
  ChannelKey,
  ChannelRecord,
  DepositRecord,
  DepositTotals,
  DeviceRecord,
  PaymentRecord,
} from "../purchase/ports.ts";
import { enrolmentsIn } from "./enrolment-rows.ts";
import { GroupCommit } from "./group-commit.ts";
import { SQLITE, stepsAfter, VERSION_TABLE } from "./migrations.ts";
import { PaymentJournal } from "./payment-journal.ts";
import {
  type Cell,
  COLUMNS,
  channelIn,
  channelRow,
  depositIn,
  depositRow,
  deviceIn,
  deviceRow,
  paymentIn,
  type Row,
  withdrawalIn,
  withdrawalRow,
} from "./rows.ts";
import { READS } from "./statements.ts";
import { type LedgerStore, PAYMENTS_PER_PAGE, paged, type WithdrawalRecord } from "./store.ts";

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
  withdrawals(channelId: string): readonly WithdrawalRecord[];
}

/** How long a writer waits for another process's transaction, such as an operator's top-up. */
const BUSY_TIMEOUT_MS = 5_000;

/** Opens or creates `ledger.sqlite` in a directory. Throws one clear line when the file is none of ours. */
export function openSqliteLedger(directory: string): SqliteLedger {
  const db = openFile(join(directory, "ledger.sqlite"));
  const commits = new GroupCommit(db);
  const statements = new Map<string, Database.Statement>();
  const statement = (sql: string): Database.Statement => {
    const known = statements.get(sql) ?? db.prepare(sql);
    statements.set(sql, known);
    return known;
  };
  const all = (sql: string, ...cells: Cell[]) => statement(sql).all(...cells) as Row[];
  const first = (sql: string, ...cells: Cell[]) => statement(sql).get(...cells) as Row | undefined;
  const put = (sql: string, cells: readonly Cell[]) => statement(sql).run(...cells).changes;

  const putChannel = (record: ChannelRecord) => put(WRITES.channel, channelRow(record));
  const journal = new PaymentJournal(db, commits, putChannel);
  journal.fold();
  const paymentsBefore = (first(READS.paymentCount)!.payments as number) - journal.folded;
  const deposits = (channelId: string) => all(READS.deposits, channelId).map(depositIn);
  const withdrawals = (channelId: string) => all(READS.withdrawals, channelId).map(withdrawalIn);

  function depositTotals({ id, device }: ChannelKey, daySinceSeconds: number): DepositTotals {
    const since = Math.floor(daySinceSeconds);
    const row = first(READS.totals, id, since, id, device, since)!;
    return {
      channelAtomic: row.channel as number,
      deviceDayAtomic: row.device_day as number,
      fleetDayAtomic: row.fleet_day as number,
      fleetAtomic: row.fleet as number,
    };
  }

  return {
    device(device) {
      const row = first(READS.device, device);
      return row ? deviceIn(row) : null;
    },
    devices: () => all(READS.devices).map(deviceIn),
    saveDevice: (record) =>
      commits.run(() => {
        put(WRITES.device, deviceRow(record));
      }),
    channelsOf(device) {
      journal.fold();
      return all(READS.channelsOf, device).map(channelIn);
    },
    channels() {
      journal.fold();
      return all(READS.channels).map(channelIn);
    },
    saveChannel: (record) =>
      commits.run(() => {
        putChannel(record);
      }),
    payment(channelId, maxClaimable) {
      journal.fold();
      const row = first(READS.payment, channelId, maxClaimable);
      return row ? paymentIn(row) : null;
    },
    paymentsAfter(channelId, charged, limit) {
      journal.fold();
      return all(READS.paymentsAfter, channelId, charged, limit).map(paymentIn);
    },
    payments({ channelId, fromSeconds = 0, toSeconds = Number.MAX_SAFE_INTEGER }) {
      return paged((afterChannel, afterAmount) => {
        journal.fold();
        const rest = [afterAmount, fromSeconds, toSeconds, PAYMENTS_PER_PAGE];
        const rows =
          channelId === undefined
            ? all(READS.paymentPage, afterChannel, ...rest)
            : all(READS.paymentPageOfChannel, channelId, ...rest);
        return rows.map(paymentIn);
      });
    },
    recordPayment: (payment, channel) => journal.record(payment, channel),
    deposits,
    balanceOf: (channelId) => first(READS.balance, channelId)!.balance as number,
    depositTotals,
    intendDeposit: (channel, index, daySinceSeconds, decide) =>
      commits.run(() => {
        if (withdrawals(channel.id).some(({ state }) => state === "initiated")) return null;
        const known = deposits(channel.id).find((deposit) => deposit.index === index) ?? null;
        const decided = decide(known, depositTotals(channel, daySinceSeconds));
        if (decided !== null && decided !== known) put(WRITES.deposit, depositRow(decided));
        return decided;
      }),
    saveDeposit: (record) =>
      commits.run(() => {
        put(WRITES.deposit, depositRow(record));
      }),
    withdrawals,
    saveWithdrawal: (record) =>
      commits.run(() => {
        put(WRITES.withdrawal, withdrawalRow(record));
      }),
    ...enrolmentsIn({
      select: all,
      write: (sql, cells, readSql, readCells) =>
        commits.run(() => {
          put(sql, cells);
          return all(readSql, ...readCells);
        }),
    }),
    get counts() {
      journal.tryFold();
      return { payments: paymentsBefore + journal.folded, commits: commits.commits };
    },
    async close() {
      commits.close();
      journal.tryFold();
      db.close();
    },
  };
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

function openFile(file: string): Database.Database {
  try {
    const db = new Database(file);
    db.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`);
    db.pragma("journal_mode = WAL");
    // FULL: a commit is on disk when it returns; NORMAL would lose the last ones in a power cut.
    db.pragma("synchronous = FULL");
    migrate(db);
    return db;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`ledger ${file}: ${reason}; restore a backup, or name another gateway.data directory`);
  }
}

function migrate(db: Database.Database): void {
  db.exec(VERSION_TABLE);
  const version = "SELECT coalesce(max(version), 0) AS version FROM schema_version";
  const steps = stepsAfter((db.prepare(version).get() as Row).version as number, SQLITE);
  if (steps.length > 0) db.exec(`BEGIN IMMEDIATE; ${steps.join("\n")} COMMIT;`);
}
