/**
 * Many small writes, few transactions: whatever gathered while the last commit was under way goes into the
 * next one, as one statement a table.
 *
 * Promise: a write resolves after COMMIT was answered, never before; the queue is bounded, a full one
 * refuses; a value that the database rejects fails its own write alone, and so does a write
 * for a device that another gateway holds.
 */

import type { Pool, PoolClient } from "pg";
import { Watt402Error } from "#payment/watt402-error";
import type { ChannelRecord, DeviceRecord, PaymentRecord } from "../../purchase/ports.ts";
import { type Cell, COLUMNS, channelRow, deviceRow, paymentRow } from "../rows.ts";
import { CommitQueueFull, DEFAULT_MAX_QUEUED } from "./group-commit.ts";
import type { FencingCheck } from "./postgres-membership.ts";

/** One durable step: a device's description, or a channel with the payment that moved it. */
type Write =
  | { readonly device: DeviceRecord; readonly channel?: undefined; readonly payment?: undefined }
  | { readonly device?: undefined; readonly channel: ChannelRecord; readonly payment?: PaymentRecord };

/** Refusal: another gateway serves this device now. Nothing was written; the device is answered by that one. */
export class HeldByOther extends Watt402Error {
  constructor(device: string) {
    super("not-owner", `device ${device}: expected this gateway to hold it, found another one or none`);
  }
}

/** Writes in one transaction. */
const BATCH_MAX = 1_000;

interface Queued {
  readonly write: Write;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

export class BatchedWrites {
  readonly #pool: Pool;
  readonly #fencing: FencingCheck | null;
  #queue: Queued[] = [];
  #running: Promise<void> | null = null;
  #closed = false;
  #commits = 0;
  #payments = 0;

  /** @param fencing finds the devices whose writes may pass; null: all */
  constructor(pool: Pool, fencing: FencingCheck | null) {
    this.#pool = pool;
    this.#fencing = fencing;
  }

  /** Transactions committed, and new payments in them. */
  get commits(): number {
    return this.#commits;
  }
  get payments(): number {
    return this.#payments;
  }

  add(write: Write): Promise<void> {
    if (this.#closed)
      return Promise.reject(new Watt402Error("closed", "commit queue: closed, no more writes are taken"));
    if (this.#queue.length >= DEFAULT_MAX_QUEUED) {
      return Promise.reject(new CommitQueueFull(DEFAULT_MAX_QUEUED));
    }
    return new Promise<void>((resolve, reject) => {
      this.#queue.push({ write, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Commits what waits and takes no more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    // An immediate runs after the sockets were read: all payments of this turn share one commit.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#queue.length > 0) await this.#commit(this.#queue.splice(0, BATCH_MAX));
    this.#running = null;
  }

  async #commit(batch: readonly Queued[]): Promise<void> {
    try {
      const { added, mayWrite } = await this.#write(batch.map(({ write }) => write));
      this.#payments += added;
      this.#commits += 1;
      for (const { write, resolve, reject } of batch) {
        const device = deviceOf(write);
        if (mayWrite(device)) resolve();
        else reject(new HeldByOther(device));
      }
    } catch (error) {
      if (batch.length > 1 && isOfValue(error)) {
        for (const queued of batch) await this.#commit([queued]);
      } else for (const { reject } of batch) reject(error);
    }
  }

  /** @returns how many payments were new, and for whom there was anything written */
  async #write(
    all: readonly Write[],
  ): Promise<{ readonly added: number; readonly mayWrite: (device: string) => boolean }> {
    const client = await this.#pool.connect();
    try {
      await client.query("BEGIN");
      const own = await this.#fencing?.(client, [...new Set(all.map(deviceOf))]);
      const mayWrite = (device: string) => own === undefined || own.has(device);
      const writes = all.filter((write) => mayWrite(deviceOf(write)));
      const devices = newest(writes, ({ device }) => device && [device.device, device]);
      const channels = newest(
        writes,
        ({ channel }) => channel && [channel.id, channel],
        (left, right) => raised(left, right),
      );
      const payments = writes.flatMap(({ payment }) => (payment ? [paymentRow(payment)] : []));
      await insertAll(client, "device", devices.map(deviceRow));
      const added = await insertAll(client, "payment", payments);
      await insertAll(client, "channel", channels.map(channelRow));
      await client.query("COMMIT");
      client.release();
      return { added, mayWrite };
    } catch (error) {
      // Whether the COMMIT arrived may be unknown: the rung is presented again and finds its row or not.
      client.release(true);
      throw error;
    }
  }
}

function deviceOf(write: Write): string {
  return write.device === undefined ? write.channel.device : write.device.device;
}

/** One statement may touch a row once: of several writes of one row, what they make together. */
function newest<Value>(
  writes: readonly Write[],
  pick: (write: Write) => [string, Value] | undefined,
  join = (_before: Value, after: Value) => after,
): Value[] {
  const values = new Map<string, Value>();
  for (const write of writes) {
    const [key, value] = pick(write) ?? [];
    if (key === undefined || value === undefined) continue;
    const before = values.get(key);
    values.set(key, before === undefined ? value : join(before, value));
  }
  // In one order for all gateways, or two of them would wait for each other's rows.
  return [...values].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, value]) => value);
}

