// The seller's tables: one row of each kind in and out. No order of work and no memory is kept here.

import type Libsql from "libsql";
import type { AccountRecord } from "./account-book.ts";
import type { Account } from "./accounts.ts";
import type { Channel, KindTotals, SellerTransaction, StoredAnswer, TransactionKind } from "./ports.ts";

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

export class SellerTables {
  readonly #statements;

  constructor(db: Libsql.Database) {
    this.#statements = {
      account: db.prepare("SELECT * FROM accounts WHERE account = ?"),
      channels: db.prepare("SELECT account, channel FROM accounts WHERE channel IS NOT NULL"),
      putAccount: db.prepare("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?)"),
      answer: db.prepare(
        "SELECT signature, answer, receipt FROM answers WHERE account = ? AND reference = ?",
      ),
      putAnswer: db.prepare("INSERT OR REPLACE INTO answers VALUES (?, ?, NULL, ?, ?, ?)"),
      kept: db.prepare("SELECT answers FROM kept WHERE account = ?"),
      putKept: db.prepare("INSERT OR REPLACE INTO kept VALUES (?, ?)"),
      putTransaction: db.prepare("INSERT OR REPLACE INTO transactions VALUES (?, ?, ?, ?, ?)"),
      withoutGas: db.prepare("SELECT * FROM transactions WHERE gas IS NULL"),
      totals: db.prepare(
        `SELECT kind, count(*) AS transactions, sum(channels) AS channels, sum(ifnull(gas, 0)) AS gas,
          sum(amount) AS amountAtomic FROM transactions GROUP BY kind`,
      ),
    };
  }

  record(id: string): AccountRecord | undefined {
    const row = this.#statements.account.get(id) as AccountRow | undefined;
    if (row === undefined) return undefined;
    const { account, scheme, charged, granted, remainder: remainderMicroAtomic, purchases } = row;
    return {
      account: { account, scheme, charged, granted, remainderMicroAtomic, purchases },
      channel: row.channel === null ? null : (JSON.parse(row.channel) as Channel),
    };
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

  /** Channels and their accounts' ids; parsed only when asked for. */
  channels(): { readonly account: string; readonly parse: () => Channel }[] {
    const rows = this.#statements.channels.all() as { account: string; channel: string }[];
    return rows.map(({ account, channel }) => ({ account, parse: () => JSON.parse(channel) as Channel }));
  }

  /** An answer that is kept for good. */
  answer(account: string, reference: string): StoredAnswer | undefined {
    const row = this.#statements.answer.get(account, reference) as AnswerRow | undefined;
    if (row === undefined) return undefined;
    return { answer: JSON.parse(row.answer), signature: row.signature, receipt: JSON.parse(row.receipt) };
  }

  putAnswer(account: string, reference: string, stored: StoredAnswer): void {
    this.#statements.putAnswer.run(
      account,
      reference,
      stored.signature,
      JSON.stringify(stored.answer),
      JSON.stringify(stored.receipt),
    );
  }

  /** The newest answers of a channel, as `KeptAnswers` has them. */
  kept(account: string): Buffer | undefined {
    const row = this.#statements.kept.get(account) as { answers: Uint8Array } | undefined;
    return row === undefined ? undefined : Buffer.from(row.answers);
  }

  putKept(account: string, answers: Buffer): void {
    this.#statements.putKept.run(account, answers);
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
}
