import { spawn } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Checkpoint } from "#core/events";
import { readCheckpoint } from "#node/journal/checkpoint";
import { COMPACT_BYTES, type FileJournal, openJournal } from "#node/journal/journal";
import { encodeRecord, MAGIC, readRecords } from "#node/journal/journal-records";
import { checkpointOf } from "./checkpoints.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "journal-"));
  path = join(folder, "device.journal");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function store(journal: FileJournal, checkpoint: Checkpoint): Promise<string | null> {
  return new Promise((resolve) => journal.store(checkpoint, resolve));
}

async function written(totals: readonly number[]): Promise<void> {
  const journal = openJournal(path);
  for (const total of totals) expect(await store(journal, checkpointOf(total))).toBeNull();
  await journal.close();
}

async function reopened(): Promise<Checkpoint | null> {
  const journal = openJournal(path);
  await journal.close();
  return journal.load();
}

describe("a journal", () => {
  it("is new-born without a file, and remembers the latest checkpoint it stored", async () => {
    expect(await reopened()).toBeNull();
    await written([1, 2, 3]);
    expect(await reopened()).toEqual(checkpointOf(3));
    await written([4]);
    expect(await reopened()).toEqual(checkpointOf(4));
  });

  it("stays below its bound however often it is written, and loses nothing when rewritten", async () => {
    const journal = openJournal(path);
    let largest = 0;
    for (let total = 1; total <= 400; total++) {
      expect(await store(journal, checkpointOf(total))).toBeNull();
      largest = Math.max(largest, statSync(path).size);
    }
    await journal.close();
    expect(largest).toBeLessThanOrEqual(COMPACT_BYTES);
    expect(largest).toBeGreaterThan(COMPACT_BYTES / 2);
    expect(await reopened()).toEqual(checkpointOf(400));
    expect(readdirSync(folder)).toEqual(["device.journal"]);
  });

  it("falls back to the checkpoint before, wherever in its last record the power went", async () => {
    await written([1, 2]);
    const before = statSync(path).size;
    await written([3]);
    const whole = readFileSync(path);
    for (let size = before; size < whole.length; size++) {
      writeFileSync(path, whole.subarray(0, size));
      expect(await reopened()).toEqual(checkpointOf(2));
      expect(statSync(path).size).toBe(before);
    }
  });

  it("goes on behind a torn end that it cut", async () => {
    await written([1, 2]);
    truncateSync(path, statSync(path).size - 1);
    await written([5]);
    expect(await reopened()).toEqual(checkpointOf(5));
  });

  it("takes an end of zeros for torn, as a file system leaves it", async () => {
    await written([1]);
    writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.alloc(4096)]));
    expect(await reopened()).toEqual(checkpointOf(1));
  });

  it("stops at every single bit that flips before its last record, and says where", async () => {
    await written([1, 2, 3]);
    const whole = readFileSync(path);
    const last = whole.length - encodeRecord(JSON.stringify(checkpointOf(3))).length;
    for (let bit = 0; bit < last * 8; bit++) {
      const bent = Buffer.from(whole);
      bent[bit >> 3] = bent[bit >> 3]! ^ (1 << (bit & 7));
      expect(readRecords(bent).kind).toBe("damaged");
    }
    const bent = Buffer.from(whole);
    bent[MAGIC.length + 20] = 0;
    writeFileSync(path, bent);
    expect(() => openJournal(path)).toThrow(
      new RegExp(`^${path}: expected a record at byte ${MAGIC.length}, found .*; restore the file`),
    );
    // A journal that would not open left no lock behind.
    expect(readdirSync(folder)).toEqual(["device.journal"]);
  });

  it.each([
    ["an empty file", ""],
    ["another program's file", '{"register":1}\n'],
    ["a first line and nothing else", MAGIC.toString()],
  ])("does not take %s for a new-born device", (_name, content) => {
    writeFileSync(path, content);
    expect(() => openJournal(path)).toThrow(/expected a record at byte \d+, found no/);
  });

  it("refuses a whole record that is no checkpoint, naming the member", () => {
    const strange = { ...checkpointOf(1), budget: { day: -1, spentBefore: 0, signedAtStart: 0 } };
    writeFileSync(path, Buffer.concat([MAGIC, encodeRecord(JSON.stringify(strange))]));
    expect(() => openJournal(path)).toThrow("budget.day");
    expect(() => readCheckpoint(JSON.stringify({ ...checkpointOf(1), more: 1 }))).toThrow("more");
  });

  it("takes one store at a time", async () => {
    const journal = openJournal(path);
    const answers = await Promise.all([store(journal, checkpointOf(1)), store(journal, checkpointOf(2))]);
    expect(answers[0]).toBeNull();
    expect(answers[1]).toContain("busy");
    await journal.close();
    expect(await store(journal, checkpointOf(3))).toContain("closed");
    expect(await reopened()).toEqual(checkpointOf(1));
  });

  it("says that a store failed, and begins a new file once the disk is back", async () => {
    expect(() => openJournal(join(folder, "away", "device.journal"))).toThrow("ENOENT");

    const journal = openJournal(path);
    mkdirSync(`${path}.new`);
    expect(await store(journal, checkpointOf(1))).toContain(`${path}: EISDIR`);
    expect(await store(journal, checkpointOf(2))).toContain("EISDIR");
    rmdirSync(`${path}.new`);
    expect(await store(journal, checkpointOf(3))).toBeNull();
    await journal.close();
    expect(await reopened()).toEqual(checkpointOf(3));
  });

  it("reads back the latest record of any sequence, and never throws on any bytes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ minLength: 1 }), { minLength: 1 }),
        fc.uint8Array({ maxLength: 64 }),
        (texts, tail) => {
          const good = Buffer.concat([MAGIC, ...texts.map(encodeRecord)]);
          const latest = Buffer.from(texts.at(-1)!).toString("utf8");
          expect(readRecords(good)).toEqual({ kind: "good", latest, goodBytes: good.length });
          expect(readRecords(Buffer.concat([good, tail]))).toMatchObject({ kind: "good", latest });
          expect(["good", "damaged"]).toContain(readRecords(Buffer.from(tail)).kind);
        },
      ),
    );
  });
});

