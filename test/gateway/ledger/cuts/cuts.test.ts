// The journal and the ledger behind it, ended before, after and in the middle of a step on the disk: what was acknowledged
// is there once when they are opened again.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { Journal, readJournal } from "#gateway/ledger/journal/append-journal";
import { cutDisk, ENDS, lay } from "./cut-disk.ts";
import { expectSteps, expectWholeAfterCuts } from "./cut-ledger.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "watt402-cuts-"));
  folders.push(folder);
  return folder;
}

test("a journal that fills segment after segment gives every acknowledged entry once, wherever it was cut", async () => {
  const folder = newFolder();
  const acknowledged: number[] = [];
  let removed = 0;
  const disk = cutDisk(folder, [], () => acknowledged.filter((number) => number >= removed));
  const journal = new Journal({ folder, name: "charges", disk, segmentBytesMax: 60 });
  for (let round = 0; round < 12; round += 1) {
    const numbers = [0, 1, 2].map((index) => 3 * round + index);
    const written = numbers.map((number) => journal.append(Buffer.from(`entry ${number}`)));
    for (const number of numbers) void written[number % 3]!.then(() => acknowledged.push(number));
    await Promise.all(written);
    if (round % 4 !== 3) continue;
    const through = await journal.seal();
    // Kept elsewhere from here on.
    removed = 3 * (round + 1);
    await journal.remove(through);
  }
  await journal.close();
  expectSteps(disk.cuts);
  for (const cut of disk.cuts) {
    for (const end of ENDS) {
      const after = newFolder();
      lay(after, cut[end]);
      const { entries, damagedBytes } = readJournal(after, "charges");
      const found = entries.map(({ bytes }) => Number(bytes.toString().slice("entry ".length)));
      const lost = cut.acknowledged.filter((number) => !found.includes(number));
      expect([cut.where, end, lost, found.length - new Set(found).size, damagedBytes]).toEqual([
        cut.where,
        end,
        [],
        0,
        0,
      ]);
    }
  }
});

test("a ledger cut while it appends and folds has every acknowledged payment once, and goes on", async () => {
  await expectWholeAfterCuts(5, newFolder);
});
