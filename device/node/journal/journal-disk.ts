/**
 * What the journal asks of a disk, and the disk of this machine.
 *
 * Promise: nothing is cached here; a call that returned or resolved has been answered by the kernel.
 * The journal's rules run on any disk of this shape, a simulated one that loses power included.
 */
import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { lockFile } from "./file-lock.ts";

export interface DiskFile {
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  /** Data and size survive a power cut once resolved. */
  datasync(): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface JournalDisk {
  /** One process at a time; returns the release. */
  lock(path: string): () => void;
  /** The whole file; null when there is none. */
  read(path: string): Buffer | null;
  /** Cuts a file to a size, which may be its own; when this returns, its bytes and its name survive a power cut. */
  cut(path: string, sizeBytes: number): void;
  /** For writing in place ("r+"), or emptied and created if need be ("w", readable by its owner only). */
  open(path: string, flags: "r+" | "w"): Promise<DiskFile>;
  rename(from: string, to: string): Promise<void>;
  /** Makes a rename last: the name lives in the folder. */
  syncFolder(path: string): Promise<void>;
}

export const machineDisk: JournalDisk = {
  lock: lockFile,
  read(path) {
    try {
      return readFileSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      return null;
    }
  },
  cut(path, sizeBytes) {
    const file = openSync(path, "r+");
    try {
      ftruncateSync(file, sizeBytes);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    const folder = openSync(dirname(path), "r");
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  },
  open: (path, flags) => open(path, flags, 0o600),
  rename,
  async syncFolder(path) {
    const folder = await open(path, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  },
};
