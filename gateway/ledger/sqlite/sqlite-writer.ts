/**
 * Writes to an SQLite file, carried out by a thread of their own.
 *
 * Promise: a work that resolved is on disk, and reads of this thread see it; one that rejected has changed nothing. A
 * disk that is slow and a lock that another process holds delay the works, never the event loop. A thread that ends
 * fails the works it had, and the next work starts another one. Works that wait are bounded.
 */

import { Worker } from "node:worker_threads";
import { Watt402Error } from "#payment/watt402-error";
import { CommitQueueFull, DEFAULT_MAX_QUEUED } from "../postgres/group-commit.ts";
import type { Answer, Done, Work, WriterSettings } from "./writer-messages.ts";

/** How long a transaction waits for another process's, such as an operator's top-up. */
const BUSY_TIMEOUT_MS = 5_000;
const WAL_BYTES_MAX = 16 * 1024 * 1024;

interface Waiting {
  readonly resolve: (done: Done) => void;
  readonly reject: (reason: Error) => void;
}

export class SqliteWriter {
  readonly #file: string;
  readonly #waiting = new Map<number, Waiting>();
  #thread: Worker | null = null;
  #next = 0;
  #isClosed = false;
  /** Transactions of threads that ended, and of the present one. */
  #commitsBefore = 0;
  #commits = 0;

  /** @param file an SQLite file in write-ahead mode; opened at the first work */
  constructor(file: string) {
    this.#file = file;
  }

  /** Transactions committed so far. */
  get commits(): number {
    return this.#commitsBefore + this.#commits;
  }

  /** Resolves once the work is on disk. Rejects with `CommitQueueFull` or with what the database said. */
  run(work: Work): Promise<Done> {
    if (this.#isClosed)
      return Promise.reject(new Watt402Error("closed", "commit queue: closed, no more writes are taken"));
    if (this.#waiting.size >= DEFAULT_MAX_QUEUED) {
      return Promise.reject(new CommitQueueFull(DEFAULT_MAX_QUEUED));
    }
    return new Promise((resolve, reject) => {
      this.#next += 1;
      this.#waiting.set(this.#next, { resolve, reject });
      this.#thread ??= this.#start();
      this.#thread.ref();
      this.#thread.postMessage({ id: this.#next, work });
    });
  }

  /** Carries out what waits and takes no more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const thread = this.#thread;
    if (thread === null) return;
    const ended = new Promise<void>((resolve) => thread.once("exit", () => resolve()));
    thread.ref();
    thread.postMessage("close");
    await ended;
  }

  #start(): Worker {
    const settings: WriterSettings = {
      file: this.#file,
      busyTimeoutMs: BUSY_TIMEOUT_MS,
      walBytesMax: WAL_BYTES_MAX,
    };
    const thread = new Worker(new URL("./sqlite-writer-thread.mjs", import.meta.url), {
      workerData: settings,
    });
    let reason = "it ended";
    thread.on("message", (answer: Answer) => this.#take(answer));
    thread.on("error", (error) => {
      reason = error.message;
    });
    thread.on("exit", () => this.#fail(thread, reason));
    return thread;
  }

  #take({ id, done, error, commits }: Answer): void {
    this.#commits = commits;
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    // A thread that has nothing to do keeps no process alive.
    if (this.#waiting.size === 0) this.#thread?.unref();
    if (error === undefined) waiting?.resolve(done);
    else waiting?.reject(Object.assign(new Error(error.message), { code: error.code }));
  }

  #fail(thread: Worker, reason: string): void {
    if (this.#thread !== thread) return;
    this.#thread = null;
    this.#commitsBefore += this.#commits;
    this.#commits = 0;
    const failed = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of failed)
      reject(new Watt402Error("closed", `the thread that writes ${this.#file}: ${reason}`));
  }
}
