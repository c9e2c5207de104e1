// The account book's rows in one SQLite file, written by group commit with synchronous=FULL: what was
// answered is on disk. Vouchers go to a journal and into memory, and from there to their accounts' rows in
// slices; what is in memory is what the file says, rows and journal together.

import { CommitQueueFull, DEFAULT_MAX_QUEUED, GroupCommit } from "#gateway/ledger/group-commit";
import { AccountBook, type AccountRecord, type AccountRows } from "./account-book.ts";
import type { Account } from "./accounts.ts";
import { CHARGE_BYTES, type Charge, channelIdAt, readCharge, storedAnswer, writeCharge } from "./charge.ts";
import { ChargeJournal } from "./charge-journal.ts";
import { KeptAnswers } from "./kept-answers.ts";
import type {
  Channel,
  KindTotals,
  SellerTransaction,
  SettleResponse,
  StoredAnswer,
  TransactionKind,
} from "./ports.ts";
import { SellerTables } from "./seller-tables.ts";
import { closeDatabase, openDatabase, type SellerIdentity } from "./sqlite-file.ts";
import type { Quote } from "./tariff.ts";

const LIVE_MAX = 20_000;
/**
 * From one commit of charges to the next: the first after a rest is written at once, and under load a flush of
 * the disk, 200 us of CPU and some milliseconds of waiting, is shared by those who come meanwhile.
 */
const GATHER_MS = 5;
/** Channels looked at to make room for one. */
const EVICTION_LOOKS = 8;
/** 0x and 65 bytes; a contract's wallet may sign longer, and its answers are kept in full. */
const PLAIN_SIGNATURE_DIGITS = 132;

export interface SqliteAccountsOptions {
  readonly directory: string;
  readonly identity: SellerIdentity;
  /** The price at the moment of charging. */
  readonly quote: () => Quote;
  readonly maxQueued?: number;
  /** Charges in the journal before they are folded into the accounts' rows. */
  readonly foldAfter?: number;
  /** Channels held in memory, 2 to 14 kB each; more only while the journal is ahead of their rows. */
  readonly liveMax?: number;
}

/** A channel in memory, as committed. */
interface Live {
  account: Account;
  channel: Channel;
  readonly kept: KeptAnswers;
}

/** What a work has written, to be taken over once it is committed. */
interface Written {
  readonly record: AccountRecord;
  readonly charge: Charge | undefined;
}

interface Waiting {
  readonly work: () => Charge;
  readonly resolve: (charge: Charge) => void;
  readonly reject: (reason: unknown) => void;
}

/** The account book on a file of its own. */
export class SqliteAccounts extends AccountBook {
  readonly #rows: SqliteRows;

  constructor(options: SqliteAccountsOptions) {
    const rows = new SqliteRows(options);
    super(rows, options.identity.network, options.quote);
    this.#rows = rows;
  }

  /** Writes what waits and closes the file. */
  close(): void {
    this.#rows.close();
  }
}

