// Writes share a commit, fail alone, and are on disk when their promise resolves.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Libsql from "libsql";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CommitQueueFull, GroupCommit } from "#gateway/ledger/postgres/group-commit";

let directory: string;
let db: Libsql.Database;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "watt402-commit-"));
  db = new Libsql(join(directory, "ledger.db"));
  db.exec(
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE entries (name TEXT PRIMARY KEY)",
  );
});
afterEach(async () => {
  db.close();
  await rm(directory, { recursive: true, force: true });
});

const insert = (name: string) => () => db.prepare("INSERT INTO entries VALUES (?)").run(name);
const names = (from = db) =>
  (from.prepare("SELECT name FROM entries ORDER BY name").all() as { name: string }[]).map((row) => row.name);

test("a thousand writes queued together take one commit", async () => {
  const commit = new GroupCommit(db);
  await Promise.all(Array.from({ length: 1_000 }, (_, index) => commit.run(insert(`entry ${index}`))));
  expect(commit.commits).toBe(1);
  expect(names()).toHaveLength(1_000);
});

test("a write that fails undoes itself wholly and no other write", async () => {
  const commit = new GroupCommit(db);
  const results = await Promise.allSettled([
    commit.run(insert("first")),
    commit.run(() => {
      insert("half")();
      throw new Error("changed its mind");
    }),
    commit.run(insert("first")),
    commit.run(() => {
      insert("last")();
      return 7;
    }),
  ]);
  expect(results.map((result) => result.status)).toEqual(["fulfilled", "rejected", "rejected", "fulfilled"]);
  expect(results[3]).toMatchObject({ value: 7 });
  expect(names()).toEqual(["first", "last"]);
});

test("what resolved is seen by another connection", async () => {
  const commit = new GroupCommit(db);
  const other = new Libsql(join(directory, "ledger.db"));
  await commit.run(insert("paid"));
  expect(names(other)).toEqual(["paid"]);
  other.close();
});

test("a full queue refuses, and takes again after the commit", async () => {
  const commit = new GroupCommit(db, { maxQueued: 2 });
  const taken = [commit.run(insert("a")), commit.run(insert("b"))];
  await expect(commit.run(insert("c"))).rejects.toBeInstanceOf(CommitQueueFull);
  await Promise.all(taken);
  await commit.run(insert("c"));
  expect(names()).toEqual(["a", "b", "c"]);
});

test("when the commit itself fails, every write of the group is refused and none has happened", async () => {
  const commit = new GroupCommit(db);
  const blocker = new Libsql(join(directory, "ledger.db"));
  blocker.exec("BEGIN IMMEDIATE");
  const results = await Promise.allSettled([commit.run(insert("a")), commit.run(insert("b"))]);
  blocker.exec("ROLLBACK");
  blocker.close();
  expect(results.map((result) => result.status)).toEqual(["rejected", "rejected"]);
  expect(names()).toEqual([]);
  await commit.run(insert("a"));
  expect(names()).toEqual(["a"]);
});

test("closing commits what waits and takes no more", async () => {
  const commit = new GroupCommit(db);
  const waiting = commit.run(insert("a"));
  commit.close();
  await waiting;
  await expect(commit.run(insert("b"))).rejects.toThrow("closed");
  expect(names()).toEqual(["a"]);
});
