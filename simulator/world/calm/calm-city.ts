/**
 * A whole city through calm nights, on all cores.
 *
 * Promise: the sums do not depend on how many workers there are; every light's counters are compared one
 * by one, what the device signed with what the seller charged, what it was credited with what was granted.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { generateCity } from "../../city/generate.ts";
import type { Violation } from "../../fleet/violation.ts";
import { E1_BROKEN, E2_BROKEN, mixed } from "./calm-light.ts";
import { type CalmShare, COUNTERS } from "./calm-share.ts";
import { packCity } from "./packed-city.ts";

export interface CalmCityOptions {
  readonly lights: number;
  readonly nights: number;
  readonly seed: number;
  /** Threads; all cores when absent. */
  readonly workers?: number;
  readonly onProgress?: (lightsDone: number) => void;
}

export interface CalmCityResult {
  readonly events: number;
  readonly purchases: number;
  /** Atomic units. */
  readonly signed: number;
  readonly charged: number;
  /** mWh */
  readonly consumed: number;
  readonly granted: number;
  readonly delivered: number;
  readonly starvedLightSeconds: number;
  readonly violations: readonly Violation[];
  /** 8 hex digits over all lights in their order. */
  readonly traceHash: string;
  readonly peakMiB: number;
}

/** From noon to noon, so that a night is whole at any longitude near the middle of its zone. */
const EPOCH_SECONDS = Date.UTC(2026, 0, 15, 12) / 1000;
const NIGHT_MS = 24 * 3_600_000;
const PRICE_PER_MILLION_UNITS = 200_000;
const WORKERS_MAX = 16;
const LOOK_EVERY_MS = 500;
const VIOLATIONS_MAX = 100;

export async function runCalmCity(options: CalmCityOptions): Promise<CalmCityResult> {
  const city = packCity(generateCity({ lights: options.lights, seed: options.seed }));
  const share: CalmShare = {
    city,
    epochSeconds: EPOCH_SECONDS,
    durationMs: options.nights * NIGHT_MS,
    pricePerMillionUnits: PRICE_PER_MILLION_UNITS,
    next: new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT),
    results: new SharedArrayBuffer(options.lights * COUNTERS.length * Float64Array.BYTES_PER_ELEMENT),
  };
  let peakBytes = process.memoryUsage.rss();
  const next = new Int32Array(share.next);
  const timer = setInterval(() => {
    peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
    options.onProgress?.(Math.min(options.lights, Atomics.load(next, 0)));
  }, LOOK_EVERY_MS);
  try {
    const workers = Math.min(WORKERS_MAX, options.workers ?? availableParallelism());
    await Promise.all(Array.from({ length: workers }, () => runWorker(share)));
  } finally {
    clearInterval(timer);
  }
  peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
  return sumUp(new Float64Array(share.results), options.lights, Math.round(peakBytes / 1_048_576));
}

function runWorker(share: CalmShare): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./calm-worker.mjs", import.meta.url), { workerData: share });
    worker.once("error", reject);
    worker.once("exit", (code) =>
      code === 0 ? resolve() : reject(new Error(`a worker ended with code ${code}`)),
    );
  });
}

/** Adds up and compares the rows of all lights. Exported for the test that bends one number. */
export function sumUp(rows: Float64Array, lights: number, peakMiB: number): CalmCityResult {
  const column = (name: (typeof COUNTERS)[number]) => COUNTERS.indexOf(name);
  const sum = {
    signed: 0,
    charged: 0,
    granted: 0,
    consumed: 0,
    delivered: 0,
    purchases: 0,
    starvedMs: 0,
    events: 0,
  };
  const violations: Violation[] = [];
  let hash = 0;
  for (let nth = 0; nth < lights; nth++) {
    const of = (name: (typeof COUNTERS)[number]) => rows[nth * COUNTERS.length + column(name)]!;
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += of(name);
    hash = mixed(hash, of("hash"));
    if (violations.length < VIOLATIONS_MAX) violations.push(...breachesOf(`light-${nth + 1}`, of));
  }
  return {
    events: sum.events,
    purchases: sum.purchases,
    signed: sum.signed,
    charged: sum.charged,
    consumed: sum.consumed,
    granted: sum.granted,
    delivered: Math.round(sum.delivered),
    starvedLightSeconds: Math.round(sum.starvedMs / 1000),
    violations,
    traceHash: hash.toString(16).padStart(8, "0"),
    peakMiB,
  };
}

function breachesOf(light: string, of: (name: (typeof COUNTERS)[number]) => number): Violation[] {
  const found: Violation[] = [];
  const breach = (invariant: Violation["invariant"], expected: string, actual: string) => {
    found.push({ invariant, light, expected, actual });
  };
  if (of("broken") !== 0) {
    const letter = of("broken") === E1_BROKEN ? "E1" : of("broken") === E2_BROKEN ? "E2" : "M1";
    breach(letter, "to hold at every step", "broken in the night");
  }
  if (of("signed") !== of("charged")) breach("M2", `charged = signed ${of("signed")}`, `${of("charged")}`);
  if (of("credited") !== of("granted"))
    breach("E2", `credited = granted ${of("granted")}`, `${of("credited")}`);
  return found;
}
