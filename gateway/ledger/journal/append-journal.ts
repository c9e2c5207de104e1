/**
 * An append-only journal: entries of bytes in numbered segments, many to a group and a group to a flush, written off
 * the event loop. What came while the disk was busy goes into the next group.
 *
 * Promise: an entry whose `append` resolved survives a power cut, until its segment is removed. A step that fails
 * (create, write, flush) fails the entries of its group and nothing after it: the next group begins a new segment,
 * because pages whose flush failed are not to be trusted. A group that failed may still be read after a restart, in
 * its place before those that followed it, so a later entry must outweigh an earlier one. Entries, bytes and segments
 * have bounds; a full journal refuses.
 */

import { join } from "node:path";
import { Watt402Error } from "#payment/watt402-error";
import { groupOf, readSegment } from "./segment.ts";
import { type DiskFile, type SegmentDisk, segmentDisk } from "./segment-disk.ts";

/** Entries that wait for the next group. */
const QUEUED_MAX = 10_000;
const SEGMENT_BYTES_MAX = 8 * 1024 * 1024;
/** All segments together. */
const JOURNAL_BYTES_MAX = 128 * 1024 * 1024;

interface JournalOptions {
  readonly folder: string;
  /** Files are called `<name>-<number>.journal`; lower-case letters. */
  readonly name: string;
  readonly disk?: SegmentDisk;
  readonly queuedMax?: number;
  readonly segmentBytesMax?: number;
  readonly bytesMax?: number;
}

/** An entry as it lies on the disk. */
interface JournalEntry {
  /** Number of its segment; segments rise in the order of writing. */
  readonly segment: number;
  readonly bytes: Buffer;
}

/** Refusal: what waits, or what is stored and not yet removed, has reached its bound. Nothing was written. */
export class JournalFull extends Watt402Error {
  constructor(name: string, what: string) {
    super("full", `journal "${name}": expected room for one more entry, found ${what}; try again later`);
  }
}

interface Segment {
  readonly number: number;
  readonly file: DiskFile;
  /** Whether some entry of it was reported as written. */
  isAcknowledged: boolean;
}

interface Queued {
  readonly entry: Uint8Array;
  readonly resolve: (segment: number) => void;
  readonly reject: (reason: unknown) => void;
}

/** What other processes see of a journal: its entries in their order, and what was damaged. */
export function readJournal(folder: string, name: string, disk: SegmentDisk = segmentDisk) {
  const entries: JournalEntry[] = [];
  let bytes = 0;
  let damagedBytes = 0;
  let newest = 0;
  for (const number of segmentNumbers(disk.names(folder), name)) {
    // A segment that is gone by now was folded by its owner.
    const found = disk.read(segmentPath(folder, name, number)) ?? Buffer.alloc(0);
    const segment = readSegment(found);
    for (const entry of segment.entries) entries.push({ segment: number, bytes: entry });
    bytes += found.length;
    damagedBytes += segment.damagedBytes;
    newest = number;
  }
  return { entries, bytes, damagedBytes, newest };
}

export class Journal {
  /** What lay there when it was opened, in the order of writing. */
  readonly found: readonly JournalEntry[];
  /** Bytes among them that are not as they were written. */
  readonly damagedBytes: number;
  readonly #disk: SegmentDisk;
  readonly #options: Required<Omit<JournalOptions, "disk">>;
  readonly #release: () => void;
  /** Sizes of the segments on the disk, by number. */
  readonly #sizes = new Map<number, number>();
  #queue: Queued[] = [];
  #current: Segment | null = null;
  #newest: number;
  #flushing: Promise<void> = Promise.resolve();
  #isFlushing = false;
  #sealing: ((newest: number) => void)[] = [];
  #isClosed = false;
  #groups = 0;

  /** Reads what is there. Throws when another process has the journal, or the folder cannot be read. */
  constructor({ disk = segmentDisk, ...options }: JournalOptions) {
    const {
      queuedMax = QUEUED_MAX,
      segmentBytesMax = SEGMENT_BYTES_MAX,
      bytesMax = JOURNAL_BYTES_MAX,
    } = options;
    this.#disk = disk;
    this.#options = { ...options, queuedMax, segmentBytesMax, bytesMax };
    this.#release = disk.lock(join(options.folder, `${options.name}.lock`));
    const { entries, bytes, damagedBytes, newest } = readJournal(options.folder, options.name, disk);
    this.found = entries;
    this.damagedBytes = damagedBytes;
    this.#newest = newest;
    // Sizes count from here on; what lay there before is removed as one.
    this.#sizes.set(newest, bytes);
  }

  /** Groups that were flushed. */
  get groups(): number {
    return this.#groups;
  }

