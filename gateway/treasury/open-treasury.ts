/**
 * The treasury that a configuration names: a key file, an encrypted keystore, or a signer elsewhere.
 *
 * Promise: a key is read only from a file that its owner alone can read; messages name member and file.
 */

import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { loadKey, openOrCreateKey } from "#node/key/keystore";
import { type Key, openKey } from "#payment/key";
import { at, Watt402Error } from "#payment/watt402-error";
import type { Config } from "../config/config.ts";
import { readSecret } from "../config/secret.ts";
import type { Treasury } from "../purchase/ports.ts";
import { externalSigner } from "./external-signer.ts";
import { isKeystore, openKeystore } from "./web3-keystore.ts";

/** @param mayCreate makes a key where there is none: a first look only */
export async function openTreasury(config: Config["treasury"], mayCreate: boolean): Promise<Treasury> {
  const { signerUrl, signerTokenFile, signerAddress } = config;
  if (signerUrl !== undefined) {
    const token = readSecret("treasury.signerTokenFile", signerTokenFile!);
    return externalSigner({ url: signerUrl, token, address: signerAddress! });
  }
  return keyTreasury(await treasuryKey(config, mayCreate));
}

/** A treasury whose key is in this process. */
export function keyTreasury(key: Key): Treasury {
  return { address: key.address, sign: (digest) => key.sign(digest) };
}

async function treasuryKey({ key, passwordFile }: Config["treasury"], mayCreate: boolean): Promise<Key> {
  if (!existsSync(key!)) return keyIn("treasury.key", key!, mayCreate);
  const text = readSecret("treasury.key", key!);
  if (!isKeystore(text)) return keyIn("treasury.key", key!, false);
  if (passwordFile === undefined) {
    throw new Watt402Error(
      "config-invalid",
      `treasury.key: ${key}: it is a keystore; name the file of its password: treasury.passwordFile`,
    );
  }
  const mode = statSync(key!).mode & 0o077;
  if (mode !== 0)
    throw new Watt402Error(
      "file-inaccessible",
      `treasury.key: ${key}: expected mode 0600, found others may read it`,
    );
  const password = readSecret("treasury.passwordFile", passwordFile);
  return openKeystore(text, password).catch((error: Error) => {
    throw at(`treasury.key: ${key}`, error, "config-invalid");
  });
}

/**
 * A key in a file of 0x and 64 hex digits.
 * @param mayCreate makes one, and its folder, where there is none
 * @param open makes the key of its secret
 */
export function keyIn(member: string, file: string, mayCreate: boolean, open = openKey): Key {
  try {
    if (!mayCreate) return loadKey(file, null, open);
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    return openOrCreateKey(file, null, open).key;
  } catch (error) {
    throw new Watt402Error(
      "config-invalid",
      `${member}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
