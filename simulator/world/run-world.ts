/**
 * `watt402-simulate world`: whole nights in virtual time, seed by seed, or a fault-free city at once.
 *
 * Promise: the result on standard output, progress and stories on standard error; exit code 0 only when no
 * invariant broke and every counter reconciled. Interrupted, it tells what was done so far.
 */
import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { hireCrew } from "./crew.ts";
import { FAULT_KINDS, type FaultChoice, type FaultKind, readFaultChoice } from "./faults.ts";
import type { Verdict } from "./night.ts";
import type { Job, JobResult } from "./world-worker.ts";

interface Flags {
  readonly seed?: number;
  readonly seeds?: number;
  readonly lights: number;
  readonly nights: number;
  readonly faults: FaultChoice;
  readonly signing: "stand-in" | "real";
  readonly workers: number;
  readonly json?: true;
}

/** What `--json` prints. */
export interface WorldReport {
  readonly seeds: number;
  readonly lights: number;
  readonly events: number;
  readonly purchases: number;
  readonly violations: readonly Violation[];
  readonly faultKinds: {
    readonly fired: Readonly<Record<string, number>>;
    readonly neverFired: readonly FaultKind[];
  };
  readonly traceHash: string;
  readonly wallMs: number;
  readonly peakMiB: number;
  readonly conserved: boolean;
}

interface Violation {
  readonly seed: number;
  readonly invariant: string;
  readonly atMs: number;
  readonly told: string;
  readonly replay: string;
}

/** Fault-free worlds of more lights than this take the fast path. */
const FAST_ABOVE_LIGHTS = 256;
/** Lights of one job on the fast path. */
const CITY_CHUNK = 5000;
const PROGRESS_MS = 2000;

/** Runs the sub-command; resolves with the exit code. */
export async function runWorld(argv: readonly string[]): Promise<number> {
  let flags: Flags;
  try {
    flags = readFlags(argv);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    throw error;
  }
  const startedAtMs = Date.now();
  const jobs = jobsOf(flags);
  const crew = hireCrew(flags.workers);
  const interrupt = () => {
    process.stderr.write("\ninterrupted: what follows is what was done so far\n");
    crew.stop();
  };
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  let toldAtMs = startedAtMs;
  const results = await crew.work(jobs, (finished) => {
    if (Date.now() - toldAtMs < PROGRESS_MS) return;
    toldAtMs = Date.now();
    process.stderr.write(`${finished} of ${jobs.length} done\n`);
  });
  process.off("SIGINT", interrupt);
  process.off("SIGTERM", interrupt);
  const report = reportOf(flags, results, Date.now() - startedAtMs);
  if (flags.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else process.stdout.write(`${linesOf(report).join("\n")}\n`);
  const isWhole = results.every((result) => result !== null);
  return report.conserved && report.violations.length === 0 && isWhole ? 0 : 1;
}

function readFlags(argv: readonly string[]): Flags {
  const command = new Command("watt402-simulate world")
    .description(
      "Whole nights in virtual time, with everything going wrong, judged from physics, wire, disks and chain.",
    )
    .option("--seed <number>", "one world", whole(0, 4_294_967_295))
    .option("--seeds <number>", "so many worlds, from seed 1", whole(1, 1_000_000))
    .option("--lights <number>", "lights in each world", whole(1, 10_000_000), 8)
    .option("--nights <number>", "nights of 14 hours", whole(1, 366), 1)
    .option("--faults <kinds>", "all, none, or kinds between commas", faultChoice, "all" as FaultChoice)
    .option("--signing <how>", "stand-in or real secp256k1", signing, "stand-in")
    .option("--workers <number>", "worlds at once", whole(1, 64), Math.max(1, availableParallelism()))
    .option("--json", "print the result as one JSON document")
    .addHelpText("after", `\nKinds of faults: ${FAULT_KINDS.join(", ")}`)
    .allowExcessArguments(false)
    .exitOverride();
  command.parse([...argv], { from: "user" });
  const flags = command.opts<Flags>();
  if (flags.seed !== undefined && flags.seeds !== undefined) {
    command.error("error: expected --seed or --seeds, found both", { exitCode: 1 });
  }
  return flags;
}

function jobsOf({ seed, seeds, lights, nights, faults, signing: how }: Flags): Job[] {
  const numbers = seed === undefined ? Array.from({ length: seeds ?? 1 }, (_, index) => index + 1) : [seed];
  if (faults !== "none" || lights <= FAST_ABOVE_LIGHTS) {
    return numbers.map((number) => ({
      kind: "night",
      options: { seed: number, lights, nights, faults, signing: how },
    }));
  }
  return numbers.flatMap((number) => {
    const chunks = Math.ceil(lights / CITY_CHUNK);
    return Array.from({ length: chunks }, (_, chunk): Job => {
      const from = chunk * CITY_CHUNK;
      return { kind: "city", seed: number, nights, from, to: Math.min(lights, from + CITY_CHUNK) };
    });
  });
}

function reportOf(flags: Flags, results: readonly (JobResult | null)[], wallMs: number): WorldReport {
  const fired = new Map<FaultKind, number>();
  const violations: Violation[] = [];
  const hash = createHash("sha256");
  let [events, purchases, worlds, city] = [0, 0, 0, 0];
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
      conserved &&= sums.breaches.length === 0;
      for (const told of sums.breaches) violations.push(cityViolation(flags, told));
      continue;
    }
    const { verdict } = result;
    worlds++;
    events += verdict.events;
    purchases += verdict.purchases;
    hash.update(`${verdict.seed} ${verdict.traceHash}\n`);
    for (const [kind, count] of verdict.fired) fired.set(kind, (fired.get(kind) ?? 0) + count);
    conserved &&= verdict.breach === null && verdict.money.claimed === verdict.money.settled;
    if (verdict.breach !== null) violations.push(told(flags, verdict));
  }
  return {
    seeds: worlds === 0 ? Math.min(1, city) : worlds,
    lights: city > 0 ? city : flags.lights,
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
  };
}

