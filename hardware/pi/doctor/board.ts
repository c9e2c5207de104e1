/**
 * The doctor's looks at the board itself: clock, disk, key.
 *
 * Promise: nothing is written and no key is made; a secret is opened to see that it can be, and not shown.
 */
import { accessSync, constants, existsSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { Checkpoint } from "#core/events";
import type { DeviceConfig } from "#node/config/device-config";
import { diskTrouble } from "#node/journal/disk-trouble";
import { peekJournal } from "#node/journal/journal";
import { keyForm, loadKey } from "#node/key/keystore";
import { findPassphrase } from "#node/key/passphrase";
import type { Key } from "#payment/key";
import { clockTrouble } from "../status/clock-trouble.ts";
import { type Check, doubtful, unknown, well, wrong } from "./check.ts";

/** Room that journal and counters need with all their drafts, bytes. */
const ROOM_BYTES = 4_194_304;

/** systemd-timesyncd's sign that the clock was set from the network since boot. */
const SYNCHRONISED = "/run/systemd/timesync/synchronized";

const SHORT_PASSPHRASE = 12;

export function checkClock(unixMs: number, synchronised = existsSync(SYNCHRONISED)): Check {
  const trouble = clockTrouble(unixMs);
  if (trouble !== null) return wrong("clock", trouble);
  const shown = new Date(unixMs).toISOString().slice(0, 19);
  if (synchronised) return well("clock", `${shown}Z, set from the network`);
  return doubtful(
    "clock",
    `clock: expected to be set from the network, found ${shown}Z and no sign of it; see \`timedatectl\``,
  );
}

interface DiskLook {
  readonly check: Check;
  /** What the journal remembers; null for a new device or one whose journal cannot be read. */
  readonly checkpoint: Checkpoint | null;
}

export function checkDisk(journalFile: string): DiskLook {
  const folder = dirname(journalFile);
  let checkpoint: Checkpoint | null;
  try {
    checkpoint = peekJournal(journalFile);
  } catch (error) {
    return { check: wrong("disk", (error as Error).message), checkpoint: null };
  }
  try {
    accessSync(folder, constants.W_OK);
    const { bavail, bsize } = statfsSync(folder);
    if (bavail * bsize < ROOM_BYTES) throw Object.assign(new Error("full"), { code: "ENOSPC" });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const text =
      code === "ENOENT"
        ? `${folder}: expected a folder, found none; make it, owned by the service's user`
        : diskTrouble(folder, error);
    return { check: wrong("disk", text), checkpoint };
  }
  const known = checkpoint === null ? "a new device" : `register ${checkpoint.register.total}`;
  return { check: well("disk", `${folder} is writable; journal: ${known}`), checkpoint };
}

interface KeyLook {
  readonly check: Check;
  /** Null when there is none, or it cannot be opened. */
  readonly key: Key | null;
}

export function checkKey({ keyFile, keyPassphraseFile }: DeviceConfig): KeyLook {
  try {
    const form = keyForm(keyFile);
    const passphrase = findPassphrase(keyPassphraseFile);
    if (form.kind === "none") {
      return {
        check: unknown(
          "key",
          `${keyFile}: none yet; the first start makes it, or \`watt402-device address\``,
        ),
        key: null,
      };
    }
    const key = loadKey(keyFile, passphrase?.text ?? null);
    if (form.kind === "plain") {
      const remedy =
        "set device.key_passphrase_file or the service's credential, and run `watt402-device key encrypt`";
      return {
        check: doubtful(
          "key",
          `${keyFile}: expected an encrypted key, found a plain one of ${key.address}; ${remedy}`,
        ),
        key,
      };
    }
    return { check: checkPassphrase(key, keyFile, passphrase!.text, passphrase!.file), key };
  } catch (error) {
    return { check: wrong("key", (error as Error).message), key: null };
  }
}

function checkPassphrase(key: Key, keyFile: string, text: string, file: string): Check {
  if (text.length < SHORT_PASSPHRASE) {
    const expected = `a passphrase of at least ${SHORT_PASSPHRASE} characters`;
    return doubtful(
      "key",
      `${file}: expected ${expected}, found ${text.length}; choose another and encrypt anew`,
    );
  }
  if (statSync(file).dev === statSync(keyFile).dev) {
    return doubtful(
      "key",
      `${file}: expected the passphrase away from the card that holds the key, found both on one; ` +
        "it protects copies of the key, and not a stolen card: use systemd-creds with a TPM for that",
    );
  }
  return well("key", `${key.address}, encrypted`);
}
