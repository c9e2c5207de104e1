/**
 * A light's key made where its card is written, so that its address is known before it hangs on a pole.
 *
 * Promise: a key that was once made for a card is never replaced by another; it travels encrypted, and
 * the board takes it and its passphrase off the card at the first boot.
 */

import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sealedAddress, sealSecret } from "#node/key/sealed-key";
import { Watt402Error } from "#payment/watt402-error";
import type { Manifest } from "../card/manifest.ts";

const KEY_FILE = "watt402/device.key";
const PASSPHRASE_FILE = "watt402/key-passphrase";
const PASSPHRASE_BYTES = 24;

export interface ProvisionedKey {
  /** 0x and 40 hex digits. */
  readonly address: string;
  /** What lies on the card, by path; nothing once the board has taken it. */
  readonly files: readonly (readonly [string, Uint8Array])[];
}

/** The key that was made for this card before; null when none was. Throws when half of it is missing. */
export function keyOnCard(root: string, manifest: Manifest | null): ProvisionedKey | null {
  const found = [KEY_FILE, PASSPHRASE_FILE].filter((path) => existsSync(join(root, path)));
  if (found.length === 1) {
    throw new Watt402Error(
      "config-invalid",
      `${root}: expected ${KEY_FILE} and ${PASSPHRASE_FILE}, found only ${found[0]}; remove it`,
    );
  }
  if (found.length === 2) {
    const files = found.map((path) => [path, readFileSync(join(root, path))] as const);
    return { address: sealedAddress(files[0]![1].toString()), files };
  }
  return manifest?.address ? { address: manifest.address, files: [] } : null;
}

/** A new key from the kernel's randomness, under a passphrase of its own. */
export function makeKey(): ProvisionedKey {
  const passphrase = randomBytes(PASSPHRASE_BYTES).toString("base64");
  const sealed = sealSecret(randomBytes(32), passphrase);
  return {
    address: sealedAddress(sealed),
    files: [
      [KEY_FILE, Buffer.from(sealed)],
      [PASSPHRASE_FILE, Buffer.from(`${passphrase}\n`)],
    ],
  };
}
