// Records payments as fast as it can and tells each number once its promise has resolved. Ends when killed.

import { writeSync } from "node:fs";
import { openSqliteLedger } from "#gateway/ledger/sqlite-ledger";
import { channelNumbered, paymentNumbered } from "./records.ts";

const [directory, first] = process.argv.slice(2);
const ledger = openSqliteLedger(directory!);
const PARALLEL = 4;

async function write(from: number): Promise<void> {
  for (let number = from; ; number += PARALLEL) {
    await ledger.recordPayment(paymentNumbered(number), channelNumbered(number));
    writeSync(1, `${number}\n`);
  }
}

await Promise.all(Array.from({ length: PARALLEL }, (_, lane) => write(Number(first) + lane)));
