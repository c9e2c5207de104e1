/**
 * The thread that writes an SQLite file: it waits for the disk and for other processes' locks, so that no other thread
 * has to.
 *
 * Promise: works of one turn share a transaction and its flush (synchronous=FULL); one that fails undoes itself alone;
 * an answer leaves after the commit. A guarded work writes only while its queries give the rows it was decided on.
 */

import { parentPort, workerData } from "node:worker_threads";
import Database from "libsql";
import { detach } from "#core/detach";
import { throwUncaught } from "#node/process-guard";
import { GroupCommit } from "../postgres/group-commit.ts";
import type { Row } from "../rows.ts";
import type { Query } from "../sql-ledger.ts";
import type { Answer, Done, Work, WriterSettings } from "./writer-messages.ts";

const { file, busyTimeoutMs, walBytesMax } = workerData as WriterSettings;

const port = parentPort!;
const db = new Database(file);
db.pragma(`busy_timeout = ${busyTimeoutMs}`);
db.pragma("journal_mode = WAL");
// FULL: a commit is on disk when it returns; NORMAL would lose the last ones in a power cut.
db.pragma("synchronous = FULL");
db.pragma(`journal_size_limit = ${walBytesMax}`);
const commits = new GroupCommit(db);
const statements = new Map<string, Database.Statement>();

const statement = (sql: string): Database.Statement => {
  const known = statements.get(sql) ?? db.prepare(sql);
  statements.set(sql, known);
  return known;
};

const rowsOf = ({ sql, cells }: Query) => statement(sql).all(...cells) as Row[];

function carryOut({ guard, writes, queries = [] }: Work): Done {
  if (guard !== undefined && JSON.stringify(guard.queries.map(rowsOf)) !== guard.rows) {
    return { isHeld: false, changes: [], rows: [] };
  }
  const changes = writes.map(({ sql, rows }) => {
    const write = statement(sql);
    return rows.reduce((sum, cells) => sum + write.run(...cells).changes, 0);
  });
  return { isHeld: true, changes, rows: queries.map(rowsOf) };
}

async function answer(id: number, work: Work): Promise<void> {
  let said: Answer;
  try {
    said = { id, done: await commits.run(() => carryOut(work)), commits: commits.commits };
  } catch (error) {
    const { message, code } = error as Error & { code?: string };
    said = { id, error: { message, code: code ?? "" }, commits: commits.commits };
  }
  port.postMessage(said);
}

port.on("message", (message: { id: number; work: Work } | "close") => {
  if (message !== "close") {
    // An answer that cannot be sent ends this thread, and its callers receive that error.
    detach(answer(message.id, message.work), throwUncaught);
    return;
  }
  commits.close();
  // The answers of that last commit leave first.
  setImmediate(() => {
    db.close();
    port.close();
  });
});
