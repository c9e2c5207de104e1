// The journal: what was acknowledged is read back, in order, after any end; what failed fails alone.

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Journal, JournalFull, readJournal } from "#gateway/ledger/journal/append-journal";
import { groupOf, readSegment } from "#gateway/ledger/journal/segment";
import { type Step, type TroubledDisk, troubledDisk } from "./cuts/troubled-disk.ts";

let folder: string;
let disk: TroubledDisk;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "watt402-journal-"));
  disk = troubledDisk();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (options: object = {}) => new Journal({ folder, name: "charges", disk, ...options });
const entry = (text: string) => Buffer.from(text);
const lying = () => readJournal(folder, "charges").entries.map(({ bytes }) => bytes.toString());
const segments = () => readdirSync(folder).filter((name) => name.endsWith(".journal"));

test("what resolved is on the disk, in order, in files that only their owner reads", async () => {
  const umask = process.umask(0);
  const journal = open();
  await Promise.all(["a", "b", "c"].map((text) => journal.append(entry(text))));
  process.umask(umask);
  expect(journal.groups).toBe(1);
  expect(lying()).toEqual(["a", "b", "c"]);
  for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
  await journal.close();
  const again = open();
  expect(again.found.map(({ bytes }) => bytes.toString())).toEqual(["a", "b", "c"]);
  await again.close();
});

test("while a flush takes its time the event loop goes on, and all that comes shares the next flush", async () => {
  const journal = open();
  const release = disk.hold("datasync");
  const first = journal.append(entry("first"));
  await disk.held();
  const rest = Array.from({ length: 1_000 }, (_, index) => journal.append(entry(`${index}`)));
  for (let turns = 0; turns < 1_000; turns += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(journal.groups).toBe(0);
  release();
  await Promise.all([first, ...rest]);
  expect(journal.groups).toBe(2);
  expect(lying()).toHaveLength(1_001);
  await journal.close();
});

test.each<[Step, string]>([
  ["open", "EMFILE"],
  ["syncFolder", "EIO"],
  ["write", "ENOSPC"],
  ["datasync", "EIO"],
])(
  "a failing %s (%s) fails what was in it and nothing after, under load and without a restart",
  async (step, code) => {
    const journal = open({ segmentBytesMax: 64 });
    const acknowledged: string[] = [];
    const refused: string[] = [];
    let number = 0;
    const load = async (rounds: number) => {
      for (let round = 0; round < rounds; round += 1) {
        const texts = Array.from({ length: 5 }, () => `entry ${number++}`);
        const results = await Promise.allSettled(texts.map((text) => journal.append(entry(text))));
        results.forEach((result, index) => {
          (result.status === "fulfilled" ? acknowledged : refused).push(texts[index]!);
          if (result.status === "rejected") expect(result.reason.code).toBe(code);
        });
      }
    };
    await load(3);
    disk.fail(step, code);
    await load(3);
    disk.fail(step, null);
    expect(refused).toHaveLength(15);
    await load(3);
    expect(acknowledged).toHaveLength(30);
    await journal.close();
    const found = lying();
    expect(found.filter((text) => acknowledged.includes(text))).toEqual(acknowledged);
    expect(segments().length).toBeLessThan(20);
  },
);

test("a failed removal or close loses nothing and is made up for", async () => {
  const journal = open();
  await journal.append(entry("kept"));
  disk.fail("remove", "EIO");
  disk.fail("close", "EIO");
  const through = await journal.seal();
  await expect(journal.remove(through)).rejects.toThrow("EIO");
  disk.fail("remove", null);
  disk.fail("close", null);
  await journal.append(entry("next"));
  await journal.remove(through);
  expect(lying()).toEqual(["next"]);
  await journal.close();
});

test("sealing under load parts what came before from what comes after, and removes no entry of the latter", async () => {
  const journal = open();
  const places: number[] = [];
  const load = (async () => {
    for (let index = 0; index < 200; index += 1) places.push(await journal.append(entry(`${index}`)));
  })();
  while (places.length < 50) await new Promise((resolve) => setImmediate(resolve));
  const before = places.length;
  const through = await journal.seal();
  await load;
  expect(places.slice(0, before).every((segment) => segment <= through)).toBe(true);
  expect(places.at(-1)).toBeGreaterThan(through);
  await journal.remove(through);
  const kept = places.flatMap((segment, index) => (segment > through ? [`${index}`] : []));
  expect(lying()).toEqual(kept);
  await journal.close();
});

test("what is appended while a sealed segment is still being closed is not taken for a part of it", async () => {
  const journal = open();
  await journal.append(entry("before"));
  const release = disk.hold("close");
  const sealing = journal.seal();
  const after = await journal.append(entry("after"));
  release();
  const through = await sealing;
  expect(after).toBeGreaterThan(through);
  await journal.remove(through);
  expect(lying()).toEqual(["after"]);
  await journal.close();
});

test("a full queue and a full journal refuse by name and take again", async () => {
  const journal = open({ queuedMax: 2, bytesMax: 40 });
  const taken = [journal.append(entry("a")), journal.append(entry("b"))];
  await expect(journal.append(entry("c"))).rejects.toBeInstanceOf(JournalFull);
  await Promise.all(taken);
  await journal.append(entry("x".repeat(30)));
  expect(journal.isFull).toBe(true);
  await expect(journal.append(entry("d"))).rejects.toThrow("bytes of at most 40");
  await journal.remove(await journal.seal());
  await journal.append(entry("d"));
  expect(lying()).toEqual(["d"]);
  await journal.close();
});

test("a second process is refused by name while the first one has it", async () => {
  const journal = open();
  expect(() => open()).toThrow(`expected no other process, found process ${process.pid}`);
  await journal.close();
  await open().close();
});

const GROUPS = fc.array(
  fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 5 }),
  {
    minLength: 1,
    maxLength: 6,
  },
);

