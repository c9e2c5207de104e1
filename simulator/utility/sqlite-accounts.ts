// The account book's rows in one SQLite file, written by group commit with synchronous=FULL: what was
// answered is on disk.

import { GroupCommit } from "#gateway/ledger/group-commit";
import { AccountBook, type AccountRecord, type AccountRows } from "./account-book.ts";
import type { Account } from "./accounts.ts";
import type {
  Channel,
  KindTotals,
  SellerTransaction,
  SettleResponse,
  StoredAnswer,
  TransactionKind,
} from "./ports.ts";
import { closeDatabase, openDatabase, type SellerIdentity } from "./sqlite-file.ts";
import type { Quote } from "./tariff.ts";

interface AccountRow {
  account: string;
  scheme: Account["scheme"];
  charged: number;
  granted: number;
  remainder: number;
  purchases: number;
  channel: string | null;
}

interface AnswerRow {
  signature: string;
  answer: string;
  receipt: string;
}

export interface SqliteAccountsOptions {
  readonly directory: string;
  readonly identity: SellerIdentity;
  /** The price at the moment of charging. */
  readonly quote: () => Quote;
  readonly maxQueued?: number;
}

/** The account book on a file of its own. */
export class SqliteAccounts extends AccountBook {
  readonly #rows: SqliteRows;

  constructor(options: SqliteAccountsOptions) {
    const rows = new SqliteRows(options);
    super(rows, options.identity.network, options.quote);
    this.#rows = rows;
  }

  /** Writes what waits and closes the file. */
  close(): void {
    this.#rows.close();
  }
}

class SqliteRows implements AccountRows {
  readonly #db;
  readonly #commit: GroupCommit;
  readonly #statements;

  constructor(options: SqliteAccountsOptions) {
    this.#db = openDatabase(options.directory, options.identity);
    this.#commit = new GroupCommit(this.#db, { maxQueued: options.maxQueued ?? 10_000 });
    const db = this.#db;
    this.#statements = {
      account: db.prepare("SELECT * FROM accounts WHERE account = ?"),
      channels: db.prepare("SELECT channel FROM accounts WHERE channel IS NOT NULL"),
      putAccount: db.prepare("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?)"),
      answer: db.prepare(
        "SELECT signature, answer, receipt FROM answers WHERE account = ? AND reference = ?",
      ),
      putAnswer: db.prepare("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)"),
      putReceipt: db.prepare("UPDATE answers SET receipt = ? WHERE account = ? AND reference = ?"),
      putTransaction: db.prepare("INSERT OR REPLACE INTO transactions VALUES (?, ?, ?, ?, ?)"),
      withoutGas: db.prepare("SELECT * FROM transactions WHERE gas IS NULL"),
      totals: db.prepare(
        `SELECT kind, count(*) AS transactions, sum(channels) AS channels, sum(ifnull(gas, 0)) AS gas,
          sum(amount) AS amountAtomic FROM transactions GROUP BY kind`,
      ),
    };
  }

  get isFull(): boolean {
    return this.#commit.isFull;
  }

  commit<T>(work: () => T): Promise<T> {
    return this.#commit.run(work);
  }

  record(id: string): AccountRecord | undefined {
    const row = this.#statements.account.get(id) as AccountRow | undefined;
    if (row === undefined) return undefined;
    const channel = row.channel === null ? null : (JSON.parse(row.channel) as Channel);
    return { account: accountOf(row), channel };
  }

  channels(): Channel[] {
    return this.#statements.channels
      .all()
      .map((row) => JSON.parse((row as { channel: string }).channel) as Channel);
  }

  putRecord({ account, channel }: AccountRecord): void {
    this.#statements.putAccount.run(
      account.account,
      account.scheme,
      account.charged,
      account.granted,
      account.remainderMicroAtomic,
      account.purchases,
      channel === null ? null : JSON.stringify(channel),
    );
  }

  answer(account: string, reference: string): StoredAnswer | undefined {
    const row = this.#statements.answer.get(account, reference) as AnswerRow | undefined;
    if (row === undefined) return undefined;
    return { answer: JSON.parse(row.answer), signature: row.signature, receipt: JSON.parse(row.receipt) };
  }

  putAnswer(account: string, reference: string, slot: number | null, stored: StoredAnswer): void {
    this.#statements.putAnswer.run(
      account,
      reference,
      slot,
      stored.signature,
      JSON.stringify(stored.answer),
      JSON.stringify(stored.receipt),
    );
  }

  putReceipt(account: string, reference: string, receipt: SettleResponse): void {
    this.#statements.putReceipt.run(JSON.stringify(receipt), account, reference);
  }

  putTransaction(transaction: SellerTransaction): void {
    this.#statements.putTransaction.run(
      transaction.hash,
      transaction.kind,
      transaction.channels,
      transaction.amountAtomic,
      transaction.gas ?? null,
    );
  }

  transactionsWithoutGas(): SellerTransaction[] {
    const rows = this.#statements.withoutGas.all() as {
      hash: string;
      kind: TransactionKind;
      channels: number;
      amount: number;
    }[];
    return rows.map((row) => ({ ...row, amountAtomic: row.amount, gas: undefined }));
  }

  totals(): Record<TransactionKind, KindTotals> {
    const none = { transactions: 0, channels: 0, gas: 0, amountAtomic: 0 };
    const totals = { deposit: none, claim: none, settle: none, exact: none };
    for (const row of this.#statements.totals.all() as ({ kind: TransactionKind } & KindTotals)[]) {
      const { kind, ...sums } = row;
      totals[kind] = sums;
    }
    return totals;
  }

  close(): void {
    this.#commit.close();
    closeDatabase(this.#db);
  }
}

function accountOf(row: AccountRow): Account {
  return {
    account: row.account,
    scheme: row.scheme,
    charged: row.charged,
    granted: row.granted,
    remainderMicroAtomic: row.remainder,
    purchases: row.purchases,
  };
}
