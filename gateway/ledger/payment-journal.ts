/**
 * Payments on their way into the ledger's tables: appended together, one row for all of a commit, and folded into
 * payment and channel later, many at once. Scattered over the tables each would cost two pages of its own.
 *
 * Promise: what `record` resolved is in the file, whole (M4); whoever folds before reading sees all of it, in
 * whichever process it was appended; a payment recorded first stays as it was, and counters only rise.
 */
import type Database from "libsql";
import type { ChannelRecord, PaymentRecord } from "../purchase/ports.ts";
import { CommitQueueFull, DEFAULT_MAX_QUEUED, type GroupCommit } from "./group-commit.ts";
import { type Cell, COLUMNS, paymentRow } from "./rows.ts";

/** Payments that wait in the journal, of this process, when they are folded by the way. */
const FOLD_AT = 1_000;

/** A payment's cells, and behind them the channel's counters after it. */
type JournalRow = readonly Cell[];

const COUNTERS = ["promised", "charged", "granted", "revision"] as const;

export class PaymentJournal {
  readonly #db: Database.Database;
  readonly #commits: GroupCommit;
  readonly #putChannel: (channel: ChannelRecord) => unknown;
  readonly #statements: Record<"append" | "isAny" | "payments" | "channels" | "clear", Database.Statement>;
  /** Channels whose row holds these terms, by their configuration: their counters are all that changes. */
  readonly #settled = new WeakMap<object, object>();
  #batch: JournalRow[] | null = null;
  #written: Promise<void> = Promise.resolve();
  #waiting = 0;
  #folded = 0;

  /** @param putChannel writes a channel's whole row, within a transaction */
  constructor(db: Database.Database, commits: GroupCommit, putChannel: (channel: ChannelRecord) => unknown) {
    this.#db = db;
    this.#commits = commits;
    this.#putChannel = putChannel;
    this.#statements = {
      append: db.prepare("INSERT INTO payment_journal (payments) VALUES (?)"),
      isAny: db.prepare("SELECT 1 AS is_any FROM payment_journal LIMIT 1"),
      payments: db.prepare(FOLD_PAYMENTS),
      channels: db.prepare(FOLD_CHANNELS),
      clear: db.prepare("DELETE FROM payment_journal"),
    };
  }

  /** Payments that came into the tables since it was opened. */
  get folded(): number {
    return this.#folded;
  }

  /** Folds if the file can be written now; what stays is folded by the next who can. */
  tryFold(): void {
    try {
      this.fold();
    } catch {
      // Nothing is lost by waiting: the journal is as durable as the tables.
    }
  }

  /** Resolves when the payment, and its channel's counters after it, would survive a power cut. */
  async record(payment: PaymentRecord, channel: ChannelRecord): Promise<void> {
    const { config, requirements, promised, charged, granted, revision } = channel;
    if (config === null || this.#settled.get(config) !== requirements) {
      const put = this.#commits.run(() => {
        this.#putChannel(channel);
      });
      await Promise.all([put, this.#append([...paymentRow(payment), promised, charged, granted, revision])]);
      if (config !== null) this.#settled.set(config, requirements);
      return;
    }
    await this.#append([...paymentRow(payment), promised, charged, granted, revision]);
  }

  /** Brings all that was appended into the tables; to be called before they are read. Throws when it cannot. */
  fold(): void {
    if (this.#statements.isAny.get() === undefined) return;
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      this.#foldWithin();
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.inTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  /** All payments of one commit share a row and its write. */
  #append(row: JournalRow): Promise<void> {
    if (this.#batch !== null && this.#batch.length >= DEFAULT_MAX_QUEUED) {
      return Promise.reject(new CommitQueueFull(DEFAULT_MAX_QUEUED));
    }
    if (this.#batch === null) {
      const batch: JournalRow[] = [];
      this.#batch = batch;
      this.#written = this.#commits.run(() => {
        this.#batch = null;
        this.#statements.append.run([JSON.stringify(batch)]);
        this.#waiting += batch.length;
        if (this.#waiting >= FOLD_AT) this.#foldWithin();
      });
    }
    this.#batch.push(row);
    return this.#written;
  }

  #foldWithin(): void {
    const { payments, channels, clear } = this.#statements;
    this.#folded += payments.run([]).changes;
    channels.run([]);
    clear.run([]);
    this.#waiting = 0;
  }
}

const cell = (index: number) => `json_extract(p.value, '$[${index}]')`;
const ROWS = "payment_journal j, json_each(j.payments) p";

/** In the order they were appended, so that of two with the same key the first one is kept. */
const FOLD_PAYMENTS =
  `INSERT OR IGNORE INTO payment (${COLUMNS.payment.join(", ")})` +
  ` SELECT ${COLUMNS.payment.map((_, index) => cell(index)).join(", ")} FROM ${ROWS}` +
  " ORDER BY 1, 2, j.id, p.key";

const FOLD_CHANNELS =
  `UPDATE channel SET ${COUNTERS.map((name) => `${name} = max(channel.${name}, f.${name})`).join(", ")}` +
  ` FROM (SELECT ${cell(0)} AS id, ` +
  COUNTERS.map((name, index) => `max(${cell(COLUMNS.payment.length + index)}) AS ${name}`).join(", ") +
  ` FROM ${ROWS} GROUP BY 1) AS f WHERE channel.id = f.id`;
