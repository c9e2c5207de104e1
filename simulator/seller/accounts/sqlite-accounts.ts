/**
 * The account book's rows: a journal file that every write goes to, group-committed off the event loop, and behind it
 * one SQLite file, written by a thread.
 *
 * Promise: what was answered is in the journal, on disk; no answer waits for the tables. What is in memory is what journal
 * and tables say together. A write that fails fails alone, and leaves nothing behind. One process has the directory.
 */

import { detach } from "#core/detach";
import { Journal, JournalFull } from "#gateway/ledger/journal/append-journal";
import type { SegmentDisk } from "#gateway/ledger/journal/segment-disk";
import { SqliteWriter } from "#gateway/ledger/sqlite/sqlite-writer";
import { Watt402Error } from "#payment/watt402-error";
import type {
  Channel,
  KindTotals,
  SellerTransaction,
  SettleResponse,
  StoredAnswer,
  TransactionKind,
} from "../ports.ts";
import type { Quote } from "../sale/tariff.ts";
import { AccountBook, type AccountRecord, type AccountRows } from "./account-book.ts";
import { type Charge, channelIdAt, chargedAt, readCharge, storedAnswer } from "./charge.ts";
import { SellerTables } from "./seller-tables.ts";
import { DATABASE_FILE, openDatabase, ownDirectory, type SellerIdentity } from "./sqlite-file.ts";
import {
  chargeBytes,
  entryOf,
  isCompact,
  isPlain,
  type Range,
  readEntry,
  type StoreWrite,
} from "./store-entries.ts";
import { type Live, Unfolded } from "./unfolded.ts";

/** In place of a reference: the answer to a channel's newest voucher where that has more than bytes say. */
const NEWEST = "newest";
const LIVE_MAX = 20_000;
/** From one fold to the next, and the size of the journal that calls for one earlier. */
const FOLD_EVERY_MS = 10_000;
const FOLD_BYTES = 4 * 1024 * 1024;
const LOOK_EVERY_MS = 250;
/** Accounts whose rows are written in one transaction: some milliseconds of this thread. */
const FOLD_SLICE = 250;
const NUMBER_BYTES_MAX = 2 ** 48 - 1;
/** Ranges that an entry names; more come only of a disk that fails every other time. */
const REFUSED_MAX = 1_000;

interface SqliteAccountsOptions {
  readonly directory: string;
  readonly identity: SellerIdentity;
  /** The price at the moment of charging. */
  readonly quote: () => Quote;
  /** Called with the units of each purchase when it is charged. */
  readonly sold?: (units: number) => void;
  /** What the journal lies on; this machine's disk when absent. */
  readonly disk?: SegmentDisk;
  readonly maxQueued?: number;
  readonly foldEveryMs?: number;
  /** Accounts held in memory beside those that the tables do not have yet. */
  readonly liveMax?: number;
  /** One line when the tables cannot be written, or the journal was damaged. */
  readonly log?: (line: string) => void;
}

/** The account book on a directory of its own. */
export class SqliteAccounts extends AccountBook {
  readonly #rows: SqliteRows;

  constructor(options: SqliteAccountsOptions) {
    const rows = new SqliteRows(options);
    super(rows, options.identity.network, options.quote, options.sold);
    this.#rows = rows;
  }

  /** Brings all into the one file and lets go of the directory. */
  close(): Promise<void> {
    return this.#rows.close();
  }
}

class SqliteRows implements AccountRows {
  readonly #db;
  readonly #network: SellerIdentity["network"];
  readonly #tables: SellerTables;
  readonly #journal: Journal;
  readonly #writer: SqliteWriter;
  readonly #log: (line: string) => void;
  readonly #foldEveryMs: number;
  readonly #liveMax: number;
  readonly #live = new Map<string, Live>();
  readonly #unfolded = new Unfolded();
  readonly #timer: NodeJS.Timeout;
  /** Of the work that runs. */
  #writes: StoreWrite[] = [];
  #number = 0;
  #refused: Range[] = [];
  #folding: Promise<void> | undefined;
  #foldedAtMs = performance.now();
  #isInTrouble = false;

