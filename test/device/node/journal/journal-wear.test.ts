/** How much a night of buying writes to an SD card, counted at the disk's own door. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openJournal } from "#node/journal/journal";
import { type JournalDisk, machineDisk } from "#node/journal/journal-disk";
import { Bench } from "../fixtures.ts";

const NIGHT_MS = 12 * 3_600_000;
const STEP_MS = 2000;
const BLOCK_BYTES = 4096;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "wear-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function countingDisk() {
  const counted = { writes: 0, bytes: 0, blocks: 0, syncs: 0, rewrites: 0 };
  const disk: JournalDisk = {
    ...machineDisk,
    open: async (path, flags) => {
      const file = await machineDisk.open(path, flags);
      if (flags === "w") counted.rewrites++;
      return {
        write: (bytes, offset, length, position) => {
          counted.writes++;
          counted.bytes += length;
          counted.blocks +=
            Math.floor((position + length - 1) / BLOCK_BYTES) - Math.floor(position / BLOCK_BYTES) + 1;
          return file.write(bytes, offset, length, position);
        },
        datasync: () => {
          counted.syncs++;
          return file.datasync();
        },
        sync: () => {
          counted.syncs++;
          return file.sync();
        },
        close: () => file.close(),
      };
    },
  };
  return { disk, counted };
}

describe("a journal over a night", () => {
  it("is written about once in sixteen purchases: below 60 times for 720 of them", async () => {
    const { disk, counted } = countingDisk();
    const journal = openJournal(join(folder, "device.journal"), disk);
    let storing: Promise<unknown> = Promise.resolve();
    const bench = new Bench();
    bench.answering = true;
    const host = bench.start({
      journal: {
        load: () => journal.load(),
        store: (checkpoint, done) => {
          storing = new Promise<void>((resolve) =>
            journal.store(checkpoint, (error) => {
              done(error);
              resolve();
            }),
          );
        },
      },
    });
    bench.link(true);
    // 60 W at 200,000 a kWh and 200 atomic units a purchase: a quantum of 1000 mWh is a minute of light.
    bench.offer({
      requirements: { ...bench.offerMessage().requirements, amount: "200" },
    });
    await storing;
    for (let passedMs = 0; passedMs < NIGHT_MS; passedMs += STEP_MS) {
      bench.clock.advance(STEP_MS);
      await storing;
    }
    const purchases = new Set(bench.pays().map(({ maxClaimable }) => maxClaimable)).size;
    const inUse = { ...counted };
    await host.stop();
    await journal.close();

    console.info(`12 h, ${purchases} purchases: ${JSON.stringify(inUse)}`);
    expect(purchases).toBeGreaterThanOrEqual(710);
    expect(purchases).toBeLessThanOrEqual(730);
    expect(inUse.writes).toBeGreaterThan(40);
    expect(inUse.writes).toBeLessThan(60);
    expect(inUse.bytes).toBeLessThan(60_000);
    expect(inUse.blocks).toBeLessThan(80);
  }, 30_000);
});
