// A ledger that is cut at every step on its disk, opened again as it lay there at each.

import { expect } from "vitest";
import { openSqliteLedger } from "#gateway/ledger/sqlite/sqlite-ledger";
import { channelNumbered, paymentNumbered } from "../records.ts";
import { type Cut, cutDisk, ENDS, lay } from "./cut-disk.ts";

/** Steps of all kinds are among them, or the test would say nothing. */
export function expectSteps(cuts: readonly Cut[]): void {
  for (const kind of [
    "creating",
    "writing",
    "flushing the folder",
    "flushing [a-z]+-",
    "closing",
    "removing",
  ])
    expect(
      cuts.filter(({ where }) => new RegExp(`(before|after) ${kind}`).test(where)).length,
    ).toBeGreaterThan(3);
}

/** Keys of the payments in a ledger, as its readers see them. */
async function paymentsIn(folder: string): Promise<number[]> {
  const ledger = openSqliteLedger(folder, { isGateway: false });
  const found: number[] = [];
  for await (const { maxClaimable } of ledger.payments({})) found.push(maxClaimable / 100 - 1);
  const charged = ledger.channels()[0]?.charged ?? 0;
  expect(charged).toBe(100 * (Math.max(-1, ...found) + 1));
  await ledger.close();
  return found;
}

/** Of so many cuts a gateway of its own goes on: it folds what it finds, in a thread. */
const GOES_ON_EVERY = 40;

/** Cuts a ledger at every step of two lives, and looks at each `every`-th of the cuts. */
export async function expectWholeAfterCuts(every: number, newFolder: () => string): Promise<void> {
  const folder = newFolder();
  const acknowledged: number[] = [];
  const disk = cutDisk(folder, ["ledger.sqlite", "ledger.sqlite-wal"], () => acknowledged);
  let number = 0;
  const record = async () => {
    const mine = number++;
    await ledger.recordPayment(paymentNumbered(mine), channelNumbered(mine));
    acknowledged.push(mine);
  };
  let ledger = openSqliteLedger(folder, { disk });
  for (let life = 0; life < 2; life += 1) {
    // Closing folds, while the last ones are still being written.
    const before = disk.cuts.length;
    await Promise.all([record(), record()]);
    await Promise.all([record(), record()]);
    // The first life goes on until a fold of its own, beside payments that come.
    const hasFolded = () => disk.cuts.slice(before).some(({ where }) => where.startsWith("after removing"));
    while (life === 0 && !hasFolded()) {
      await record();
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    const last = record();
    await Promise.all([last, ledger.close()]);
    ledger = openSqliteLedger(folder, { disk });
  }
  await ledger.close();
  expectSteps(disk.cuts);

  // What lies there before a step lies there after the one before it.
  const cuts = disk.cuts.filter(({ where }) => where.startsWith("before ") || where.includes("writing"));
  for (const [index, cut] of cuts.entries()) {
    if (index % every !== 0) continue;
    const end = ENDS[(index / every) % ENDS.length]!;
    const after = newFolder();
    lay(after, cut[end]);
    const found = await paymentsIn(after);
    const lost = cut.acknowledged.filter((one) => !found.includes(one));
    expect([cut.where, end, lost, found.length - new Set(found).size]).toEqual([cut.where, end, [], 0]);
    if (index % GOES_ON_EVERY !== 0) continue;
    const next = openSqliteLedger(after);
    await next.recordPayment(paymentNumbered(number), channelNumbered(number));
    await next.close();
    expect(await paymentsIn(after)).toEqual([...found, number]);
  }
}
