/**
 * CPU time as a meter, in milliseconds, and the command's processes as its load.
 *
 * Promise: the counter goes on over restarts as kept-counter.ts says, and shows what the kernel counted, rounded down.
 */
import { join } from "node:path";
import type { Quality, Reading } from "#core/events";
import type { Clock } from "#core/ports";
import type { LampDriver } from "../lamps/lamp-driver.ts";
import type { MeterDriver } from "../meters/meter-driver.ts";
import { KeptCounter } from "../meters/pulse/kept-counter.ts";
import type { ProcessGroup } from "./process-group.ts";

const MS_PER_HOUR = 3_600_000;

/** The rate shown is that of at least so much time, milliseconds: the kernel counts in ticks. */
const RATE_MS = 200;

export class ProcessMeter implements MeterDriver {
  readonly name = "cpu time";
  readonly location: string;
  readonly rollOverAt = 0;
  readonly #group: ProcessGroup;
  readonly #clock: Clock;
  readonly #counter: KeptCounter;
  #usedMs = 0;
  #rate = { atMs: 0, usedMs: 0, perHour: 0 };
  #quality: Quality = { kind: "stale", reason: "not read yet" };

  /** @param perHourMax CPU milliseconds that the machine can use in an hour */
  constructor(group: ProcessGroup, clock: Clock, stateDirectory: string, perHourMax: number) {
    this.#group = group;
    this.#clock = clock;
    this.location = group.location;
    this.#counter = new KeptCounter(join(stateDirectory, "meter.counter"), perHourMax);
  }

  read(done: (reading: Reading | null) => void): void {
    this.#count();
    const raw = this.#counter.shown();
    done({ raw, powerMilliwatts: Math.round(this.#rate.perHour), quality: this.#quality });
  }

  quality(): Quality {
    return this.#quality;
  }

  notes(): readonly string[] {
    return [];
  }

  async close(): Promise<void> {
    this.#count();
    await this.#counter.close();
  }

  #count(): void {
    try {
      const usedMs = this.#group.usedMs();
      this.#counter.add(Math.max(0, usedMs - this.#usedMs));
      this.#usedMs = usedMs;
      this.#lookAtRate(usedMs);
      const trouble = this.#counter.trouble();
      this.#quality = trouble === null ? { kind: "good" } : { kind: "stale", reason: trouble };
    } catch (error) {
      this.#quality = { kind: "stale", reason: (error as Error).message };
    }
  }

  #lookAtRate(usedMs: number): void {
    const nowMs = this.#clock.nowMs();
    const passedMs = nowMs - this.#rate.atMs;
    if (passedMs < RATE_MS) return;
    const perHour = ((usedMs - this.#rate.usedMs) * MS_PER_HOUR) / passedMs;
    this.#rate = { atMs: nowMs, usedMs, perHour };
  }
}

/** What lets the processes run. */
export function processLoad(group: ProcessGroup): LampDriver {
  return {
    name: group.location,
    afterDeath: "is ended with the process",
    apply(levelPercent) {
      group.allow(levelPercent);
      return undefined;
    },
    probe: async () => [`${group.alive()} processes`],
    close: async () => {},
  };
}
