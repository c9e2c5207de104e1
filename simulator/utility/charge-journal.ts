// Charges appended, many to a row and a row to a commit, and folded into the accounts' own rows later: a
// charge costs its bytes, not two pages of a tree. Of a charge and an account's row the newer one counts, so
// a journal may be replayed as often as it likes.
//
// Bound: FOLD_AFTER charges, and those that come while as many are folded.

import type Libsql from "libsql";
import { CHARGE_BYTES, channelIdAt } from "./charge.ts";

/** Charges in the journal before their accounts are folded: 4 MB, replayed within a second. */
const FOLD_AFTER = 20_000;
/** Accounts folded in one commit, beside as many as the commit has charges. */
const FOLD_SLICE = 32;

interface Fold {
  readonly accounts: ReadonlySet<string>;
  readonly waiting: string[];
  /** The newest row of the journal that it makes superfluous. */
  readonly through: number;
}

export class ChargeJournal {
  readonly #statements;
  readonly #foldAfter: number;
  /** Accounts with charges since the last fold began. */
  #changed = new Set<string>();
  #charges = 0;
  #fold: Fold | undefined;

  constructor(db: Libsql.Database, foldAfter = FOLD_AFTER) {
    this.#foldAfter = foldAfter;
    this.#statements = {
      append: db.prepare("INSERT INTO charges (charges) VALUES (?)"),
      all: db.prepare("SELECT charges FROM charges ORDER BY seq"),
      newest: db.prepare("SELECT ifnull(max(seq), 0) AS seq FROM charges"),
      forget: db.prepare("DELETE FROM charges WHERE seq <= ?"),
    };
  }

  /** Whether the account's own rows may be older than the journal. */
  isAheadOf(account: string): boolean {
    return this.#changed.has(account) || (this.#fold?.accounts.has(account) ?? false);
  }

  /**
   * Inside a commit: appends `charges`, written end to end, one of each of `accounts`, and has some accounts
   * written as they were before it. What it returns is to be called once the commit is durable.
   */
  append(charges: Buffer, accounts: readonly string[], writeAccount: (account: string) => void): () => void {
    // One argument that is an object would be taken for named parameters, and end the process.
    this.#statements.append.run([charges]);
    const slice = this.#fold?.waiting.slice(0, FOLD_SLICE + accounts.length) ?? [];
    for (const account of slice) writeAccount(account);
    const isLast = this.#fold !== undefined && slice.length === this.#fold.waiting.length;
    if (isLast) this.#statements.forget.run(this.#fold!.through);
    return () => {
      this.#fold?.waiting.splice(0, slice.length);
      if (isLast) this.#fold = undefined;
      for (const account of accounts) this.#changed.add(account);
      this.#charges += accounts.length;
      if (this.#fold === undefined && this.#charges >= this.#foldAfter) this.#begin();
    };
  }

  /** Every charge of the journal, oldest first: a block, and where in it the charge is written. */
  *replay(): Generator<{ readonly bytes: Buffer; readonly at: number }> {
    for (const row of this.#statements.all.all() as { charges: Uint8Array }[]) {
      const bytes = Buffer.from(row.charges);
      for (let at = 0; at < bytes.length; at += CHARGE_BYTES) {
        this.#changed.add(channelIdAt(bytes, at));
        yield { bytes, at };
      }
    }
  }

  /** Inside a commit, once all accounts were written: the journal is empty. */
  clear(): void {
    this.#statements.forget.run(this.#newest());
    this.#changed = new Set();
    this.#charges = 0;
    this.#fold = undefined;
  }

  #begin(): void {
    const accounts = this.#changed;
    this.#fold = { accounts, waiting: [...accounts], through: this.#newest() };
    this.#changed = new Set();
    this.#charges = 0;
  }

  #newest(): number {
    return (this.#statements.newest.get() as { seq: number }).seq;
  }
}