function raised(before: ChannelRecord, after: ChannelRecord): ChannelRecord {
  return {
    ...after,
    promised: Math.max(before.promised, after.promised),
    charged: Math.max(before.charged, after.charged),
    granted: Math.max(before.granted, after.granted),
    revision: Math.max(before.revision, after.revision),
  };
}

type Table = keyof typeof COLUMNS;

const KEYS: Record<Table, string> = {
  device: "device",
  channel: "id",
  payment: "channel_id, max_claimable",
  deposit: "channel_id, idx",
  withdrawal: "channel_id, idx",
};

const rising = (table: string, names: readonly string[]) =>
  names.map((name) => `${name} = greatest(${table}.${name}, excluded.${name})`);

const overwritten = (table: Table) => COLUMNS[table].map((name) => `${name} = excluded.${name}`);

const ON_CONFLICT: Record<Table, string> = {
  device: `DO UPDATE SET ${overwritten("device").join(", ")}`,
  channel: `DO UPDATE SET ${[
    "seller = excluded.seller",
    "resource = excluded.resource",
    "requirements = excluded.requirements",
    ...rising("channel", ["promised", "charged", "granted", "revision"]),
  ].join(", ")}`,
  payment: "DO NOTHING",
  deposit: `DO UPDATE SET ${overwritten("deposit").join(", ")}`,
  withdrawal: `DO UPDATE SET ${overwritten("withdrawal").join(", ")}`,
};

const insert = (table: Table, source: string) =>
  `INSERT INTO ${table} (${COLUMNS[table].join(", ")}) ${source} ON CONFLICT (${KEYS[table]}) ${ON_CONFLICT[table]}`;

/** Inserts or replaces one row. */
export function upsert(table: Table): string {
  return insert(table, `VALUES (${COLUMNS[table].map((_, index) => `$${index + 1}`).join(", ")})`);
}

async function insertAll(client: PoolClient, table: Table, rows: readonly Cell[][]): Promise<number> {
  if (rows.length === 0) return 0;
  // One array a column: a statement has room for 65,535 parameters, a batch has more cells.
  const types = COLUMNS[table].map((_, column) =>
    rows.some((row) => typeof row[column] === "number") ? "bigint[]" : "text[]",
  );
  const arrays = types.map((type, column) => `$${column + 1}::${type}`).join(", ");
  const columns = COLUMNS[table].map((_, column) => rows.map((row) => row[column] ?? null));
  const { rowCount } = await client.query(insert(table, `SELECT * FROM unnest(${arrays})`), columns);
  return rowCount ?? 0;
}

/** Class 22 and 23 of SQLSTATE: the data, not the database, is at fault. */
function isOfValue(error: unknown): boolean {
  return /^2[23]/.test(String((error as { code?: unknown }).code ?? ""));
}
