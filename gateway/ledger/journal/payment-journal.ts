/**
 * Payments on their way into the ledger's tables: appended to a journal file, and folded into payment and channel a
 * second later, many at once. Scattered over the tables each would cost two pages and a flush of its own.
 *
 * Promise: what `record` resolved is in the file, whole (M4), whether or not the tables can be written; it is seen by
 * every read of this process at once, and leaves the file only when the tables have it. A payment recorded first
 * stays as it was, and counters only rise.
 */

import { detach } from "#core/detach";
import { parseJson } from "#protocol/nesting";
import { reasonOf } from "../../purchase/faults/note-failure.ts";
import type { ChannelRecord, PaymentRecord } from "../../purchase/ports.ts";
import { channelRow, paymentRow } from "../rows.ts";
import type { SqliteWriter } from "../sqlite/sqlite-writer.ts";
import type { WaitingPayments } from "../store.ts";
import type { Journal } from "./append-journal.ts";
import { type JournalRow, UnfoldedPayments } from "./unfolded-payments.ts";

/** From one fold to the next. */
const FOLD_EVERY_MS = 1_000;
/** Payments folded in one transaction: others that write wait for it. */
const FOLD_SLICE = 2_000;

/** What a fold writes. */
interface FoldStatements {
  /** A payment that is not there yet. */
  readonly payment: string;
  /** A channel's whole row; its terms only where the row there has no later revision. */
  readonly channel: string;
  /** A channel's counters, where they rise. */
  readonly counters: string;
}

export class PaymentJournal {
  readonly unfolded = new UnfoldedPayments();
  readonly #journal: Journal;
  readonly #writer: SqliteWriter;
  readonly #sql: FoldStatements;
  /** Terms that the file or the tables have, by their channel's configuration: only counters change after them. */
  readonly #stored = new WeakMap<object, object>();
  readonly #onTrouble: (reason: string) => void;
  readonly #timer: NodeJS.Timeout;
  #folding: Promise<void> | null = null;
  #folded = 0;

  /** @param onTrouble called, at every attempt, with why the tables cannot be written, or what of the journal is damaged */
  constructor(
    journal: Journal,
    writer: SqliteWriter,
    sql: FoldStatements,
    onTrouble: (reason: string) => void,
  ) {
    this.#journal = journal;
    this.#writer = writer;
    this.#sql = sql;
    this.#onTrouble = onTrouble;
    if (journal.damagedBytes > 0) {
      onTrouble(
        `expected a journal as it was written, found ${journal.damagedBytes} bytes changed by the disk`,
      );
    }
    for (const { segment, bytes } of journal.found) this.unfolded.add(segment, rowIn(bytes));
    const fold = () => detach(this.tryFold(), (error) => onTrouble(reasonOf(error)));
    this.#timer = setInterval(fold, FOLD_EVERY_MS).unref();
  }

  /** Payments that came into the tables since it was opened. */
  get folded(): number {
    return this.#folded;
  }

  /** What is durable here and not in the tables. */
  get waiting(): WaitingPayments {
    const { size, sinceSeconds } = this.unfolded;
    return { payments: size, bytes: this.#journal.bytes, sinceSeconds };
  }

  /** Flushes of the journal since it was opened. */
  get flushes(): number {
    return this.#journal.groups;
  }

  /** Resolves when the payment, and its channel's counters after it, would survive a power cut. */
  record(payment: PaymentRecord, channel: ChannelRecord): Promise<void> {
    const { config, requirements, promised, charged, granted, revision } = channel;
    const isStored = config !== null && this.#stored.get(config) === requirements;
    const terms = isStored ? [] : channelRow(channel);
    const row: JournalRow = [...paymentRow(payment), promised, charged, granted, revision, ...terms];
    return this.#journal.append(Buffer.from(JSON.stringify(row))).then((segment) => {
      this.unfolded.add(segment, row);
      if (config !== null) this.#stored.set(config, requirements);
    });
  }

  /** Brings what was appended into the tables, if they can be written now; what stays is folded later. */
  async tryFold(): Promise<void> {
    this.#folding ??= this.#fold().finally(() => {
      this.#folding = null;
    });
    try {
      await this.#folding;
    } catch (error) {
      // Nothing is lost by waiting: the journal is as durable as the tables.
      this.#onTrouble(error instanceof Error ? error.message : String(error));
    }
  }

  /** Writes what waits and folds what it can. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#folding?.catch(() => undefined);
    await this.tryFold();
    await this.#journal.close();
  }

  async #fold(): Promise<void> {
    if (this.#journal.bytes === 0) return;
    const through = await this.#journal.seal();
    const { payments, channels, counters } = this.unfolded.rowsThrough(through);
    const { channel, counters: raise, payment } = this.#sql;
    const writes = [
      { sql: channel, rows: channels },
      { sql: raise, rows: counters },
    ];
    if (counters.length > 0) await this.#writer.run({ writes });
    for (let at = 0; at < payments.length; at += FOLD_SLICE) {
      const rows = payments.slice(at, at + FOLD_SLICE);
      const { changes } = await this.#writer.run({ writes: [{ sql: payment, rows }] });
      this.#folded += changes[0]!;
    }
    this.unfolded.forgetThrough(through);
    await this.#journal.remove(through);
  }
}

export function rowIn(bytes: Buffer): JournalRow {
  return parseJson(bytes.toString()) as JournalRow;
}
