/**
 * What the journal has and the tables do not have yet.
 *
 * Promise: it is read before the tables; a row leaves when the tables have that very state of it.
 */
import type { SellerTransaction, StoredAnswer } from "../ports.ts";
import type { AccountRecord } from "./account-book.ts";

/** An account in memory, as committed; replaced as a whole. */
export interface Live extends AccountRecord {
  /** The charge of the newest voucher, as bytes; undefined when it is kept in full, or there is none. */
  readonly newest: Buffer | undefined;
}

interface UnfoldedAnswer {
  readonly account: string;
  readonly reference: string;
  readonly stored: StoredAnswer;
}

/** Rows that are written in one transaction. */
export interface Slice {
  readonly accounts: readonly Live[];
  readonly answers: readonly UnfoldedAnswer[];
  readonly transactions: readonly SellerTransaction[];
}

export class Unfolded {
  readonly accounts = new Map<string, Live>();
  readonly transactions = new Map<string, SellerTransaction>();
  readonly #answers = new Map<string, UnfoldedAnswer>();

  answer(account: string, reference: string): StoredAnswer | undefined {
    return this.#answers.get(`${account} ${reference}`)?.stored;
  }

  putAnswer(account: string, reference: string, stored: StoredAnswer): void {
    this.#answers.set(`${account} ${reference}`, { account, reference, stored });
  }

  all(): Slice {
    return {
      accounts: [...this.accounts.values()],
      answers: [...this.#answers.values()],
      transactions: [...this.transactions.values()],
    };
  }

  /** All that is here now, `size` rows of a kind at a time. */
  *slices(size: number): Generator<Slice> {
    const { accounts, answers, transactions } = this.all();
    const most = Math.max(accounts.length, answers.length, transactions.length);
    for (let at = 0; at < most; at += size) {
      yield {
        accounts: accounts.slice(at, at + size),
        answers: answers.slice(at, at + size),
        transactions: transactions.slice(at, at + size),
      };
    }
  }

  /** The tables have these. */
  forget({ accounts, answers, transactions }: Slice): void {
    for (const live of accounts) {
      if (this.accounts.get(live.account.account) === live) this.accounts.delete(live.account.account);
    }
    for (const answer of answers) {
      const key = `${answer.account} ${answer.reference}`;
      if (this.#answers.get(key) === answer) this.#answers.delete(key);
    }
    for (const transaction of transactions) {
      if (this.transactions.get(transaction.hash) === transaction) this.transactions.delete(transaction.hash);
    }
  }
}