test("any prefix of a segment gives the entries of its whole groups, and nothing else", () => {
  fc.assert(
    fc.property(GROUPS, fc.nat(), (groups, cut) => {
      const written = groups.map(groupOf);
      const bytes = Buffer.concat(written);
      const length = cut % (bytes.length + 1);
      let end = 0;
      const whole = groups.filter((_, index) => {
        end += written[index]!.length;
        return end <= length;
      });
      const { entries, damagedBytes } = readSegment(bytes.subarray(0, length));
      expect(entries.map((one) => [...one])).toEqual(whole.flat().map((one) => [...one]));
      expect(damagedBytes).toBe(0);
    }),
    { numRuns: 2_000 },
  );
});

test("bytes that the disk changed spoil at most their group, its length nothing, and are reported", () => {
  fc.assert(
    fc.property(
      GROUPS,
      fc.nat(),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (groups, which, where, flip) => {
        const written = groups.map(groupOf);
        const bad = which % groups.length;
        const size = written[bad]!.length;
        const at = where % size;
        written[bad]![at]! ^= flip;
        const { entries, damagedBytes } = readSegment(Buffer.concat(written));
        // The checksum finds where a group ends whose length was changed.
        const isLength = at < 4;
        const whole = groups.filter((_, index) => isLength || index !== bad).flat();
        expect(entries.map((one) => [...one])).toEqual(whole.map((one) => [...one]));
        // A last group that is wrong looks like one that a power cut tore.
        expect(damagedBytes).toBe(isLength ? 4 : bad === groups.length - 1 ? 0 : size);
      },
    ),
    { numRuns: 2_000 },
  );
});

test("a stretch that the disk lost, over lengths and checksums of several groups, costs those and no other", () => {
  fc.assert(
    fc.property(GROUPS, GROUPS, GROUPS, fc.nat(), fc.boolean(), (before, lost, after, from, isZero) => {
      const [head, middle, tail] = [before, lost, after].map((groups) => Buffer.concat(groups.map(groupOf)));
      // All of the middle but a piece of its last group, as a sector begins and ends where it likes.
      const kept = from % groupOf(lost.at(-1)!).length;
      const checksum = middle!.readUInt32LE(4);
      middle!.fill(isZero ? 0 : 0xa5, 0, Math.max(5, middle!.length - kept));
      // A checksum that held the filling's bytes already is not lost, and finds its group.
      fc.pre(middle!.readUInt32LE(4) !== checksum);
      const { entries, damagedBytes } = readSegment(Buffer.concat([head!, middle!, tail!]));
      expect(entries.map((one) => [...one])).toEqual([...before, ...after].flat().map((one) => [...one]));
      expect(damagedBytes).toBe(middle!.length);
    }),
    { numRuns: 1_000 },
  );
});

test("a tail that is no torn group is reported", () => {
  const [first, second, third] = ["a", "b", "c"].map((text) => groupOf([entry(text)]));
  second!.fill(0xa5, 0, 8);
  third!.fill(0xa5, 4);
  second!.writeUInt32LE(2, 0);
  const bytes = Buffer.concat([first!, second!, third!]);
  expect(readSegment(bytes)).toEqual({ entries: [entry("a")], damagedBytes: second!.length + third!.length });
});

test("eight megabytes of anything are searched through in a moment", () => {
  const good = groupOf([entry("found")]);
  for (const filling of [
    Buffer.from([1, 0, 0, 0]),
    Buffer.from([0]),
    Buffer.from('{"a":[0,1]}'),
    Buffer.from([255, 0, 7]),
  ]) {
    const bytes = Buffer.concat([Buffer.alloc(8 * 1024 * 1024, filling), good]);
    const before = performance.now();
    expect(readSegment(bytes).entries).toEqual([entry("found")]);
    expect(performance.now() - before).toBeLessThan(15_000);
  }
});

test("zeros behind the last group, as a power cut leaves them, are no group", () => {
  const bytes = Buffer.concat([groupOf([entry("a")]), Buffer.alloc(100)]);
  expect(readSegment(bytes)).toEqual({ entries: [entry("a")], damagedBytes: 0 });
});

test("a torn segment and one behind it are both read", async () => {
  const journal = open();
  await journal.append(entry("whole"));
  await journal.close();
  const [torn] = segments();
  const bytes = readFileSync(join(folder, torn!));
  writeFileSync(join(folder, torn!), Buffer.concat([bytes, bytes.subarray(0, 7)]));
  const again = open();
  await again.append(entry("next"));
  await again.close();
  expect(lying()).toEqual(["whole", "next"]);
});