class SqliteRows implements AccountRows {
  readonly #db;
  readonly #network: SellerIdentity["network"];
  readonly #commit: GroupCommit;
  readonly #maxQueued: number;
  readonly #tables: SellerTables;
  readonly #journal: ChargeJournal;
  readonly #live = new Map<string, Live>();
  readonly #liveMax: number;
  /** Of the work that runs. */
  #written: Written[] = [];
  #batch: Waiting[] | undefined;
  /** Until the batch is submitted. */
  #gathering: NodeJS.Timeout | undefined;
  #committedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: SqliteAccountsOptions) {
    this.#db = openDatabase(options.directory, options.identity);
    this.#network = options.identity.network;
    this.#maxQueued = options.maxQueued ?? DEFAULT_MAX_QUEUED;
    this.#liveMax = options.liveMax ?? LIVE_MAX;
    this.#commit = new GroupCommit(this.#db, { maxQueued: this.#maxQueued });
    this.#tables = new SellerTables(this.#db);
    this.#journal = new ChargeJournal(this.#db, options.foldAfter);
    try {
      this.#replay();
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  get isFull(): boolean {
    return this.#commit.isFull || (this.#batch?.length ?? 0) >= this.#maxQueued;
  }

  async commit<T>(work: () => T): Promise<T> {
    let written: readonly Written[] = [];
    const value = await this.#commit.run(() => {
      this.#written = [];
      const result = work();
      written = this.#written;
      return result;
    });
    for (const { record, charge } of written) this.#takeOver(record, charge);
    return value;
  }

  record(id: string): AccountRecord | undefined {
    const live = this.#live.get(id);
    if (live !== undefined) return live;
    const record = this.#tables.record(id);
    if (record === undefined || record.channel === null) return record;
    const { account, channel } = record;
    const loaded: Live = { account, channel, kept: new KeptAnswers(this.#tables.kept(id)) };
    this.#makeRoom();
    this.#live.set(id, loaded);
    return loaded;
  }

  channels(): Channel[] {
    return this.#tables.channels().map(({ account, parse }) => this.#live.get(account)?.channel ?? parse());
  }

  putRecord(record: AccountRecord): void {
    this.#tables.putRecord(record);
    this.#written.push({ record, charge: undefined });
  }

  putCharge(charge: Charge): void {
    const { account, channel } = charge;
    const record = { account, channel };
    this.#tables.putRecord(record);
    this.#written.push({ record, charge });
    if (channel.signature.length !== PLAIN_SIGNATURE_DIGITS) {
      this.putAnswer(account.account, channel.signedMaxClaimable, storedAnswer(charge, this.#network));
      return;
    }
    const kept = new KeptAnswers(Buffer.from(this.#keptBytes(account.account)));
    kept.put(charge);
    this.#tables.putKept(account.account, kept.bytes);
  }

  appendCharge(work: () => Charge): Promise<Charge> {
    this.#batch ??= this.#openBatch();
    const batch = this.#batch;
    if (batch.length >= this.#maxQueued) return Promise.reject(new CommitQueueFull(this.#maxQueued));
    return new Promise((resolve, reject) => batch.push({ work, resolve, reject }));
  }

  answer(account: string, reference: string): StoredAnswer | undefined {
    const forGood = this.#tables.answer(account, reference);
    if (forGood !== undefined) return forGood;
    if (this.record(account) === undefined) return undefined;
    const live = this.#live.get(account);
    const at = live?.kept.find(Number(reference)) ?? -1;
    return live === undefined || at < 0
      ? undefined
      : storedAnswer(readCharge(live.kept.bytes, at, live), this.#network);
  }

  putAnswer(account: string, reference: string, stored: StoredAnswer): void {
    this.#tables.putAnswer(account, reference, stored);
  }

  putReceipt(account: string, reference: string, receipt: SettleResponse): void {
    const stored = this.answer(account, reference);
    if (stored !== undefined) this.putAnswer(account, reference, { ...stored, receipt });
  }

  putTransaction(transaction: SellerTransaction): void {
    this.#tables.putTransaction(transaction);
  }

  transactionsWithoutGas(): SellerTransaction[] {
    return this.#tables.transactionsWithoutGas();
  }

  totals(): Record<TransactionKind, KindTotals> {
    return this.#tables.totals();
  }

  close(): void {
    clearTimeout(this.#gathering);
    if (this.#gathering !== undefined && this.#batch !== undefined) this.#submit(this.#batch);
    this.#commit.close();
    this.#foldAll();
    closeDatabase(this.#db);
  }

  /** Charges that come together are one row of one commit. */
  #openBatch(): Waiting[] {
    const batch: Waiting[] = [];
    const restMs = this.#committedAtMs + GATHER_MS - performance.now();
    if (restMs <= 0) this.#submit(batch);
    else this.#gathering = setTimeout(() => this.#submit(batch), restMs);
    return batch;
  }

  #submit(batch: Waiting[]): void {
    this.#gathering = undefined;
    const close = () => {
      if (this.#batch === batch) this.#batch = undefined;
    };
    this.#commit
      .run(() => {
        close();
        return this.#append(batch);
      })
      .then(
        ({ charges, bytes, durable }) => {
          this.#committedAtMs = performance.now();
          durable();
          charges.forEach(({ charge, waiting }, index) => {
            this.#adopt(charge, bytes, index * CHARGE_BYTES);
            waiting.resolve(charge);
          });
        },
        (reason) => {
          close();
          for (const waiting of batch) waiting.reject(reason);
        },
      );
  }

  /** Inside a commit. A work that throws is told so; it has written nothing. */
  #append(batch: readonly Waiting[]) {
    const charges: { readonly charge: Charge; readonly waiting: Waiting }[] = [];
    for (const waiting of batch) {
      try {
        charges.push({ charge: waiting.work(), waiting });
      } catch (reason) {
        waiting.reject(reason);
      }
    }
    const bytes = Buffer.allocUnsafe(charges.length * CHARGE_BYTES);
    if (charges.length === 0) return { charges, bytes, durable: () => {} };
    charges.forEach(({ charge }, index) => {
      writeCharge(bytes, index * CHARGE_BYTES, charge);
    });
    const accounts = charges.map(({ charge }) => charge.account.account);
    return { charges, bytes, durable: this.#journal.append(bytes, accounts, (id) => this.#writeLive(id)) };
  }

  /** A charge that the journal has, written in `bytes` at `at`: from now on memory must have it too. */
  #adopt({ account, channel }: Charge, bytes: Buffer, at: number): void {
    const id = account.account;
    let live = this.#live.get(id);
    if (live === undefined) {
      // It made room for another one while its charge was written.
      live = { account, channel, kept: new KeptAnswers(this.#tables.kept(id)) };
      this.#live.set(id, live);
    }
    live.account = account;
    live.channel = channel;
    live.kept.copy(account.purchases, bytes, at);
  }

  #takeOver({ account, channel }: AccountRecord, charge: Charge | undefined): void {
    const live = this.#live.get(account.account);
    // What is not in memory is read from its rows, and those were written.
    if (live === undefined || channel === null) return;
    live.account = account;
    live.channel = channel;
    if (charge !== undefined) live.kept.put(charge);
  }

  #writeLive(id: string): void {
    const live = this.#live.get(id)!;
    this.#tables.putRecord(live);
    this.#tables.putKept(id, live.kept.bytes);
  }

  #keptBytes(id: string): Buffer {
    return this.#live.get(id)?.kept.bytes ?? this.#tables.kept(id) ?? Buffer.alloc(0);
  }

  #makeRoom(): void {
    if (this.#live.size < this.#liveMax) return;
    let looks = 0;
    for (const id of this.#live.keys()) {
      if (looks++ >= EVICTION_LOOKS) return;
      if (!this.#journal.isAheadOf(id)) this.#live.delete(id);
    }
  }

  /** What a process that ended without a word left in the journal. */
  #replay(): void {
    for (const { bytes, at } of this.#journal.replay()) {
      const id = channelIdAt(bytes, at);
      const live = this.record(id) === undefined ? undefined : this.#live.get(id);
      if (live === undefined) throw new Error(`charges: expected an account of channel ${id}, found none`);
      const charge = readCharge(bytes, at, live);
      live.kept.put(charge);
      if (charge.account.charged > live.account.charged) this.#takeOver(charge, undefined);
    }
    this.#foldAll();
  }

  #foldAll(): void {
    this.#db.exec("BEGIN IMMEDIATE");
    for (const id of this.#live.keys()) if (this.#journal.isAheadOf(id)) this.#writeLive(id);
    this.#journal.clear();
    this.#db.exec("COMMIT");
  }
}
