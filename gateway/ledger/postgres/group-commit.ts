// Many small writes, few disk flushes: whatever queued while the last commit ran goes into the next
// transaction. A promise resolves only after COMMIT returned, so what was answered is on disk (with
// synchronous=FULL). Each work has a savepoint of its own: one that throws undoes only itself.
// The queue is bounded; a full one refuses. Works run synchronously and must not start transactions.

import type Libsql from "libsql";
import { Watt402Error } from "#payment/watt402-error";

interface GroupCommitOptions {
  /** Works waiting for the next commit; one more is refused with `CommitQueueFull`. */
  readonly maxQueued?: number;
}

export const DEFAULT_MAX_QUEUED = 10_000;

/** Refusal: the disk does not keep up. Nothing was written; the caller may try again later. */
export class CommitQueueFull extends Watt402Error {
  constructor(maxQueued: number) {
    super("full", `commit queue: ${maxQueued} writes already wait for the disk; try again later`);
  }
}

interface Queued {
  readonly work: () => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

type Outcome =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly reason: unknown };

export class GroupCommit {
  readonly #db: Libsql.Database;
  readonly #maxQueued: number;
  readonly #statements: Record<"begin" | "commit" | "savepoint" | "release" | "undo", Libsql.Statement>;
  #queue: Queued[] = [];
  #scheduled: NodeJS.Immediate | undefined;
  #closed = false;
  #commits = 0;

  constructor(db: Libsql.Database, options: GroupCommitOptions = {}) {
    this.#db = db;
    this.#maxQueued = options.maxQueued ?? DEFAULT_MAX_QUEUED;
    this.#statements = {
      begin: db.prepare("BEGIN IMMEDIATE"),
      commit: db.prepare("COMMIT"),
      savepoint: db.prepare("SAVEPOINT work"),
      release: db.prepare("RELEASE work"),
      undo: db.prepare("ROLLBACK TO work"),
    };
  }

  /** Transactions committed so far; works divided by commits is the size of a group. */
  get commits(): number {
    return this.#commits;
  }

  get isFull(): boolean {
    return this.#queue.length >= this.#maxQueued;
  }

  /**
   * Runs `work` inside the next transaction and resolves with its result once that is committed.
   * Rejects with what `work` threw, with `CommitQueueFull`, or with the database's error when the commit
   * itself fails (then no work of the group has happened).
   */
  run<T>(work: () => T): Promise<T> {
    if (this.#closed)
      return Promise.reject(new Watt402Error("closed", "commit queue: closed, no more writes are taken"));
    if (this.isFull) return Promise.reject(new CommitQueueFull(this.#maxQueued));
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ work, resolve: (value) => resolve(value as T), reject });
      // An immediate runs after the sockets were read: all requests of this turn share one commit.
      this.#scheduled ??= setImmediate(() => this.flush());
    });
  }

  /** Commits what waits, now. */
  flush(): void {
    if (this.#scheduled !== undefined) clearImmediate(this.#scheduled);
    this.#scheduled = undefined;
    const group = this.#queue;
    if (group.length === 0) return;
    this.#queue = [];
    let outcomes: Outcome[];
    try {
      this.#statements.begin.run();
      outcomes = group.map((queued) => this.#attempt(queued.work));
      this.#statements.commit.run();
      this.#commits += 1;
    } catch (reason) {
      this.#rollBack();
      for (const queued of group) queued.reject(reason);
      return;
    }
    group.forEach((queued, index) => {
      const outcome = outcomes[index]!;
      if (outcome.ok) queued.resolve(outcome.value);
      else queued.reject(outcome.reason);
    });
  }

  /** Commits what waits and takes no more. The database stays open: it belongs to the caller. */
  close(): void {
    this.flush();
    this.#closed = true;
  }

  #attempt(work: () => unknown): Outcome {
    this.#statements.savepoint.run();
    try {
      const value = work();
      this.#statements.release.run();
      return { ok: true, value };
    } catch (reason) {
      this.#statements.undo.run();
      this.#statements.release.run();
      return { ok: false, reason };
    }
  }

  #rollBack(): void {
    if (this.#db.inTransaction) this.#db.exec("ROLLBACK");
  }
}
