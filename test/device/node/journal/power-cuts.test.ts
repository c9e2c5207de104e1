/** The real host, machine and journal on a disk that loses power at any of its calls, many times over. */
import { describe, expect, it } from "vitest";
import { channelTagOf } from "#core/rungs";
import { type FileJournal, openJournal } from "#node/journal/journal";
import type { DiskFile, JournalDisk } from "#node/journal/journal-disk";
import { toHex } from "#payment/bytes";
import { Bench, CHANNEL_ID, EVENING_SECONDS } from "../fixtures.ts";

const CUTS = 200;
const QUANTUM = 100;
const PRICE = 400_000;
const UNITS_PER_QUANTUM = 250;
const LOAD_MILLIWATTS = 60_000;

interface Inode {
  bytes: Buffer;
  durable: Buffer;
}

/** Synced bytes and synced names survive a cut; of unsynced bytes at the end, some. */
class CuttableDisk implements JournalDisk {
  private names = new Map<string, Inode>();
  private durableNames = new Map<string, Inode>();
  /** Calls until the power goes; what is asked then is never answered. */
  callsLeft = Infinity;
  calls = 0;

  lock(): () => void {
    return () => {};
  }
  read(path: string): Buffer | null {
    return this.names.get(path)?.bytes ?? null;
  }
  cut(path: string, sizeBytes: number): void {
    const inode = this.names.get(path)!;
    inode.bytes = inode.bytes.subarray(0, sizeBytes);
    inode.durable = inode.bytes;
    this.durableNames.set(path, inode);
  }
  async open(path: string, flags: "r+" | "w"): Promise<DiskFile> {
    await this.powered();
    let inode = this.names.get(path);
    if (inode === undefined || flags === "w") {
      inode = { bytes: Buffer.alloc(0), durable: Buffer.alloc(0) };
      this.names.set(path, inode);
    }
    const file = inode;
    const sync = async () => {
      await this.powered();
      file.durable = Buffer.from(file.bytes);
    };
    return {
      write: async (bytes, offset, length, position) => {
        const grown = Buffer.alloc(Math.max(file.bytes.length, position + length));
        file.bytes.copy(grown);
        grown.set(bytes.subarray(offset, offset + length), position);
        file.bytes = grown;
        await this.powered();
        return { bytesWritten: length };
      },
      datasync: sync,
      sync,
      close: async () => {},
    };
  }
  async rename(from: string, to: string): Promise<void> {
    this.names.set(to, this.names.get(from)!);
    this.names.delete(from);
    await this.powered();
  }
  async syncFolder(): Promise<void> {
    await this.powered();
    this.durableNames = new Map(this.names);
  }

  cutPower(random: () => number): void {
    const left = new Map<string, Inode>();
    for (const [name, { bytes, durable }] of this.durableNames) {
      const unsynced = Math.max(0, bytes.length - durable.length);
      const kept = Buffer.concat([
        durable,
        bytes.subarray(durable.length, durable.length + Math.floor(random() * unsynced)),
      ]);
      left.set(name, { bytes: kept, durable: kept });
    }
    this.names = left;
    this.durableNames = new Map(left);
    this.callsLeft = Infinity;
  }

  private powered(): Promise<void> {
    this.calls++;
    this.callsLeft--;
    return this.callsLeft < 0 ? new Promise(() => {}) : Promise.resolve();
  }
}

describe("a device whose power goes", () => {
  it(`${CUTS} times, at any call of its disk, signs no rung in two ways and never lets its register fall`, async () => {
    let seed = 402;
    const random = () => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return seed / 2 ** 32;
    };
    const disk = new CuttableDisk();
    const signatures = new Map<number, string>();
    const seller = { charged: 0, granted: 0, register: 0, repeats: 0, revision: 0 };
    let energy = 0;
    let elapsedMs = 0;
    let torn = 0;

    for (let cut = 0; cut <= CUTS; cut++) {
      const bench = new Bench();
      bench.clock.startSeconds = EVENING_SECONDS + elapsedMs / 1000;
      let level = 0;
      let sinceMs = 0;
      const meterTo = () => {
        const nowMs = bench.clock.nowMs();
        energy += (LOAD_MILLIWATTS * level * (nowMs - sinceMs)) / 100 / 3_600_000;
        sinceMs = nowMs;
      };
      const journal: FileJournal = openJournal("device.journal", disk);
      disk.callsLeft = cut === CUTS ? Infinity : Math.floor(random() * 6);
      bench.start({
        journal,
        lamp: {
          set: (levelPercent) => {
            meterTo();
            level = levelPercent;
          },
        },
        meter: {
          read: (done) => {
            meterTo();
            done({ raw: Math.floor(energy), powerMilliwatts: level * 600 });
          },
        },
      });
      bench.link(true);
      const { charged, granted } = seller;
      bench.offer({ revision: ++seller.revision, pricePerMillionUnits: PRICE, charged, granted });
      let heard = 0;
      for (let step = 0; step < 100 && disk.callsLeft >= 0; step++) {
        bench.clock.advance(3000);
        // Disk answers are a few turns of the queue away; the clock stands still meanwhile.
        for (let turn = 0; turn < 20; turn++) await Promise.resolve();
        for (const { maxClaimable, signature, register } of bench.pays().slice(heard)) {
          heard++;
          const before = signatures.get(maxClaimable);
          if (before !== undefined) seller.repeats++;
          expect(toHex(signature)).toBe(before ?? toHex(signature));
          signatures.set(maxClaimable, toHex(signature));
          expect(register).toBeGreaterThanOrEqual(seller.register);
          seller.register = register;
          if (maxClaimable === seller.charged + QUANTUM) {
            seller.charged += QUANTUM;
            seller.granted += UNITS_PER_QUANTUM;
          }
          // One answer in four is lost.
          if (random() < 0.75) bench.grant(channelTagOf(CHANNEL_ID), seller.charged, seller.granted);
        }
        meterTo();
        expect(energy).toBeLessThanOrEqual(seller.granted + UNITS_PER_QUANTUM);
      }
      if (disk.callsLeft < 0) torn++;
      elapsedMs += bench.clock.nowMs();
      disk.cutPower(random);
    }
    console.info(
      `${torn} cuts inside a store of ${CUTS}, ${disk.calls} disk calls: ${signatures.size} rungs, ${seller.repeats} sent again`,
    );
    expect(torn).toBeGreaterThan(CUTS / 2);
    expect([...signatures.keys()]).toEqual(Array.from(signatures, (_, i) => (i + 1) * QUANTUM));
    expect(seller.charged).toBe(signatures.size * QUANTUM);
    expect(seller.repeats).toBeGreaterThan(20);
    expect(signatures.size).toBeGreaterThan(CUTS);
  }, 60_000);
});
