// The seller's tables: one row of each kind in and out. No order of work and no memory is kept here. Rows are read by
// this thread and written by another one; only at the start, before anything is served, are they written here.

import type Libsql from "libsql";
import type { Statement } from "#gateway/ledger/sqlite/writer-messages";
import { parseJson } from "#protocol/nesting";
import type {
  Channel,
  KindTotals,
  SellerTransaction,
  SettleResponse,
  StoredAnswer,
  TransactionKind,
} from "../ports.ts";
import type { AccountRecord } from "./account-book.ts";
import type { Account } from "./accounts.ts";
import { CHARGE_BYTES, chargedAt } from "./charge.ts";
import type { Slice } from "./unfolded.ts";

interface AccountRow {
  account: string;
  scheme: Account["scheme"];
  charged: number;
  granted: number;
  remainder: number;
  purchases: number;
  channel: string | null;
}

interface TransactionRow {
  hash: string;
  kind: TransactionKind;
  channels: number;
  amount: number;
  gas: number | null;
}

interface AnswerRow {
  signature: string;
  answer: string;
  receipt: string;
}

const PUT_ACCOUNT = "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?)";
const PUT_ANSWER = "INSERT OR REPLACE INTO answers VALUES (?, ?, NULL, ?, ?, ?)";
const PUT_NEWEST = "INSERT OR REPLACE INTO kept VALUES (?, unhex(?))";
const FORGET_NEWEST = "DELETE FROM kept WHERE account = ?";
const PUT_TRANSACTION = "INSERT OR REPLACE INTO transactions VALUES (?, ?, ?, ?, ?)";

export class SellerTables {
  readonly #db: Libsql.Database;
  readonly #statements;

  constructor(db: Libsql.Database) {
    this.#db = db;
    this.#statements = {
      account: db.prepare("SELECT * FROM accounts WHERE account = ?"),
      channels: db.prepare("SELECT account, channel FROM accounts WHERE channel IS NOT NULL"),
      answer: db.prepare(
        "SELECT signature, answer, receipt FROM answers WHERE account = ? AND reference = ?",
      ),
      kept: db.prepare("SELECT answers FROM kept WHERE account = ?"),
      charges: db.prepare("SELECT charges FROM charges ORDER BY seq"),
      transaction: db.prepare("SELECT * FROM transactions WHERE hash = ?"),
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
      channel: row.channel === null ? null : (parseJson(row.channel) as Channel),
    };
  }

  /** Channels and their accounts' ids; parsed only when asked for. */
  channels(): { readonly account: string; readonly parse: () => Channel }[] {
    const rows = this.#statements.channels.all() as { account: string; channel: string }[];
    return rows.map(({ account, channel }) => ({ account, parse: () => parseJson(channel) as Channel }));
  }

  /** An answer that is kept for good. */
  answer(account: string, reference: string): StoredAnswer | undefined {
    const row = this.#statements.answer.get(account, reference) as AnswerRow | undefined;
    if (row === undefined) return undefined;
    return {
      answer: parseJson(row.answer) as StoredAnswer["answer"],
      signature: row.signature,
      receipt: parseJson(row.receipt) as SettleResponse,
    };
  }

  /** The charge of an account's newest voucher; a store of before kept older ones beside it. */
  newestCharge(account: string, charged: number): Buffer | undefined {
    const row = this.#statements.kept.get(account) as { answers: Uint8Array } | undefined;
    if (row === undefined) return undefined;
    return splitCharges(Buffer.from(row.answers)).find((charge) => chargedAt(charge, 0) === charged);
  }

  /** Charges that a store of before had not yet brought into its rows, oldest first. */
  chargesOfBefore(): Buffer[] {
    const rows = this.#statements.charges.all() as { charges: Uint8Array }[];
    return rows.flatMap(({ charges }) => splitCharges(Buffer.from(charges)));
  }

  /** How rows are written. */
  statements({ accounts, answers, transactions }: Slice): Statement[] {
    const newest = accounts.filter(({ channel }) => channel !== null);
    return [
      { sql: PUT_ACCOUNT, rows: accounts.map(accountCells) },
      {
        sql: PUT_NEWEST,
        rows: newest.flatMap(({ account, newest: charge }) =>
          charge === undefined ? [] : [[account.account, charge.toString("hex")]],
        ),
      },
      {
        sql: FORGET_NEWEST,
        rows: newest.flatMap(({ account, newest: charge }) =>
          charge === undefined ? [[account.account]] : [],
        ),
      },
      {
        sql: PUT_ANSWER,
        rows: answers.map(({ account, reference, stored: { signature, answer, receipt } }) => [
          account,
          reference,
          signature,
          JSON.stringify(answer),
          JSON.stringify(receipt),
        ]),
      },
      {
        sql: PUT_TRANSACTION,
        rows: transactions.map(({ hash, kind, channels, amountAtomic, gas }) => [
          hash,
          kind,
          channels,
          amountAtomic,
          gas ?? null,
        ]),
      },
    ];
  }

  /** At the start: all rows at once, and no charges of before are left. */
  writeAll(slice: Slice): void {
    this.#db.exec("BEGIN IMMEDIATE");
    for (const { sql, rows } of this.statements(slice)) {
      const statement = this.#db.prepare(sql);
      for (const cells of rows) statement.run(...cells);
    }
    this.#db.exec("DELETE FROM charges");
    this.#db.exec("COMMIT");
  }

  transactionsWithoutGas(): SellerTransaction[] {
    const rows = this.#statements.withoutGas.all() as TransactionRow[];
    return rows.map(({ hash, kind, channels, amount }) => ({
      hash,
      kind,
      channels,
      amountAtomic: amount,
      gas: undefined,
    }));
  }

  /** @param ahead transactions that count as they are here, whatever the table says of them */
  totals(ahead: readonly SellerTransaction[]): Record<TransactionKind, KindTotals> {
    const none = { transactions: 0, channels: 0, gas: 0, amountAtomic: 0 };
    const totals: Record<TransactionKind, KindTotals> = {
      deposit: none,
      claim: none,
      settle: none,
      exact: none,
    };
    for (const row of this.#statements.totals.all() as ({ kind: TransactionKind } & KindTotals)[]) {
      const { kind, ...sums } = row;
      totals[kind] = sums;
    }
    const count = (kind: TransactionKind, sign: 1 | -1, channels: number, gas: number, amount: number) => {
      const before = totals[kind];
      totals[kind] = {
        transactions: before.transactions + sign,
        channels: before.channels + sign * channels,
        gas: before.gas + sign * gas,
        amountAtomic: before.amountAtomic + sign * amount,
      };
    };
    for (const { hash, kind, channels, gas, amountAtomic } of ahead) {
      const row = this.#statements.transaction.get(hash) as TransactionRow | undefined;
      if (row !== undefined) count(row.kind, -1, row.channels, row.gas ?? 0, row.amount);
      count(kind, 1, channels, gas ?? 0, amountAtomic);
    }
    return totals;
  }
}

function splitCharges(bytes: Buffer): Buffer[] {
  return Array.from({ length: bytes.length / CHARGE_BYTES }, (_, index) =>
    bytes.subarray(index * CHARGE_BYTES, (index + 1) * CHARGE_BYTES),
  );
}

function accountCells({ account, channel }: AccountRecord): (string | number | null)[] {
  return [
    account.account,
    account.scheme,
    account.charged,
    account.granted,
    account.remainderMicroAtomic,
    account.purchases,
    channel === null ? null : JSON.stringify(channel),
  ];
}
