/** What every meter test needs: context, a read that waits, and waiting for what must come. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Reading } from "#core/events";
import type { Meter } from "#core/ports";
import type { MeterContext } from "#hardware/meters/open-meter";
import { systemClock } from "#node/clock";

export function context(change: Partial<MeterContext> = {}): MeterContext {
  return {
    clock: systemClock(),
    powerMaxMilliwatts: 100_000,
    stateDirectory: null,
    sysfsRoot: "/nowhere",
    simulatedLamp: null,
    ...change,
  };
}

export function readOnce(meter: Meter): Promise<Reading | null> {
  return new Promise((resolve) => meter.read(resolve));
}

export function reasonOf(reading: Reading | null): string {
  return reading?.quality === undefined || reading.quality.kind === "good" ? "good" : reading.quality.reason;
}

export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  limitMs = 5000,
): Promise<void> {
  const endMs = Date.now() + limitMs;
  while (!(await holds())) {
    if (Date.now() > endMs) throw new Error(`expected ${what} within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function temporaryFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "meter-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
