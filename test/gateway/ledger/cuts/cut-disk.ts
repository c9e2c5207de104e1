// A real disk that keeps what would lie on it if the process, or the power, were gone at each single step: before it,
// after it, and half-way through a write.

import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type DiskFile, type SegmentDisk, segmentDisk } from "#gateway/ledger/journal/segment-disk";

/** Files by name, as they lie there at one moment. */
type Lying = ReadonlyMap<string, Buffer>;

/** How it may have ended. */
export const ENDS = ["killed", "powerless"] as const;

export interface Cut {
  /** The step, and where in it. */
  readonly where: string;
  /** What the kernel has: a killed process leaves it. */
  readonly killed: Lying;
  /** What was flushed: a power cut leaves no less. Removals that no flush of the folder followed are undone. */
  readonly powerless: Lying;
  /** What was acknowledged by then. */
  readonly acknowledged: readonly number[];
}

export interface CutDisk extends SegmentDisk {
  readonly cuts: readonly Cut[];
}

/** @param others files that are kept beside the journal's, in the order of copying  @param acknowledged until now */
export function cutDisk(
  folder: string,
  others: readonly string[],
  acknowledged: () => readonly number[],
): CutDisk {
  const cuts: Cut[] = [];
  /** What is flushed of each file; without an entry its name is not. */
  const flushed = new Map<string, Buffer>();
  const unnamed = new Map<string, Buffer>();
  const contentOf = (name: string) => segmentDisk.read(join(folder, name));

  function keep(where: string): void {
    const beside = new Map(others.flatMap((name) => [[name, contentOf(name)] as const]));
    const lying = segmentDisk.names(folder).filter((name) => name.endsWith(".journal"));
    const whole = new Map(lying.map((name) => [name, readFileSync(join(folder, name))] as const));
    const all = (files: Lying): Lying => {
      const present = [...beside].flatMap(([name, bytes]) =>
        bytes === null ? [] : [[name, bytes] as const],
      );
      return new Map([...present, ...files]);
    };
    cuts.push({
      where,
      killed: all(whole),
      powerless: all(new Map(flushed)),
      acknowledged: [...acknowledged()],
    });
  }

  async function step<Result>(where: string, work: () => Promise<Result>): Promise<Result> {
    keep(`before ${where}`);
    const result = await work();
    keep(`after ${where}`);
    return result;
  }

  const watched = (file: DiskFile, name: string): DiskFile => ({
    write: (bytes, offset, length, position) =>
      // A disk may take a part and be asked for the rest.
      step(`writing ${name}`, () => file.write(bytes, offset, Math.max(1, length >> 1), position)),
    datasync: () =>
      step(`flushing ${name}`, async () => {
        const bytes = contentOf(name)!;
        await file.datasync();
        (flushed.has(name) ? flushed : unnamed).set(name, bytes);
      }),
    sync: () => file.sync(),
    close: () => step(`closing ${name}`, () => file.close()),
  });

  return {
    ...segmentDisk,
    cuts,
    open(path, flags) {
      const name = basename(path);
      return step(`creating ${name}`, async () => {
        const file = await segmentDisk.open(path, flags);
        unnamed.set(name, Buffer.alloc(0));
        return watched(file, name);
      });
    },
    syncFolder: (path) =>
      step("flushing the folder", async () => {
        await segmentDisk.syncFolder(path);
        const names = new Set(segmentDisk.names(path));
        for (const name of [...flushed.keys()]) if (!names.has(name)) flushed.delete(name);
        for (const [name, bytes] of unnamed) if (names.has(name)) flushed.set(name, bytes);
        unnamed.clear();
      }),
    remove: (path) => step(`removing ${basename(path)}`, () => segmentDisk.remove(path)),
  };
}

/** Lays the files of a moment into an empty folder. */
export function lay(folder: string, files: Lying): void {
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes);
}
