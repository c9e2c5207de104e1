/**
 * The result of a run of worlds: one JSON document, or the same as lines for people.
 */
import { createHash } from "node:crypto";
import { type Result, resultLines } from "../../result.ts";
import { FAULT_KINDS, type FaultKind } from "../engine/faults.ts";
import type { WorldOutcome } from "./fault-run.ts";
import { type MarketResult, marketLines } from "./price-response.ts";
import { commandOf, DRAWN_LIGHTS, type WorldFlags } from "./world-flags.ts";
import type { JobResult } from "./world-worker.ts";

/** What `--json` prints. */
export interface WorldReport {
  readonly seeds: number;
  readonly lights: number;
  readonly events: number;
  readonly purchases: number;
  readonly violations: readonly WorldViolation[];
  readonly faultKinds: {
    readonly fired: Readonly<Record<string, number>>;
    readonly neverFired: readonly FaultKind[];
  };
  readonly traceHash: string;
  readonly wallMs: number;
  readonly peakMiB: number;
  readonly conserved: boolean;
  /** Of a scenario or city: each world's counters, as a fleet's on real sockets are reported. */
  readonly evenings?: readonly Result[];
  /** Of a scenario with a market: the fleet that answers prices, over the same at a flat price. */
  readonly market?: MarketResult;
}

interface WorldViolation {
  readonly seed: number;
  readonly invariant: string;
  readonly atMs: number;
  readonly told: string;
  readonly replay: string;
}

/** @param results null where a job was not finished. Prints every violation on standard error. */
export function reportOf(
  flags: WorldFlags,
  results: readonly (JobResult | null)[],
  wallMs: number,
): WorldReport {
  const fired = new Map<FaultKind, number>();
  const violations: WorldViolation[] = [];
  const evenings: Result[] = [];
  const hash = createHash("sha256");
  let [events, purchases, worlds, city] = [0, 0, 0, 0];
  let market: MarketResult | null = null;
  let conserved = results.some((result) => result !== null);
  for (const result of results) {
    if (result === null) continue;
    if (result.kind === "failed") throw new Error(result.reason);
    if (result.kind === "city") {
      const { sums } = result;
      events += sums.events;
      purchases += sums.purchases;
      city += sums.lights;
      hash.update(`${sums.digest} ${sums.charged} ${sums.granted}\n`);
      conserved &&= sums.violations.length === 0;
      for (const line of sums.violations) violations.push(cityViolation(flags, line));
      continue;
    }
    const outcomes = result.kind === "market" ? result.outcomes : [result.outcome];
    worlds++;
    for (const outcome of outcomes) {
      events += outcome.events;
      purchases += outcome.purchases;
      hash.update(`${outcome.seed} ${outcome.traceHash}\n`);
      for (const [kind, count] of outcome.fired) fired.set(kind, (fired.get(kind) ?? 0) + count);
      conserved &&= outcome.violation === null && outcome.money.claimed === outcome.money.settled;
      if (outcome.violation !== null) violations.push(worldViolation(flags, outcome));
    }
    if (result.kind === "market") {
      market = result.market;
      city = result.lights;
      continue;
    }
    const { outcome, evening } = result;
    if (evening === null) continue;
    evenings.push(evening);
    conserved &&= evening.conserved;
    if (outcome.violation === null) violations.push(...uncounted(flags, outcome.seed, evening));
  }
  return {
    seeds: worlds === 0 ? Math.min(1, city) : worlds,
    lights: city > 0 ? city : (evenings[0]?.lights ?? flags.lights ?? DRAWN_LIGHTS),
    events,
    purchases,
    violations,
    faultKinds: {
      fired: Object.fromEntries([...fired].sort(([left], [right]) => (left < right ? -1 : 1))),
      neverFired: FAULT_KINDS.filter((kind) => !fired.has(kind)),
    },
    traceHash: hash.digest("hex"),
    wallMs,
    peakMiB: Math.round(process.resourceUsage().maxRSS / 1024),
    conserved,
    ...(evenings.length > 0 ? { evenings } : {}),
    ...(market === null ? {} : { market }),
  };
}

/** Prints the last steps before a violation on standard error, and how to see it again. */
function worldViolation(flags: WorldFlags, { seed, violation, latest }: WorldOutcome): WorldViolation {
  const { invariant, atMs, told: text } = violation!;
  const replay = commandOf(flags, seed);
  const story = latest.map((line) => `  ${line}`).join("\n");
  process.stderr.write(`seed ${seed} broke ${invariant}: ${text}\n${story}\nreplay: ${replay}\n`);
  return { seed, invariant, atMs, told: text, replay };
}

function uncounted(flags: WorldFlags, seed: number, { violations }: Result): WorldViolation[] {
  const replay = commandOf(flags, seed);
  return violations.map(({ invariant, light, expected, actual }) => {
    const text = `${light}: expected ${expected}, found ${actual}`;
    process.stderr.write(`seed ${seed} broke ${invariant}: ${text}\nreplay: ${replay}\n`);
    return { seed, invariant, atMs: 0, told: text, replay };
  });
}

function cityViolation(flags: WorldFlags, text: string): WorldViolation {
  const [invariant, rest] = [text.slice(0, 2), text.slice(3).trim()];
  const seed = flags.seed ?? 1;
  const replay = commandOf(flags, seed);
  process.stderr.write(`${text}\nreplay: ${replay}\n`);
  return { seed, invariant, atMs: 0, told: rest, replay };
}

export function worldLines(report: WorldReport): string[] {
  const { fired, neverFired } = report.faultKinds;
  const kinds = Object.entries(fired).map(([kind, count]) => `  ${kind.padEnd(22)} ${count}`);
  const [evening, ...others] = report.evenings ?? [];
  const faults =
    kinds.length === 0
      ? ["no fault struck"]
      : [
          `faults that struck, ${kinds.length} kinds:`,
          ...kinds,
          `never struck: ${neverFired.join(", ") || "none"}`,
        ];
  return [
    `${report.seeds} ${report.seeds === 1 ? "world" : "worlds"} of ${report.lights} lights: ${report.events} events, ${report.purchases} purchases, in ${(report.wallMs / 1000).toFixed(1)} s and ${report.peakMiB} MiB`,
    ...(evening === undefined ? [] : ["", ...resultLines(evening), ""]),
    ...(report.market === undefined ? [] : ["", ...marketLines(report.market), ""]),
    ...(others.length > 0 ? [`and ${others.length} more worlds like this one`, ""] : []),
    ...faults,
    `trace ${report.traceHash}`,
    report.violations.length === 0
      ? `No invariant broke; ${report.conserved ? "every counter reconciles." : "counters do not reconcile."}`
      : `BROKEN: ${report.violations.map(({ seed, invariant }) => `${invariant} in seed ${seed}`).join(", ")}`,
  ];
}
