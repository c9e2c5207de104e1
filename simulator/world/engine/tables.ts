/**
 * A database as its users may rely on it: work is committed whole, in order, and then is there for good.
 *
 * Promise: a commit that resolved survives a power cut; one under way survives whole or not at all. Disk
 * faults reject it whole. Only an older image of the file loses what was answered.
 */
import type { Draw } from "../../city/random.ts";
import type { Faults } from "./faults.ts";
import type { ProcessLifetime } from "./process-lifetime.ts";

interface Put {
  readonly table: string;
  readonly key: string;
  /** Undefined: the row is gone. */
  readonly row: unknown;
  readonly before: unknown;
}

const COMMIT_MS = 6;
const ANSWER_MS = 1;
const SLOW_MS = 4000;
/** Work waiting for the disk; one more is refused. */
const QUEUED_MAX = 10_000;

export class Tables {
  private tables = new Map<string, Map<string, unknown>>();
  /** Every put that was committed, oldest first, and where the images kept for a roll-back end. */
  private log: Put[] = [];
  private readonly images: number[] = [];
  private group: Put[] | null = null;
  private committed: (() => void)[] = [];
  private queued = 0;
  private readonly faults: Faults;
  private readonly random: Draw;

  constructor(faults: Faults, random: Draw) {
    this.faults = faults;
    this.random = random;
  }

  get isFull(): boolean {
    return this.queued >= QUEUED_MAX;
  }

  get<Row>(table: string, key: string): Row | undefined {
    return this.tables.get(table)?.get(key) as Row | undefined;
  }

  rows<Row>(table: string): IterableIterator<Row> {
    return (this.tables.get(table) ?? new Map()).values() as IterableIterator<Row>;
  }

  /** Inside `commit` only. */
  put(table: string, key: string, row: unknown): void {
    if (this.group === null) throw new Error(`table ${table}: expected a write inside a commit`);
    this.group.push({ table, key, row, before: this.get(table, key) });
    this.set(table, key, row);
  }

  /** Inside `commit` only: calls back once the commit is durable. */
  onceCommitted(listener: () => void): void {
    this.committed.push(listener);
  }

  /** Runs the work when the disk gets to it; resolves a moment after it is durable. */
  async commit<Value>(life: ProcessLifetime, work: () => Value): Promise<Value> {
    if (this.isFull) throw new Error("commit queue: full; try again later");
    this.queued++;
    const slow = this.faults.strikes("disk-slow", 0.01);
    const delayMs = (slow ? SLOW_MS : COMMIT_MS) * (0.5 + this.random());
    try {
      const value = await life.later(delayMs, () => this.attempt(work));
      // Between the two the power may go: durable, but not known to be.
      return await life.later(ANSWER_MS, () => value);
    } finally {
      this.queued--;
    }
  }

  private attempt<Value>(work: () => Value): Value {
    this.group = [];
    this.committed = [];
    try {
      const value = work();
      if (this.faults.strikes("disk-full", 0.02)) throw new Error("database or disk is full");
      if (this.faults.strikes("sync-failed", 0.02)) throw new Error("disk I/O error");
      this.log.push(...this.group);
      for (const listener of this.committed) listener();
      return value;
    } catch (error) {
      for (const put of this.group.toReversed()) this.set(put.table, put.key, put.before);
      throw error;
    } finally {
      this.group = null;
    }
  }

  /** The process is gone: whatever waited for the disk is lost. */
  crash(): void {
    if (this.queued > 0) this.faults.fired("write-lost");
    this.queued = 0;
  }

  takeImage(): void {
    this.images.push(this.log.length);
  }

  /** The file is replaced by a copy of some time ago; false when there is none. */
  becomeOldImage(): boolean {
    const end = this.images[Math.floor(this.random() * this.images.length)];
    if (end === undefined || end === this.log.length) return false;
    this.log = this.log.slice(0, end);
    this.images.splice(0, this.images.length, ...this.images.filter((image) => image <= end));
    this.tables = new Map();
    for (const put of this.log) this.set(put.table, put.key, put.row);
    return true;
  }

  private set(table: string, key: string, row: unknown): void {
    let rows = this.tables.get(table);
    if (rows === undefined) {
      rows = new Map();
      this.tables.set(table, rows);
    }
    if (row === undefined) rows.delete(key);
    else rows.set(key, row);
  }
}
