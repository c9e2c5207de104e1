/**
 * Files that only their owner may read, written whole or not at all.
 *
 * Promise: what others could read is refused; a file in place is never half of another; after a return
 * the name and the bytes survive a power cut.
 */

import { randomBytes } from "node:crypto";
import {
  closeSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { Watt402Error } from "#payment/watt402-error";

/**
 * The text of a private file; null when there is none. Throws when others may have read it, or when it is
 * longer than `bytesMax`.
 * @param remedy what to do about a file that others may have read
 * @param others permission bits that must not be set
 */
export function readPrivate(
  path: string,
  what: string,
  bytesMax: number,
  remedy: string,
  others = 0o077,
): string | null {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return null;
    throw new Watt402Error("file-inaccessible", `${path}: expected a readable ${what}, found ${code}`);
  }
  try {
    const { mode, size } = fstatSync(file);
    if ((mode & others) !== 0) {
      const found = (mode & 0o777).toString(8).padStart(4, "0");
      throw new Watt402Error("file-inaccessible", `${path}: expected mode 0600, found ${found}; ${remedy}`);
    }
    if (size > bytesMax) {
      throw new Watt402Error(
        "file-inaccessible",
        `${path}: expected a ${what} of at most ${bytesMax} bytes, found ${size}`,
      );
    }
    return readFileSync(file, "utf8");
  } finally {
    closeSync(file);
  }
}

/** Writes a new file. Throws EEXIST rather than replace one. */
export function writeNew(path: string, text: string): void {
  // Unlike a rename, a link never replaces what is there.
  withDraft(path, text, (draft) => linkSync(draft, path));
}

/** Replaces the file that is there, if any. */
export function writeOver(path: string, text: string): void {
  withDraft(path, text, (draft) => renameSync(draft, path));
}

/** Gives a file a second name, durably. Throws EEXIST rather than replace another. */
export function keepAs(path: string, kept: string): void {
  linkSync(path, kept);
  syncFolder(dirname(kept));
}

function withDraft(path: string, text: string, publish: (draft: string) => void): void {
  const draft = `${path}.${randomBytes(4).toString("hex")}`;
  const file = openSync(draft, "wx", 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
    publish(draft);
  } finally {
    closeSync(file);
    rmSync(draft, { force: true });
  }
  syncFolder(dirname(path));
}

function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
