/**
 * Crash-safe memory for one checkpoint: a log that is appended to, and rewritten when it grows.
 *
 * Promise: a checkpoint whose store was answered without error is there after a power cut at any
 * instant. The torn end that a cut leaves is removed at the next start; damage before it stops the
 * runtime, because a device that forgets what it signed must not go on by itself. One writer at a time:
 * on a disk that cannot be written at the start it is read, and every store fails until the lock is had.
 */

import { dirname } from "node:path";
import { detach } from "#core/detach";
import type { Checkpoint } from "#core/events";
import type { Journal } from "#core/ports";
import { Watt402Error } from "#payment/watt402-error";
import { throwUncaught } from "../process-guard.ts";
import { readCheckpoint } from "./checkpoint.ts";
import { diskTrouble, isUnwritable } from "./disk-trouble.ts";
import { type DiskFile, type JournalDisk, machineDisk } from "./journal-disk.ts";
import { encodeRecord, MAGIC, readRecords } from "./journal-records.ts";

/** Size above which the log is rewritten with its latest record only. */
export const COMPACT_BYTES = 65_536;

export interface FileJournal extends Journal {
  /** Releases the file and its lock; a store under way is finished first. */
  close(): Promise<void>;
}

/** Opens or begins the journal at `path`. Throws when it is damaged, or another process holds it. */
export function openJournal(path: string, disk: JournalDisk = machineDisk): FileJournal {
  const unlock = lockIfWritable(path, disk);
  try {
    return new AppendedJournal(path, disk, unlock, recover(path, disk));
  } catch (error) {
    unlock?.();
    throw error;
  }
}

/** What the journal at `path` remembers, for a look beside the device that runs on it. */
export function peekJournal(path: string, disk: JournalDisk = machineDisk): Checkpoint | null {
  const file = disk.read(path);
  return file === null ? null : recovered(path, file).checkpoint;
}

function lockIfWritable(path: string, disk: JournalDisk): (() => void) | null {
  try {
    return disk.lock(`${path}.lock`);
  } catch (error) {
    if (isUnwritable(error)) return null;
    throw error;
  }
}

interface Recovered {
  readonly checkpoint: Checkpoint | null;
  /** Where the next record goes; 0 when there is no file yet. */
  readonly sizeBytes: number;
}

function recover(path: string, disk: JournalDisk): Recovered {
  const file = disk.read(path);
  if (file === null) return { checkpoint: null, sizeBytes: 0 };
  const found = recovered(path, file);
  try {
    // Also what is whole: a process killed between write and sync leaves bytes that only the cache holds, and
    // what is relied on from here on must outlast the next power cut.
    disk.cut(path, found.sizeBytes);
    return found;
  } catch (error) {
    if (!isUnwritable(error)) throw error;
    // A torn end stays, and nothing is known to last: the first store that works writes a new file.
    return { ...found, sizeBytes: 0 };
  }
}

function recovered(path: string, file: Buffer): Recovered {
  const read = readRecords(file);
  if (read.kind === "damaged") throw new Watt402Error("data-damaged", damage(path, read.offset, read.found));
  try {
    return { checkpoint: readCheckpoint(read.latest), sizeBytes: read.goodBytes };
  } catch (error) {
    throw new Watt402Error("data-damaged", damage(path, read.goodBytes, (error as Error).message));
  }
}

function damage(path: string, offset: number, found: string): string {
  return (
    `${path}: expected a record at byte ${offset}, found ${found}; ` +
    "restore the file from a copy no older than the last payment, or enrol the device with a new key"
  );
}

class AppendedJournal implements FileJournal {
  readonly #path: string;
  readonly #disk: JournalDisk;
  /** Null while the disk does not take the lock. */
  #unlock: (() => void) | null;
  readonly #checkpoint: Checkpoint | null;
  #sizeBytes: number;
  #file: DiskFile | null = null;
  #storing: Promise<string | null> | null = null;
  #closed = false;

  constructor(path: string, disk: JournalDisk, unlock: (() => void) | null, recovered: Recovered) {
    this.#path = path;
    this.#disk = disk;
    this.#unlock = unlock;
    this.#checkpoint = recovered.checkpoint;
    this.#sizeBytes = recovered.sizeBytes;
  }

  load(): Checkpoint | null {
    return this.#checkpoint;
  }

  store(checkpoint: Checkpoint, done: (error: string | null) => void): void {
    if (this.#closed || this.#storing !== null) {
      done(`${this.#path}: expected one store at a time, found it ${this.#closed ? "closed" : "busy"}`);
      return;
    }
    this.#storing = this.#write(encodeRecord(JSON.stringify(checkpoint)));
    const stored = this.#storing.then((error) => {
      this.#storing = null;
      done(error);
    });
    // The write itself does not fail so: what fails here is `done`, the machine's own rules.
    detach(stored, throwUncaught);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#storing;
    await this.#file?.close();
    this.#unlock?.();
  }

  async #write(record: Buffer): Promise<string | null> {
    try {
      this.#takeLock();
      const fits = this.#sizeBytes > 0 && this.#sizeBytes + record.length <= COMPACT_BYTES;
      if (fits) await this.#append(record);
      else await this.#rewrite(record);
      return null;
    } catch (error) {
      // After a failed write or sync the content of the disk is unknown: the next store writes a new file.
      this.#sizeBytes = 0;
      return diskTrouble(this.#path, error);
    }
  }

  /** A process that wrote while this one could not would be forgotten by it: then nothing is stored. */
  #takeLock(): void {
    if (this.#unlock !== null) return;
    const unlock = this.#disk.lock(`${this.#path}.lock`);
    const found = peekJournal(this.#path, this.#disk);
    if (JSON.stringify(found) !== JSON.stringify(this.#checkpoint)) {
      unlock();
      throw new Watt402Error(
        "in-use",
        "expected what was read at the start, found that another process wrote it; restart",
      );
    }
    this.#unlock = unlock;
  }

  async #append(record: Buffer): Promise<void> {
    this.#file ??= await this.#disk.open(this.#path, "r+");
    await writeWhole(this.#file, record, this.#sizeBytes);
    await this.#file.datasync();
    this.#sizeBytes += record.length;
  }

  async #rewrite(record: Buffer): Promise<void> {
    const draftPath = `${this.#path}.new`;
    const draft = await this.#disk.open(draftPath, "w");
    try {
      await writeWhole(draft, Buffer.concat([MAGIC, record]), 0);
      await draft.sync();
    } finally {
      await draft.close();
    }
    await this.#file?.close();
    this.#file = null;
    await this.#disk.rename(draftPath, this.#path);
    await this.#disk.syncFolder(dirname(this.#path));
    this.#sizeBytes = MAGIC.length + record.length;
  }
}

async function writeWhole(file: DiskFile, bytes: Buffer, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}