/** Tells the story of a breach on standard error, and how to see it again. */
function told(flags: Flags, { seed, breach, latest }: Verdict): Violation {
  const { invariant, atMs, told: text } = breach!;
  const faults = typeof flags.faults === "string" ? flags.faults : flags.faults.join(",");
  const replay = `npx watt402-simulate world --seed ${seed} --lights ${flags.lights} --nights ${flags.nights} --faults ${faults}`;
  const story = latest.map((line) => `  ${line}`).join("\n");
  process.stderr.write(`seed ${seed} broke ${invariant}: ${text}\n${story}\nreplay: ${replay}\n`);
  return { seed, invariant, atMs, told: text, replay };
}

function cityViolation(flags: Flags, text: string): Violation {
  const [invariant, rest] = [text.slice(0, 2), text.slice(3).trim()];
  const replay = `npx watt402-simulate world --seed ${flags.seed ?? 1} --lights ${flags.lights} --nights ${flags.nights} --faults none`;
  process.stderr.write(`${text}\nreplay: ${replay}\n`);
  return { seed: flags.seed ?? 1, invariant, atMs: 0, told: rest, replay };
}

function linesOf(report: WorldReport): string[] {
  const { fired, neverFired } = report.faultKinds;
  const kinds = Object.entries(fired).map(([kind, count]) => `  ${kind.padEnd(22)} ${count}`);
  return [
    `${report.seeds} worlds of ${report.lights} lights: ${report.events} events, ${report.purchases} purchases, in ${(report.wallMs / 1000).toFixed(1)} s and ${report.peakMiB} MiB`,
    `faults that struck, ${kinds.length} kinds:`,
    ...kinds,
    `never struck: ${neverFired.join(", ") || "none"}`,
    `trace ${report.traceHash}`,
    report.violations.length === 0
      ? `No invariant broke; ${report.conserved ? "every counter reconciles." : "counters do not reconcile."}`
      : `BROKEN: ${report.violations.map(({ seed, invariant }) => `${invariant} in seed ${seed}`).join(", ")}`,
  ];
}

function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`expected a whole number from ${min} to ${max}`);
  };
}

function faultChoice(text: string): FaultChoice {
  try {
    return readFaultChoice(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function signing(text: string): string {
  if (text === "stand-in" || text === "real") return text;
  throw new InvalidArgumentError('expected "stand-in" or "real"');
}
