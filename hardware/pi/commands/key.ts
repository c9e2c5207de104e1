/**
 * `watt402-device key backup|restore|encrypt|rotate`: custody of the one secret.
 *
 * Promise: a secret leaves the device encrypted or not at all, never over another key; a key is changed
 * only while the device is stopped and nothing that it signed is unanswered.
 */

import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import type { ChannelMark } from "#core/events";
import type { DeviceConfig } from "#node/config/device-config";
import { type FileJournal, openJournal } from "#node/journal/journal";
import { writeNew } from "#node/journal/private-file";
import { encryptKey, exportKey, importKey, rotateKey } from "#node/key/keystore";
import { findPassphrase, readPassphrase } from "#node/key/passphrase";
import { Watt402Error } from "#payment/watt402-error";

/** Shortest passphrase of a backup, characters: strangers may try theirs on it at leisure. */
const BACKUP_PASSPHRASE_MIN = 12;

export function backupCommand(config: DeviceConfig, out: string, passphraseFile: string): number {
  const { text } = readPassphrase(passphraseFile);
  if (text.length < BACKUP_PASSPHRASE_MIN) {
    throw new Watt402Error(
      "passphrase-wrong",
      `${passphraseFile}: expected at least ${BACKUP_PASSPHRASE_MIN} characters, found ${text.length}`,
    );
  }
  const document = exportKey(config.keyFile, ownPassphrase(config), text);
  try {
    writeNew(out, document);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Watt402Error(
      "file-inaccessible",
      `${out}: expected to write a new file, found ${code}; name another in a folder that exists`,
    );
  }
  console.log(`${out}: the key, encrypted. Its passphrase belongs somewhere else than this file.`);
  return 0;
}

export async function restoreCommand(
  config: DeviceConfig,
  from: string,
  passphraseFile: string,
): Promise<number> {
  const { text } = readPassphrase(passphraseFile);
  let document: string;
  try {
    document = readFileSync(from, "utf8");
  } catch (error) {
    throw new Watt402Error(
      "file-inaccessible",
      `${from}: expected a backup of a key, found ${(error as NodeJS.ErrnoException).code}`,
    );
  }
  return whileStopped(config, () => {
    const key = importKey(config.keyFile, document, text, ownPassphrase(config));
    console.log(key.address);
    console.log(
      "Restored. Without the journal of its last hour the device believes the gateway's next offer about " +
        "what it signed, and begins its day's budget anew.",
    );
  });
}

export async function encryptCommand(config: DeviceConfig): Promise<number> {
  const passphrase = ownPassphrase(config);
  if (passphrase === null) {
    throw new Watt402Error(
      "passphrase-wrong",
      "key: expected a passphrase, found none; set device.key_passphrase_file, or run it with the service's credential",
    );
  }
  return whileStopped(config, () => {
    const { address } = encryptKey(config.keyFile, passphrase);
    console.log(
      `${config.keyFile}: the key of ${address}, encrypted. Traces of the plain one may stay on the card.`,
    );
  });
}

/** @param abandon true gives up a rung that was signed and not answered: the seller may still charge it */
export async function rotateCommand(config: DeviceConfig, abandon: boolean): Promise<number> {
  return whileStopped(config, (journal) => {
    const marks = journal.load()?.channels ?? [];
    const open = marks.filter(({ signed, charged }) => signed > charged);
    if (open.length > 0 && !abandon) {
      const owed = open.map(({ id, signed, charged }) => `${signed - charged} on ${id}`).join(", ");
      throw new Watt402Error(
        "in-use",
        `key: expected every payment answered, found ${owed} atomic units signed and not charged yet; ` +
          "start the device until they are answered, or add --abandon to let the seller have them",
      );
    }
    const { key, keptAs } = rotateKey(config.keyFile, ownPassphrase(config));
    console.log(key.address);
    console.log(rotationInWords(marks, keptAs));
  });
}

function rotationInWords(marks: readonly ChannelMark[], keptAs: string): string {
  const [present] = marks;
  return [
    "That is the device's new address: enrol it at the gateway, which opens a new channel for it.",
    `The old key is kept in ${keptAs}; nothing needs it but a wallet of its own.`,
    present === undefined
      ? "No channel was open."
      : `The old channel ${present.id}: the seller may claim the ${Math.max(present.signed, present.charged)} atomic ` +
        "units signed on it and no more; nothing is signed on it again. Its other money goes back to the payer: " +
        `\`watt402-gateway channels close ${present.id}\`, or by itself when the gateway closes idle channels.`,
    "Register, credit and the day's budget stay as they are: the journal goes on.",
  ].join("\n");
}

/** Acts with the journal's lock held, so that no device runs meanwhile. */
async function whileStopped(config: DeviceConfig, act: (journal: FileJournal) => void): Promise<number> {
  let journal: FileJournal;
  try {
    journal = openJournal(config.journalFile);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new Watt402Error(
      "config-invalid",
      `${dirname(config.journalFile)}: expected the device's folder, found none; make it first`,
    );
  }
  try {
    act(journal);
    return 0;
  } finally {
    await journal.close();
  }
}

function ownPassphrase(config: DeviceConfig): string | null {
  return findPassphrase(config.keyPassphraseFile)?.text ?? null;
}
