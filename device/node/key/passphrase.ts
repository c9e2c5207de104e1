/**
 * Where the passphrase of the device's key is: a file that the configuration names, or a credential that
 * systemd hands to the service (systemd.exec(5), ImportCredential and LoadCredential).
 *
 * Promise: the file wins over the credential; an empty passphrase is an error and never means none.
 */

import { join } from "node:path";
import { Watt402Error } from "#payment/watt402-error";
import { readPrivate } from "../journal/private-file.ts";

/** Name of the credential: /etc/credstore/watt402.key-passphrase, or encrypted by systemd-creds. */
export const PASSPHRASE_CREDENTIAL = "watt402.key-passphrase";

const PASSPHRASE_BYTES_MAX = 1024;

interface Passphrase {
  readonly text: string;
  /** The file it was read from. */
  readonly file: string;
}

/** The passphrase; null when neither place has one. Throws when a named file is missing or not private. */
export function findPassphrase(
  file: string | null,
  credentialsDirectory: string | undefined = process.env.CREDENTIALS_DIRECTORY,
): Passphrase | null {
  if (file !== null) return readPassphrase(file);
  if (credentialsDirectory === undefined) return null;
  const credential = join(credentialsDirectory, PASSPHRASE_CREDENTIAL);
  // systemd gives the service's user access by an ACL, which shows in the group's bits.
  const text = textOf(credential, 0o007);
  return text === null ? null : { text, file: credential };
}

/** The passphrase in a file, which must be there. */
export function readPassphrase(file: string): Passphrase {
  const text = textOf(file);
  if (text === null)
    throw new Watt402Error("passphrase-wrong", `${file}: expected a file with a passphrase, found none`);
  return { text, file };
}

function textOf(file: string, others?: number): string | null {
  const remedy = "others may have read it: chmod 600, and choose another passphrase";
  const text = readPrivate(file, "passphrase", PASSPHRASE_BYTES_MAX, remedy, others)?.replace(/\r?\n$/, "");
  if (text === undefined) return null;
  if (text === "")
    throw new Watt402Error("passphrase-wrong", `${file}: expected a passphrase, found an empty file`);
  return text;
}
