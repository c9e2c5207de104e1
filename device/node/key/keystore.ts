/**
 * The device's key in a file: encrypted under a passphrase, or plain where there is none.
 *
 * Promise: the secret comes from the kernel's randomness, is written whole or not at all, never over
 * another key without keeping that one, and is read only from a file that its owner alone can read; no
 * message shows it.
 */

import { closeSync, openSync, readSync } from "node:fs";
import { fromHex, toHex } from "#payment/bytes";
import { type Key, openKey } from "#payment/key";
import { at, Watt402Error } from "#payment/watt402-error";
import { keepAs, readPrivate, writeNew, writeOver } from "../journal/private-file.ts";
import { isSealed, sealedAddress, sealSecret, unsealSecret } from "./sealed-key.ts";

const SECRET_BYTES = 32;

/** A plain key has 67 bytes, an encrypted one about 500. */
const KEY_FILE_BYTES_MAX = 4096;

interface OpenedKey {
  readonly key: Key;
  /** True when there was no file and a new key was made. */
  readonly created: boolean;
}

/** How a key lies in its file. */
type KeyForm =
  | { readonly kind: "none" }
  | { readonly kind: "plain" }
  /** The address is what the file says; only the passphrase proves it. */
  | { readonly kind: "encrypted"; readonly address: string };

/**
 * Opens the key at `path`, making one first when there is none.
 * @param passphrase encrypts a new key and opens an encrypted one; null where there is none
 * @param open as of `loadKey`
 */
export function openOrCreateKey(path: string, passphrase: string | null = null, open = openKey): OpenedKey {
  const found = readSecret(path, passphrase);
  if (found !== null) return { key: open(found), created: false };
  writeNew(path, formOfFile(kernelRandom(), passphrase));
  return { key: loadKey(path, passphrase, open), created: true };
}

/**
 * Opens an existing key. Throws when there is none, it is not private, or the passphrase does not fit.
 * @param open makes the key of its secret: `openKey`, or what makes the same by a faster curve
 */
export function loadKey(path: string, passphrase: string | null = null, open = openKey): Key {
  return open(existingSecret(path, passphrase));
}

/** Looks at a key file without opening it. Throws as `loadKey` does, but for the passphrase. */
export function keyForm(path: string): KeyForm {
  const text = readKeyFile(path);
  if (text === null) return { kind: "none" };
  if (isSealed(text)) return { kind: "encrypted", address: named(path, () => sealedAddress(text)) };
  return { kind: "plain" };
}

/** The key as an encrypted document of its own, for a safe place elsewhere. */
export function exportKey(path: string, passphrase: string | null, backupPassphrase: string): string {
  return sealSecret(existingSecret(path, passphrase), backupPassphrase);
}

/** Writes an exported key to `path`. Throws when there is a key already: it is never replaced. */
export function importKey(
  path: string,
  document: string,
  backupPassphrase: string,
  passphrase: string | null,
): Key {
  const secret = unsealSecret(document, backupPassphrase);
  try {
    writeNew(path, formOfFile(secret, passphrase));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new Watt402Error(
      "key-exists",
      `${path}: expected no key, found one; move it away first, or rotate it`,
    );
  }
  return loadKey(path, passphrase);
}

/** Encrypts a plain key where it lies. Nothing to do for an encrypted one. */
export function encryptKey(path: string, passphrase: string): Key {
  writeOver(path, formOfFile(existingSecret(path, passphrase), passphrase));
  return loadKey(path, passphrase);
}

/**
 * Puts a new key in the place of the old one, which is kept beside it under its address: what was paid
 * to it, it still opens.
 */
export function rotateKey(
  path: string,
  passphrase: string | null,
): { readonly key: Key; readonly keptAs: string } {
  const old = loadKey(path, passphrase);
  const keptAs = `${path}.${old.address}`;
  try {
    keepAs(path, keptAs);
  } catch (error) {
    // An earlier rotation was cut off between its two steps.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  writeOver(path, formOfFile(kernelRandom(), passphrase));
  return { key: loadKey(path, passphrase), keptAs };
}

function existingSecret(path: string, passphrase: string | null): Uint8Array {
  const secret = readSecret(path, passphrase);
  if (secret === null) throw new Watt402Error("key-missing", `${path}: expected a key file, found none`);
  return secret;
}

function readSecret(path: string, passphrase: string | null): Uint8Array | null {
  const text = readKeyFile(path);
  if (text === null) return null;
  if (!isSealed(text)) {
    if (/^0x[0-9a-f]{64}\n?$/.test(text)) return fromHex(text.trim());
    throw new Watt402Error(
      "file-invalid",
      `${path}: expected 0x and 64 hex digits, found ${Buffer.byteLength(text)} bytes of something else`,
    );
  }
  if (passphrase === null) {
    throw new Watt402Error(
      "passphrase-wrong",
      `${path}: expected a passphrase for an encrypted key, found none; ` +
        "set device.key_passphrase_file, or give the service its credential",
    );
  }
  return named(path, () => unsealSecret(text, passphrase));
}

function readKeyFile(path: string): string | null {
  return readPrivate(path, "key file", KEY_FILE_BYTES_MAX, "others may have read it, make a new key");
}

function formOfFile(secret: Uint8Array, passphrase: string | null): string {
  return passphrase === null ? `${toHex(secret)}\n` : sealSecret(secret, passphrase);
}

function named<Result>(path: string, act: () => Result): Result {
  try {
    return act();
  } catch (error) {
    throw at(path, error, "file-invalid");
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