describe("a journal's lock", () => {
  it("keeps a second writer out and names the first", async () => {
    const journal = openJournal(path);
    expect(() => openJournal(path)).toThrow(`expected no other process, found process ${process.pid}`);
    await journal.close();
    await openJournal(path).close();
  });

  it.each([
    ["a process that is gone", () => `4194303 1 ${bootId()}\n`],
    ["a process whose number has a new owner", () => `${process.pid} 1 ${bootId()}\n`],
    ["an earlier boot", () => `${process.pid} ${startTicks()} 00000000-0000-0000-0000-000000000000\n`],
    ["a cut before it was written", () => ""],
  ])("of %s is stale and taken over", async (_name, content) => {
    writeFileSync(`${path}.lock`, content());
    await written([1]);
    expect(readdirSync(folder)).toEqual(["device.journal"]);
  });

  it("of a living process is respected", () => {
    writeFileSync(`${path}.lock`, `${process.pid} ${startTicks()} ${bootId()}\n`);
    expect(() => openJournal(path)).toThrow("stop it first");
  });
});

describe("a writer killed twenty times", () => {
  it("never loses a checkpoint that it said was safe", async () => {
    const script = join(folder, "writer.mjs");
    const entry = new URL("journal-writer.ts", import.meta.url).pathname;
    await build({ entryPoints: [entry], outfile: script, bundle: true, platform: "node", format: "esm" });
    chmodSync(script, 0o600);
    let said = 0;
    for (let kill = 0; kill < 20; kill++) {
      said = Math.max(said, await runAndKill(script, 1 + ((kill * 7) % 40)));
      const kept = (await reopened())!.register.total;
      // At most the one store under way when the kill came may be there unsaid.
      expect(kept).toBeGreaterThanOrEqual(said);
      expect(kept).toBeLessThanOrEqual(said + 1);
      said = kept;
    }
    expect(said).toBeGreaterThan(100);
  });
});

/** Runs the writer until it said so many stores, and kills it at once; resolves to the last one it said. */
function runAndKill(script: string, stores: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const writer = spawn(process.execPath, [script, path], { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    writer.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (said.split("\n").length > stores) writer.kill("SIGKILL");
    });
    writer.on("error", reject);
    writer.on("close", () => resolve(Number(said.slice(0, said.lastIndexOf("\n")).split("\n").at(-1))));
  });
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

function startTicks(): string {
  const stat = readFileSync("/proc/self/stat", "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]!;
}
