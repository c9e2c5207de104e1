/**
 * The device's key in a file.
 *
 * Promise: the secret comes from the kernel's randomness, is written whole or not at all, never over
 * another key, and is read only from a file that its owner alone can read; no message shows it.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { fromHex, toHex } from "#payment/bytes";
import { type Key, openKey } from "#payment/key";

const SECRET_BYTES = 32;

/** 0x, 64 hex digits and a line end. */
const KEY_FILE_BYTES_MAX = 67;

export interface OpenedKey {
  readonly key: Key;
  /** True when there was no file and a new key was made. */
  readonly created: boolean;
}

/** Opens the key at `path`, making one first when there is none. */
export function openOrCreateKey(path: string): OpenedKey {
  const found = readKey(path);
  if (found !== null) return { key: found, created: false };
  writeNew(path, `${toHex(kernelRandom())}\n`);
  return { key: loadKey(path), created: true };
}

/** Opens an existing key. Throws when there is none, or it is not private. */
export function loadKey(path: string): Key {
  const key = readKey(path);
  if (key === null) throw new Error(`${path}: expected a key file, found none`);
  return key;
}

function readKey(path: string): Key | null {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new Error(`${path}: expected a readable key file, found ${(error as NodeJS.ErrnoException).code}`);
  }
  try {
    const { mode, size } = fstatSync(file);
    if ((mode & 0o077) !== 0) {
      const found = (mode & 0o777).toString(8).padStart(4, "0");
      throw new Error(`${path}: expected mode 0600, found ${found}; others may have read it, make a new key`);
    }
    const text = size <= KEY_FILE_BYTES_MAX ? readFileSync(file, "utf8") : "";
    if (!/^0x[0-9a-f]{64}\n?$/.test(text)) {
      throw new Error(`${path}: expected 0x and 64 hex digits, found ${size} bytes of something else`);
    }
    return openKey(fromHex(text.trim()));
  } finally {
    closeSync(file);
  }
}

/** /dev/random waits until the kernel has gathered enough at a board's very first boot. */
function kernelRandom(): Uint8Array {
  const file = openSync("/dev/random", "r");
  try {
    const secret = new Uint8Array(SECRET_BYTES);
    let filled = 0;
    while (filled < SECRET_BYTES) filled += readSync(file, secret, filled, SECRET_BYTES - filled, null);
    return secret;
  } finally {
    closeSync(file);
  }
}

function writeNew(path: string, text: string): void {
  const draft = `${path}.${randomBytes(4).toString("hex")}`;
  const file = openSync(draft, "wx", 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
    // Unlike a rename, a link never replaces what is there.
    linkSync(draft, path);
  } finally {
    closeSync(file);
    rmSync(draft);
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
