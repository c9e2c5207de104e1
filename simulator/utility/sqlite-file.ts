// The seller's database file: opened for one process alone, checked, and bound to one seller. A file that
// is damaged, locked or another seller's is refused with one line; nothing is repaired behind one's back.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import Libsql from "libsql";

export const DATABASE_FILE = "accounts.db";
/** 2 added the journal of charges and the answers kept in blocks. */
const SCHEMA_VERSION = 2;

/** Whose accounts these are; a ledger opened under another identity would mix money that does not mix. */
export interface SellerIdentity {
  /** CAIP-2, such as eip155:31337 */
  readonly network: `${string}:${string}`;
  readonly token: string;
  readonly receiver: string;
}

export class DatabaseRefused extends Error {
  constructor(message: string) {
    super(message);
    this.name = "DatabaseRefused";
  }
}

/** Throws `DatabaseRefused`: unusable directory, not a database, damaged, in use, or of another seller. */
export function openDatabase(directory: string, identity: SellerIdentity): Libsql.Database {
  const path = join(directory, DATABASE_FILE);
  try {
    mkdirSync(directory, { recursive: true });
  } catch (error) {
    throw new DatabaseRefused(`data directory ${directory}: cannot be used: ${(error as Error).message}`);
  }
  let db: Libsql.Database | undefined;
  try {
    db = new Libsql(path);
    // One process owns the file: two sellers on one ledger would each count the other's money as new.
    db.exec("PRAGMA locking_mode = EXCLUSIVE");
    db.exec("PRAGMA journal_mode = WAL");
    db.exec("PRAGMA synchronous = FULL");
    const check = db.prepare("PRAGMA quick_check(1)").get() as { quick_check: string };
    if (check.quick_check !== "ok") throw new Error(check.quick_check);
    create(db);
    bind(db, identity, path);
    return db;
  } catch (error) {
    db?.close();
    if (error instanceof DatabaseRefused) throw error;
    const reason = (error as Error).message.split("\n")[0];
    if (/locked|busy/i.test(reason ?? "")) {
      throw new DatabaseRefused(`database ${path}: in use by another process; stop that one first`);
    }
    throw new DatabaseRefused(
      `database ${path}: expected a sound SQLite file, found: ${reason}; restore a copy`,
    );
  }
}

/**
 * Puts all into the one file and lets go of it. The driver keeps its connection until the last statement is
 * collected, so the lock has to be given up by words; an exclusive lock only leaves with write-ahead mode.
 */
export function closeDatabase(db: Libsql.Database): void {
  db.prepare("PRAGMA journal_mode = DELETE").all();
  db.prepare("PRAGMA locking_mode = NORMAL").all();
  db.prepare("SELECT version FROM seller").all();
  db.close();
}

function create(db: Libsql.Database): void {
  db.exec(`
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS seller (
      version INTEGER NOT NULL, network TEXT NOT NULL, token TEXT NOT NULL, receiver TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS accounts (
      account TEXT PRIMARY KEY, scheme TEXT NOT NULL, charged INTEGER NOT NULL, granted INTEGER NOT NULL,
      remainder INTEGER NOT NULL, purchases INTEGER NOT NULL, channel TEXT
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS answers (
      account TEXT NOT NULL, reference TEXT NOT NULL, slot INTEGER, signature TEXT NOT NULL,
      answer TEXT NOT NULL, receipt TEXT NOT NULL,
      PRIMARY KEY (account, reference), UNIQUE (account, slot)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS transactions (
      hash TEXT PRIMARY KEY, kind TEXT NOT NULL, channels INTEGER NOT NULL, amount INTEGER NOT NULL, gas INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS charges (seq INTEGER PRIMARY KEY, charges BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS kept (account TEXT PRIMARY KEY, answers BLOB NOT NULL);
    UPDATE seller SET version = ${SCHEMA_VERSION} WHERE version = 1;
    COMMIT;
  `);
}

function bind(db: Libsql.Database, identity: SellerIdentity, path: string): void {
  const wanted = [
    SCHEMA_VERSION,
    identity.network,
    identity.token.toLowerCase(),
    identity.receiver.toLowerCase(),
  ];
  const row = db.prepare("SELECT version, network, token, receiver FROM seller").get() as
    | Record<string, unknown>
    | undefined;
  if (row === undefined) {
    db.prepare("INSERT INTO seller VALUES (?, ?, ?, ?)").run(...wanted);
    return;
  }
  const names = ["version", "network", "token", "receiver"];
  names.forEach((name, index) => {
    if (row[name] !== wanted[index]) {
      throw new DatabaseRefused(
        `database ${path}: expected ${name} ${wanted[index]}, found ${row[name]}; use another data directory`,
      );
    }
  });
}
