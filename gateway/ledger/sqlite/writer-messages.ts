/**
 * What an SQLite writer and its thread say to each other.
 *
 * Promise: plain data, as a thread's port can carry it; an answer names the work that it is of.
 */
import type { Cell, Row } from "../rows.ts";
import type { Query } from "../sql-ledger.ts";

export interface WriterSettings {
  readonly file: string;
  /** How long a transaction waits for another process's. */
  readonly busyTimeoutMs: number;
  /** The write-ahead log is cut to this when it is emptied. */
  readonly walBytesMax: number;
}

/** A statement, and the rows of parameters that it is run with. */
export interface Statement {
  readonly sql: string;
  readonly rows: readonly (readonly Cell[])[];
}

/** What is done in one transaction, all of it or nothing. */
export interface Work {
  /** Nothing is written unless the queries give these rows, as JSON, within the transaction. */
  readonly guard?: { readonly queries: readonly Query[]; readonly rows: string };
  readonly writes: readonly Statement[];
  /** Answered after the writes. */
  readonly queries?: readonly Query[];
}

export interface Done {
  /** False when the guard found other rows. */
  readonly isHeld: boolean;
  /** Rows that each write has inserted, updated or deleted. */
  readonly changes: readonly number[];
  /** Of each query. */
  readonly rows: readonly (readonly Row[])[];
}

/** What the thread says of one work, and how many transactions it has committed. */
export type Answer = { readonly id: number; readonly commits: number } & (
  | { readonly done: Done; readonly error?: undefined }
  | { readonly done?: undefined; readonly error: { readonly message: string; readonly code: string } }
);
