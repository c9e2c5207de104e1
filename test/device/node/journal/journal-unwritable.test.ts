import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Checkpoint } from "#core/events";
import { type FileJournal, openJournal, peekJournal } from "#node/journal/journal";
import { type JournalDisk, machineDisk } from "#node/journal/journal-disk";
import { encodeRecord } from "#node/journal/journal-records";
import { checkpointOf } from "./checkpoints.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "journal-"));
  path = join(folder, "device.journal");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** This machine's disk, with every write refused while `code` is set. */
function refusing(code: string | null) {
  const fault = { code };
  const refuse = () => {
    if (fault.code !== null) throw Object.assign(new Error(`${fault.code}: refused`), { code: fault.code });
  };
  const disk: JournalDisk = {
    ...machineDisk,
    lock: (lockPath) => {
      refuse();
      return machineDisk.lock(lockPath);
    },
    cut: (cutPath, sizeBytes) => {
      refuse();
      machineDisk.cut(cutPath, sizeBytes);
    },
    open: async (openPath, flags) => {
      refuse();
      return machineDisk.open(openPath, flags);
    },
  };
  return { disk, fault };
}

function store(journal: FileJournal, checkpoint: Checkpoint): Promise<string | null> {
  return new Promise((resolve) => journal.store(checkpoint, resolve));
}

async function written(...totals: number[]): Promise<void> {
  const journal = openJournal(path);
  for (const total of totals) expect(await store(journal, checkpointOf(total))).toBeNull();
  await journal.close();
}

describe("a journal on a disk that cannot be written", () => {
  it.each([
    ["EROFS", "mounted read-only"],
    ["ENOSPC", "the disk is full"],
    ["EIO", "replace it"],
    ["EACCES", "the folder must belong to it"],
  ])(
    "is read all the same on %s, says why nothing is stored, and stores once it can",
    async (code, remedy) => {
      await written(1, 2);
      const { disk, fault } = refusing(code);
      const journal = openJournal(path, disk);
      expect(journal.load()).toEqual(checkpointOf(2));
      const reported = await store(journal, checkpointOf(3));
      expect(reported).toContain(`${path}: `);
      expect(reported).toContain(code);
      expect(reported).toContain(remedy);
      fault.code = null;
      expect(await store(journal, checkpointOf(4))).toBeNull();
      expect(() => openJournal(path)).toThrow("expected no other process");
      await journal.close();
      expect(peekJournal(path)).toEqual(checkpointOf(4));
    },
  );

  it("is read with a torn end that it could not cut, and begins a new file behind it", async () => {
    await written(1, 2);
    writeFileSync(path, Buffer.concat([readFileSync(path), encodeRecord("torn").subarray(0, 9)]));
    const { disk, fault } = refusing("EROFS");
    const journal = openJournal(path, disk);
    expect(journal.load()).toEqual(checkpointOf(2));
    fault.code = null;
    expect(await store(journal, checkpointOf(3))).toBeNull();
    await journal.close();
    expect(peekJournal(path)).toEqual(checkpointOf(3));
  });

  it("stores nothing over what another process wrote in the meantime", async () => {
    await written(1);
    const { disk, fault } = refusing("EROFS");
    const late = openJournal(path, disk);
    await written(7);
    fault.code = null;
    expect(await store(late, checkpointOf(2))).toContain("another process wrote it; restart");
    await late.close();
    expect(peekJournal(path)).toEqual(checkpointOf(7));
  });
});
