/**
 * What a journal of segments asks of a disk, and the disk of this machine.
 *
 * Promise: nothing is cached here; a call that returned or resolved has been answered by the kernel. Slow, full and
 * failing disks of the tests have this shape too.
 */
import { readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { type JournalDisk, machineDisk } from "#node/journal/journal-disk";

export type { DiskFile } from "#node/journal/journal-disk";

export interface SegmentDisk extends Pick<JournalDisk, "lock" | "read" | "open" | "syncFolder"> {
  /** Names in a folder, in any order. */
  names(folder: string): string[];
  /** Removes a file; one that is not there is no error. */
  remove(path: string): Promise<void>;
}

export const segmentDisk: SegmentDisk = {
  lock: machineDisk.lock,
  read: machineDisk.read,
  open: machineDisk.open,
  syncFolder: machineDisk.syncFolder,
  names: readdirSync,
  remove: (path) => rm(path, { force: true }),
};
