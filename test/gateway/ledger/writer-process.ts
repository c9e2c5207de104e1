// Records payments as fast as it can and prints each number once its promise has resolved. Ends when killed.
// Arguments: directory, or the URL of a PostgreSQL; first number; file of the password.

import { readFileSync, writeSync } from "node:fs";
import { openPostgresLedger } from "#gateway/ledger/postgres/postgres-ledger";
import { openSqliteLedger } from "#gateway/ledger/sqlite/sqlite-ledger";
import { channelNumbered, paymentNumbered } from "./records.ts";

const [place, first, passwordFile] = process.argv.slice(2);
const ledger = passwordFile
  ? await openPostgresLedger({
      url: place!,
      password: readFileSync(passwordFile, "utf8"),
      onTrouble: () => undefined,
    })
  : openSqliteLedger(place!);
const PARALLEL = 4;

async function write(from: number): Promise<void> {
  for (let number = from; ; number += PARALLEL) {
    await ledger.recordPayment(paymentNumbered(number), channelNumbered(number));
    writeSync(1, `${number}\n`);
  }
}

await Promise.all(Array.from({ length: PARALLEL }, (_, lane) => write(Number(first) + lane)));