  constructor(options: SqliteAccountsOptions) {
    const { directory, identity, disk, maxQueued } = options;
    this.#network = identity.network;
    this.#log = options.log ?? (() => {});
    this.#foldEveryMs = options.foldEveryMs ?? FOLD_EVERY_MS;
    this.#liveMax = options.liveMax ?? LIVE_MAX;
    this.#journal = ownDirectory(
      directory,
      () =>
        new Journal({
          folder: directory,
          name: "charges",
          ...(disk === undefined ? {} : { disk }),
          ...(maxQueued === undefined ? {} : { queuedMax: maxQueued }),
        }),
    );
    try {
      const { db, file } = openDatabase(directory, identity);
      this.#db = db;
      this.#tables = new SellerTables(db);
      this.#writer = new SqliteWriter(file);
      this.#replay();
    } catch (error) {
      detach(this.#journal.close(), (closing) => this.#log(`${DATABASE_FILE}: ${String(closing)}`));
      throw error;
    }
    const { damagedBytes } = this.#journal;
    if (damagedBytes > 0)
      this.#log(`${DATABASE_FILE}: ${damagedBytes} bytes of the journal were changed by the disk`);
    this.#timer = setInterval(() => this.#foldWhenDue(), Math.min(LOOK_EVERY_MS, this.#foldEveryMs)).unref();
  }

  get isFull(): boolean {
    return this.#journal.isFull;
  }

  async commit<T>(work: () => T): Promise<T> {
    const writes: StoreWrite[] = [];
    this.#writes = writes;
    const value = work();
    if (writes.length === 0) return value;
    const number = this.#nextNumber();
    const refused = this.#refused;
    const entry = entryOf(number, refused, writes);
    try {
      await this.#journal.append(entry);
    } catch (error) {
      // A full journal has written nothing.
      if (!(error instanceof JournalFull)) this.#refuse(number);
      throw error;
    }
    // Named on disk now, once and for all.
    if (refused.length > 0) this.#refused = this.#refused.filter((range) => !refused.includes(range));
    for (const write of writes) this.#apply(write, entry);
    return value;
  }

  record(id: string): AccountRecord | undefined {
    return this.#liveOf(id);
  }

  channels(): Channel[] {
    const found = new Map<string, Channel>();
    for (const { account, parse } of this.#tables.channels()) {
      const known = this.#unfolded.accounts.get(account) ?? this.#live.get(account);
      found.set(account, known?.channel ?? parse());
    }
    for (const [id, { channel }] of this.#unfolded.accounts) if (channel !== null) found.set(id, channel);
    return [...found.values()];
  }

  putRecord(record: AccountRecord): void {
    this.#writes.push({ kind: "record", record });
  }

  putCharge(charge: Charge): void {
    const before = this.#liveOf(charge.account.account)?.channel ?? null;
    this.#writes.push({ kind: "charge", charge, isCompact: isCompact(charge, before) });
  }

  answer(account: string, reference: string): StoredAnswer | undefined {
    const inFull = this.#unfolded.answer(account, reference) ?? this.#tables.answer(account, reference);
    if (inFull !== undefined) return inFull;
    const live = this.#liveOf(account);
    if (live === undefined || live.channel === null) return undefined;
    if (live.newest === undefined) {
      if (live.channel.signedMaxClaimable !== reference) return undefined;
      return this.#unfolded.answer(account, NEWEST) ?? this.#tables.answer(account, NEWEST);
    }
    if (chargedAt(live.newest, 0) !== Number(reference)) return undefined;
    const { account: before, channel } = live;
    return storedAnswer(readCharge(live.newest, 0, { account: before, channel }), this.#network);
  }

  putAnswer(account: string, reference: string, stored: StoredAnswer): void {
    this.#writes.push({ kind: "answer", account, reference, stored });
  }

  putReceipt(account: string, reference: string, receipt: SettleResponse): void {
    const stored = this.answer(account, reference);
    if (stored !== undefined) this.putAnswer(account, reference, { ...stored, receipt });
  }

  putTransaction(transaction: SellerTransaction): void {
    this.#writes.push({ kind: "transaction", transaction });
  }

  transactionsWithoutGas(): SellerTransaction[] {
    const ahead = this.#unfolded.transactions;
    return [
      ...this.#tables.transactionsWithoutGas().filter(({ hash }) => !ahead.has(hash)),
      ...[...ahead.values()].filter(({ gas }) => gas === undefined),
    ];
  }

  totals(): Record<TransactionKind, KindTotals> {
    return this.#tables.totals([...this.#unfolded.transactions.values()]);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#folding;
    await this.#fold().catch((error: Error) => this.#log(`${DATABASE_FILE}: ${error.message}`));
    await this.#journal.close();
    await this.#writer.close();
    this.#db.close();
  }

  #nextNumber(): number {
    if (this.#number >= NUMBER_BYTES_MAX)
      throw new RangeError("journal: no number is left for another entry");
    this.#number += 1;
    return this.#number;
  }

  #refuse(number: number): void {
    const last = this.#refused.at(-1);
    if (last !== undefined && last[1] === number - 1) {
      this.#refused = [...this.#refused.slice(0, -1), [last[0], number]];
    } else if (this.#refused.length < REFUSED_MAX) {
      this.#refused = [...this.#refused, [number, number]];
    }
  }

  /** What the journal has, memory has too. */
  #apply(write: StoreWrite, entry: Buffer | null): void {
    if (write.kind === "answer") {
      this.#unfolded.putAnswer(write.account, write.reference, write.stored);
    } else if (write.kind === "transaction") {
      this.#unfolded.transactions.set(write.transaction.hash, write.transaction);
    } else if (write.kind === "record") {
      const { account, channel } = write.record;
      this.#put({ account, channel, newest: this.#liveOf(account.account)?.newest });
    } else {
      const { account, channel } = write.charge;
      const isBytes = isPlain(write.charge);
      this.#put({ account, channel, newest: isBytes ? chargeBytes(write.charge, entry) : undefined });
      if (!isBytes)
        this.#unfolded.putAnswer(account.account, NEWEST, storedAnswer(write.charge, this.#network));
    }
  }

