// The seller's database file: in a directory of one process alone, readable by its owner only, checked, and bound to one
// seller. A file that is damaged, locked or another seller's is refused with one line; nothing is repaired behind one's
// back.

import { chmodSync, closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import Libsql from "libsql";
import { Watt402Error } from "#payment/watt402-error";

export const DATABASE_FILE = "accounts.db";
/** 2 added charges and the answers kept in blocks; 3 has its charges in a journal file, which 2 would not read. */
const SCHEMA_VERSION = 3;

/** Whose accounts these are; a ledger opened under another identity would mix money that does not mix. */
export interface SellerIdentity {
  /** CAIP-2, such as eip155:31337 */
  readonly network: `${string}:${string}`;
  readonly token: string;
  readonly receiver: string;
}

/** Takes a directory for this process; throws with code file-inaccessible or in-use. */
export function ownDirectory<T>(directory: string, take: () => T): T {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new Watt402Error(
      "file-inaccessible",
      `data directory ${directory}: cannot be used: ${(error as Error).message}`,
    );
  }
  try {
    return take();
  } catch (error) {
    // Two sellers on one ledger would each count the other's money as new.
    throw new Watt402Error(
      "in-use",
      `data directory ${directory}: in use by another process, or unreadable: ${(error as Error).message}`,
    );
  }
}

/** For reading, once opened. Throws with code data-damaged, in-use, or config-invalid: it is of another seller. */
export function openDatabase(
  directory: string,
  identity: SellerIdentity,
): { readonly db: Libsql.Database; readonly file: string } {
  const path = join(directory, DATABASE_FILE);
  let db: Libsql.Database | undefined;
  try {
    // The log and its index beside the file get the file's mode.
    closeSync(openSync(path, "a", 0o600));
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
    db = new Libsql(path);
    db.exec("PRAGMA journal_mode = WAL");
    db.exec("PRAGMA synchronous = FULL");
    const check = db.prepare("PRAGMA quick_check(1)").get() as { quick_check: string };
    if (check.quick_check !== "ok") throw new Error(check.quick_check);
    create(db);
    bind(db, identity, path);
    return { db, file: path };
  } catch (error) {
    db?.close();
    if (error instanceof Watt402Error) throw error;
    const reason = (error as Error).message.split("\n")[0];
    if (/locked|busy/i.test(reason ?? "")) {
      throw new Watt402Error("in-use", `database ${path}: in use by another process; stop that one first`);
    }
    throw new Watt402Error(
      "data-damaged",
      `database ${path}: expected a sound SQLite file, found: ${reason}; restore a copy`,
    );
  }
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
    UPDATE seller SET version = ${SCHEMA_VERSION} WHERE version < ${SCHEMA_VERSION};
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
      throw new Watt402Error(
        "config-invalid",
        `database ${path}: expected ${name} ${wanted[index]}, found ${row[name]}; use another data directory`,
      );
    }
  });
}