  /** Of all segments that are not removed yet. */
  get bytes(): number {
    let bytes = 0;
    for (const size of this.#sizes.values()) bytes += size;
    return bytes;
  }

  get isFull(): boolean {
    return this.#queue.length >= this.#options.queuedMax || this.bytes >= this.#options.bytesMax;
  }

  /**
   * Resolves with the number of its segment once the entry would survive a power cut. Rejects with `JournalFull`, or
   * with the disk's error: then the entry counts as not written.
   * @param entry at least one byte
   */
  append(entry: Uint8Array): Promise<number> {
    const { name, queuedMax, bytesMax } = this.#options;
    if (this.#isClosed)
      return Promise.reject(new Watt402Error("closed", `journal "${name}": closed, it takes nothing more`));
    if (this.#queue.length >= queuedMax) {
      return Promise.reject(new JournalFull(name, `${queuedMax} entries that wait for the disk`));
    }
    if (this.bytes >= bytesMax) {
      return Promise.reject(new JournalFull(name, `${this.bytes} bytes of at most ${bytesMax}`));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ entry, resolve, reject });
      if (this.#isFlushing) return;
      this.#isFlushing = true;
      // An immediate runs after the sockets were read: all that this turn brings shares one flush.
      setImmediate(() => {
        this.#flushing = this.#flush();
      });
    });
  }

  /**
   * Ends the present segment, so that what was appended before lies in segments that are written no more.
   * @returns the newest number of those
   */
  seal(): Promise<number> {
    if (!this.#isFlushing) return this.#end();
    return new Promise((resolve) => this.#sealing.push(resolve));
  }

  /** Removes the segments up to a number that `seal` gave: their entries are kept elsewhere by now. */
  async remove(through: number): Promise<void> {
    const { folder, name } = this.#options;
    for (const number of segmentNumbers(this.#disk.names(folder), name)) {
      if (number <= through) await this.#disk.remove(segmentPath(folder, name, number));
    }
    for (const number of [...this.#sizes.keys()]) if (number <= through) this.#sizes.delete(number);
  }

  /** Writes what waits, takes nothing more and lets another process have it. */
  async close(): Promise<void> {
    this.#isClosed = true;
    while (this.#isFlushing) {
      await new Promise((resolve) => setImmediate(resolve));
      await this.#flushing;
    }
    await this.#end();
    this.#release();
  }

  /** Writes group after group until nothing waits. Never rejects. */
  async #flush(): Promise<void> {
    while (this.#queue.length > 0) {
      const group = this.#queue;
      this.#queue = [];
      try {
        const number = await this.#write(groupOf(group.map(({ entry }) => entry)));
        this.#groups += 1;
        for (const { resolve } of group) resolve(number);
      } catch (reason) {
        await this.#abandon();
        for (const { reject } of group) reject(reason);
      }
      if (this.#sealing.length > 0) await this.#sealForAll();
    }
    this.#isFlushing = false;
  }

  /** Resolves with the segment's number once the group is on the disk. */
  async #write(group: Buffer): Promise<number> {
    const segment = await this.#writable();
    for (let done = 0; done < group.length; ) {
      const { bytesWritten } = await segment.file.write(
        group,
        done,
        group.length - done,
        this.#sizeOf(segment),
      );
      this.#sizes.set(segment.number, this.#sizeOf(segment) + bytesWritten);
      done += bytesWritten;
    }
    await segment.file.datasync();
    segment.isAcknowledged = true;
    return segment.number;
  }

  async #writable(): Promise<Segment> {
    const { folder, name, segmentBytesMax } = this.#options;
    if (this.#current !== null && this.#sizeOf(this.#current) < segmentBytesMax) return this.#current;
    await this.#end();
    this.#newest += 1;
    const number = this.#newest;
    const file = await this.#disk.open(segmentPath(folder, name, number), "w");
    this.#sizes.set(number, 0);
    this.#current = { number, file, isAcknowledged: false };
    await this.#disk.syncFolder(folder);
    return this.#current;
  }

  /** After a step that failed: its segment is written no more, and removed if nothing in it was acknowledged. */
  async #abandon(): Promise<void> {
    const failed = this.#current;
    await this.#end();
    if (failed === null || failed.isAcknowledged) return;
    try {
      await this.#disk.remove(segmentPath(this.#options.folder, this.#options.name, failed.number));
      this.#sizes.delete(failed.number);
    } catch {
      // It counts towards the bound until the next `remove`.
    }
  }

  async #sealForAll(): Promise<void> {
    const sealed = await this.#end();
    for (const resolve of this.#sealing.splice(0)) resolve(sealed);
  }

  async #end(): Promise<number> {
    const ended = this.#current;
    // Taken before the file is closed: what is appended meanwhile begins the next segment.
    const newest = this.#newest;
    this.#current = null;
    try {
      await ended?.file.close();
    } catch {
      // What was acknowledged was flushed before; the rest was refused.
    }
    return newest;
  }

  #sizeOf({ number }: Segment): number {
    return this.#sizes.get(number) ?? 0;
  }
}

function segmentPath(folder: string, name: string, number: number): string {
  return join(folder, `${name}-${String(number).padStart(10, "0")}.journal`);
}

function segmentNumbers(names: readonly string[], name: string): number[] {
  const pattern = new RegExp(`^${name}-(\\d{10})\\.journal$`);
  return names
    .flatMap((found) => pattern.exec(found)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}
