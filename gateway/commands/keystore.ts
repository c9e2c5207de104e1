/**
 * `watt402-gateway keystore`: puts the treasury's key under a password.
 *
 * Promise: never over a file that is there; the key is shown nowhere.
 */

import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { Command } from "commander";
import { loadKey } from "#node/key/keystore";
import { fromHex, type Hex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { Watt402Error } from "#payment/watt402-error";
import { readSecret } from "../config/secret.ts";
import { writeKeystore } from "../treasury/web3-keystore.ts";

interface Options {
  readonly out: string;
  readonly passwordFile: string;
  readonly from?: string;
}

const PASSWORD_CHARACTERS_MIN = 12;

export function keystoreCommand(): Command {
  return new Command("keystore")
    .requiredOption("--out <file>", "keystore to write")
    .requiredOption("--password-file <file>", "file of the password")
    .option("--from <file>", "key file of 0x and 64 hex digits; without it a new key is made")
    .action(async (options: Options) => {
      const password = readSecret("--password-file", options.passwordFile);
      if (password.length < PASSWORD_CHARACTERS_MIN) {
        throw new Watt402Error(
          "passphrase-wrong",
          `--password-file: expected at least ${PASSWORD_CHARACTERS_MIN} characters, found ${password.length}`,
        );
      }
      const secret = options.from === undefined ? randomBytes(32) : secretIn(options.from);
      const keystore = await writeKeystore(secret, password);
      try {
        writeFileSync(options.out, keystore, { flag: "wx", mode: 0o600 });
      } catch (error) {
        throw new Watt402Error(
          "file-inaccessible",
          `--out ${options.out}: expected a new file, found ${(error as NodeJS.ErrnoException).code}`,
        );
      }
      process.stdout.write(`${openKey(secret).address} ${options.out}\n`);
    });
}

function secretIn(file: string): Uint8Array {
  // Checks mode and form first, and says what is wrong with them.
  loadKey(file);
  return fromHex(readSecret("--from", file) as Hex);
}