  #put(live: Live): void {
    this.#live.set(live.account.account, live);
    this.#unfolded.accounts.set(live.account.account, live);
    this.#makeRoom();
  }

  #liveOf(id: string): Live | undefined {
    const known = this.#unfolded.accounts.get(id) ?? this.#live.get(id);
    if (known !== undefined) return known;
    const record = this.#tables.record(id);
    if (record === undefined) return undefined;
    const live = { ...record, newest: this.#tables.newestCharge(id, record.account.charged) };
    this.#live.set(id, live);
    this.#makeRoom();
    return live;
  }

  #makeRoom(): void {
    if (this.#live.size <= this.#liveMax) return;
    for (const id of this.#live.keys()) {
      this.#live.delete(id);
      return;
    }
  }

  #foldWhenDue(): void {
    const isDue = performance.now() - this.#foldedAtMs >= this.#foldEveryMs;
    if (this.#folding !== undefined || this.#journal.bytes === 0) return;
    if (!isDue && this.#journal.bytes < FOLD_BYTES) return;
    this.#folding = this.#fold()
      .then(
        () => {
          if (this.#isInTrouble) this.#log(`${DATABASE_FILE}: can be written again`);
          this.#isInTrouble = false;
        },
        (error: Error) => {
          // Nothing is lost by waiting: the journal is as durable as the tables.
          if (!this.#isInTrouble) this.#log(`${DATABASE_FILE}: cannot be written now: ${error.message}`);
          this.#isInTrouble = true;
        },
      )
      .finally(() => {
        this.#foldedAtMs = performance.now();
        this.#folding = undefined;
      });
  }

  /** Brings what the journal has into the tables, and shortens it. */
  async #fold(): Promise<void> {
    const through = await this.#journal.seal();
    for (const slice of this.#unfolded.slices(FOLD_SLICE)) {
      await this.#writer.run({ writes: this.#tables.statements(slice) });
      this.#unfolded.forget(slice);
    }
    await this.#journal.remove(through);
  }

  /** What a process that ended without a word left: first the charges of a store of before, then the journal. */
  #replay(): void {
    for (const charge of this.#tables.chargesOfBefore()) this.#replayCharge(charge);
    const entries = this.#journal.found.map(({ bytes }) => readEntry(bytes));
    const refused = entries.flatMap((entry) => entry.refused);
    for (const { number, content } of entries) {
      this.#number = Math.max(this.#number, number);
      if (refused.some(([first, last]) => number >= first && number <= last)) continue;
      if ("charge" in content) this.#replayCharge(content.charge);
      else {
        for (const write of content.writes) this.#apply(write, null);
      }
    }
    this.#tables.writeAll(this.#unfolded.all());
    this.#unfolded.forget(this.#unfolded.all());
  }

  #replayCharge(bytes: Buffer): void {
    const id = channelIdAt(bytes, 0);
    const before = this.#liveOf(id);
    if (before === undefined || before.channel === null) {
      throw new Watt402Error("not-found", `charges: expected an account of channel ${id}, found none`);
    }
    const { account, channel } = readCharge(bytes, 0, { account: before.account, channel: before.channel });
    // The rows may be newer, when the journal was not shortened after they were written.
    if (account.charged >= before.account.charged) this.#put({ account, channel, newest: bytes });
  }
}
