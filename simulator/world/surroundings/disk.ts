/**
 * A disk that loses power: what was written and not synced may be gone, whole or in part.
 *
 * Promise: synced bytes survive every power cut; of unsynced bytes a prefix does. Renames last once their
 * folder was synced. It fails, slows down, flips a bit or becomes an older image of itself on request.
 */
import type { KeptFile } from "#hardware/charger/metering/kept-charger";
import type { DiskFile, JournalDisk } from "#node/journal/journal-disk";
import type { Draw } from "../../city/random.ts";
import type { Faults } from "../engine/faults.ts";
import type { ProcessLifetime } from "../engine/process-lifetime.ts";

interface Inode {
  /** What programs read. */
  bytes: Buffer;
  /** What a power cut leaves. */
  durable: Buffer;
}

/** Names to file contents, as a power cut would leave them. */
type Image = ReadonlyMap<string, Buffer>;

const WRITE_MS = 1;
const SYNC_MS = 8;
/** Longer than a host waits for a port. */
const SLOW_MS = 7000;
/** Images kept for a roll-back. */
const IMAGES_KEPT = 6;

export class Disk {
  /** Called when something was written and not synced yet. */
  onUnsynced: () => void = () => {};
  private names = new Map<string, Inode>();
  private durableNames = new Map<string, Inode>();
  private readonly images: Image[] = [];
  private readonly faults: Faults;
  private readonly random: Draw;

  constructor(faults: Faults, random: Draw) {
    this.faults = faults;
    this.random = random;
  }

  /** The disk as one process sees it. `touchedBy` is called at every call that may change something. */
  mount(life: ProcessLifetime, touchedBy: () => void): JournalDisk {
    const delayMs = (syncs: boolean) => {
      if (this.faults.strikes("disk-slow", 0.05)) return SLOW_MS * (0.5 + this.random());
      return (syncs ? SYNC_MS : WRITE_MS) * (0.5 + this.random());
    };
    const sync = (inode: Inode) =>
      life.later(delayMs(true), () => {
        if (this.faults.strikes("sync-failed", 0.1)) throw new Error("EIO: sync failed");
        inode.durable = Buffer.from(inode.bytes);
      });
    return {
      lock: () => () => {},
      read: (path) => {
        const inode = this.names.get(path);
        return inode === undefined ? null : Buffer.from(inode.bytes);
      },
      cut: (path, sizeBytes) => {
        touchedBy();
        const inode = this.names.get(path)!;
        inode.bytes = inode.bytes.subarray(0, sizeBytes);
        inode.durable = inode.bytes;
        this.durableNames.set(path, inode);
      },
      open: (path, flags) => {
        touchedBy();
        return life.later(WRITE_MS, () => this.file(path, flags, life, delayMs, sync));
      },
      rename: (from, to) =>
        life.later(WRITE_MS, () => {
          const inode = this.names.get(from);
          if (inode === undefined) throw new Error(`ENOENT: no such file, rename '${from}'`);
          this.names.delete(from);
          this.names.set(to, inode);
        }),
      syncFolder: () =>
        life.later(delayMs(true), () => {
          this.durableNames = new Map(this.names);
        }),
    };
  }

  private file(
    path: string,
    flags: "r+" | "w",
    life: ProcessLifetime,
    delayMs: (syncs: boolean) => number,
    sync: (inode: Inode) => Promise<void>,
  ): DiskFile {
    let inode = this.names.get(path);
    if (flags === "r+" && inode === undefined) throw new Error(`ENOENT: no such file, open '${path}'`);
    if (inode === undefined) {
      inode = { bytes: Buffer.alloc(0), durable: Buffer.alloc(0) };
      this.names.set(path, inode);
    }
    const file = inode;
    if (flags === "w") file.bytes = Buffer.alloc(0);
    return {
      write: (bytes, offset, length, position) =>
        life.later(delayMs(false), () => {
          if (this.faults.strikes("disk-full", 0.08)) throw new Error("ENOSPC: no space left on device");
          const end = Math.max(file.bytes.length, position + length);
          const grown = Buffer.alloc(end);
          file.bytes.copy(grown);
          grown.set(bytes.subarray(offset, offset + length), position);
          file.bytes = grown;
          this.onUnsynced();
          return { bytesWritten: length };
        }),
      datasync: () => sync(file),
      sync: () => sync(file),
      close: () => Promise.resolve(),
    };
  }

  /** A file that is durable when it was written, for one process. @param touchedBy as of `mount` */
  keptFile(path: string, touchedBy: () => void): KeptFile {
    return {
      read: () => this.names.get(path)?.bytes.toString() ?? null,
      write: (text) => {
        touchedBy();
        if (this.faults.strikes("disk-full", 0.08)) throw new Error("ENOSPC: no space left on device");
        const bytes = Buffer.from(text);
        const inode = { bytes, durable: bytes };
        this.names.set(path, inode);
        this.durableNames.set(path, inode);
      },
    };
  }

  /** The power goes: of every file its synced bytes stay, and of what was appended a part. */
  cutPower(): void {
    const survivors = new Map<string, Inode>();
    for (const [name, inode] of this.durableNames) {
      const bytes = this.afterCut(inode);
      survivors.set(name, { bytes, durable: bytes });
    }
    this.names = survivors;
    this.durableNames = new Map(survivors);
  }

  private afterCut({ bytes, durable }: Inode): Buffer {
    const unsynced = bytes.length - durable.length;
    if (unsynced <= 0 || !bytes.subarray(0, durable.length).equals(durable)) return durable;
    const torn = this.faults.severity("torn-tail") > 0 && this.random() < 0.7;
    const kept = torn ? 1 + Math.floor(this.random() * (unsynced - 1)) : 0;
    this.faults.fired(torn ? "torn-tail" : "write-lost");
    return bytes.subarray(0, durable.length + kept);
  }

  /** Remembers the disk as it is, for `becomeOldImage`. */
  takeImage(): void {
    const image = new Map<string, Buffer>();
    for (const [name, { durable }] of this.durableNames) image.set(name, durable);
    this.images.push(image);
    if (this.images.length > IMAGES_KEPT) this.images.shift();
  }

  /** The card is replaced by a copy of itself from some time ago; false when there is none. */
  becomeOldImage(): boolean {
    const image = this.images[Math.floor(this.random() * this.images.length)];
    if (image === undefined) return false;
    this.restore(image);
    return true;
  }

  /** Flips one bit of one file; false when there is none. */
  flipBit(): boolean {
    const files = [...this.durableNames.values()].filter((inode) => inode.durable.length > 0);
    const inode = files[Math.floor(this.random() * files.length)];
    if (inode === undefined) return false;
    const bytes = Buffer.from(inode.durable);
    const bit = Math.floor(this.random() * bytes.length * 8);
    bytes[bit >> 3] = bytes[bit >> 3]! ^ (1 << (bit & 7));
    inode.bytes = bytes;
    inode.durable = bytes;
    return true;
  }

  /** A disk with the same content and no faults, to try recovery on. */
  copy(faults: Faults): Disk {
    const disk = new Disk(faults, () => 0.5);
    const image = new Map<string, Buffer>();
    for (const [name, { bytes }] of this.names) image.set(name, bytes);
    disk.restore(image);
    return disk;
  }

  private restore(image: Image): void {
    this.names = new Map();
    for (const [name, bytes] of image) this.names.set(name, { bytes, durable: bytes });
    this.durableNames = new Map(this.names);
  }
}
