/**
 * A Raspberry Pi's memory: the device's journal on a disk that loses power.
 *
 * Promise: everything of disk.ts; the key is beside it, so rungs are signed when they are wanted.
 */
import type { Checkpoint } from "#core/events";
import type { Signer } from "#core/ports";
import { openJournal } from "#node/journal/journal";
import { Faults } from "../engine/faults.ts";
import type { ProcessLifetime } from "../engine/process-lifetime.ts";
import type { World } from "../engine/world.ts";
import { Disk } from "./disk.ts";
import type { Memory, OpenMemory, Recovered } from "./memory.ts";

const JOURNAL = "/var/lib/watt402/device.journal";
const NO_FAULTS = new Faults("none", () => 0);
/** What a memory without a checkpoint recovers to. */
export const NOTHING = "nothing";

export function textOf(checkpoint: Checkpoint | null): string {
  return checkpoint === null ? NOTHING : JSON.stringify(checkpoint);
}

export class DiskMemory implements Memory {
  private readonly world: World;
  private readonly disk: Disk;
  private readonly signer: Signer;

  constructor(world: World, faults: Faults, name: string, signer: Signer) {
    this.world = world;
    this.disk = new Disk(faults, world.stream(`${name} disk`));
    this.signer = signer;
  }

  set onUnsynced(listener: () => void) {
    this.disk.onUnsynced = listener;
  }

  open(life: ProcessLifetime, touched: () => void): OpenMemory {
    const journal = openJournal(JOURNAL, this.disk.mount(life, touched));
    const file = (path: string) => this.disk.keptFile(path, touched);
    return { journal, signer: this.signer, file, follow: () => {} };
  }

  recover(): Recovered {
    const copy = this.disk.copy(NO_FAULTS);
    const once = recoverOn(copy);
    const broken = this.disk.copy(NO_FAULTS);
    return { once, again: recoverOn(copy), interrupted: interruptRecovery(broken) ?? recoverOn(broken) };
  }

  failWithin(ms: number, cut: () => void): void {
    this.world.after(ms, cut);
  }

  cutPower(): void {
    this.disk.cutPower();
  }

  takeImage(): void {
    this.disk.takeImage();
  }

  becomeOldImage(): boolean {
    return this.disk.becomeOldImage();
  }

  flipBit(): boolean {
    return this.disk.flipBit();
  }
}

/** The checkpoint that a disk recovers to, or why it does not. */
function recoverOn(disk: Disk): string {
  try {
    return textOf(
      openJournal(
        JOURNAL,
        disk.mount(QUIET_LIFE, () => {}),
      ).load(),
    );
  } catch (error) {
    return `damaged: ${(error as Error).message}`;
  }
}

/** The power goes while the torn tail is being cut. Null when it did; else recovery never came to that. */
function interruptRecovery(disk: Disk): string | null {
  const mounted = disk.mount(QUIET_LIFE, () => {});
  try {
    openJournal(JOURNAL, {
      ...mounted,
      cut() {
        throw new Error("the power is gone");
      },
    });
  } catch {
    return null;
  }
  return null;
}

/** Recovery is synchronous: nothing of this life ever waits. */
const QUIET_LIFE = {
  later: () => Promise.reject(new Error("recovery waits for nothing")),
} as unknown as ProcessLifetime;
