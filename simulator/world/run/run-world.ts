/**
 * `watt402-simulate world`: whole nights in virtual time, seed by seed, a scenario's evening, or a city
 * without faults at once.
 *
 * Promise: the result on standard output, progress and stories on standard error; exit code 0 only when no
 * invariant broke and every counter reconciled. Interrupted, it reports what was done so far.
 */

import { CommanderError } from "commander";
import { Watt402Error } from "#payment/watt402-error";
import type { ReportModel } from "../../report/report-model.ts";
import { requireWritable, writeReport } from "../../report/write-report.ts";
import { buildCityReport, type CityRun } from "./city-report.ts";
import { planWorldEvening } from "./scenario-plan.ts";
import { faultReport } from "./scenario-run.ts";
import { openWorkerPool } from "./worker-pool.ts";
import {
  commandOf,
  DRAWN_LIGHTS,
  faultsOf,
  readWorldFlags,
  requestOf,
  type WorldFlags,
} from "./world-flags.ts";
import type { WorldOptions } from "./world-options.ts";
import { reportOf, type WorldReport, worldLines } from "./world-report.ts";
import type { Job, JobResult } from "./world-worker.ts";

/** Fault-free worlds of more lights than this take the fast path. */
const FAST_ABOVE_LIGHTS = 256;
/** Lights of one job on the fast path. */
const CITY_CHUNK = 5000;
/** Samples of a city's nights, for a report. */
const CITY_LOOKS = 280;
const PROGRESS_MS = 2000;

/** Runs the sub-command; resolves with the exit code. */
export async function runWorld(argv: readonly string[]): Promise<number> {
  try {
    const flags = readWorldFlags(argv);
    if (flags.report !== undefined) requireWritable(flags.report);
    return await runWorlds(flags);
  } catch (error) {
    // Commander has printed its own complaint or help.
    if (error instanceof CommanderError) return error.exitCode;
    process.stderr.write(`world: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

async function runWorlds(flags: WorldFlags): Promise<number> {
  const startedAtMs = Date.now();
  const jobs = jobsOf(flags);
  const pool = openWorkerPool(flags.workers);
  const interrupt = () => {
    process.stderr.write("\ninterrupted: what follows is what was done so far\n");
    pool.stop();
  };
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  let reportedAtMs = startedAtMs;
  const results = await pool.work(jobs, (finished, result) => {
    if (result.kind === "night" && result.outcome.violation !== null && jobs.length > 1) {
      const { seed, violation } = result.outcome;
      process.stderr.write(`seed ${seed} broke ${violation.invariant}; its story follows when all is done\n`);
    }
    if (Date.now() - reportedAtMs < PROGRESS_MS) return;
    reportedAtMs = Date.now();
    process.stderr.write(`${finished} of ${jobs.length} done\n`);
  });
  process.off("SIGINT", interrupt);
  process.off("SIGTERM", interrupt);
  const report = reportOf(flags, results, Date.now() - startedAtMs);
  if (flags.report !== undefined) writePage(flags.report, flags, results, report);
  if (flags.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else process.stdout.write(`${worldLines(report).join("\n")}\n`);
  const isWhole = results.every((result) => result !== null);
  return report.conserved && report.violations.length === 0 && isWhole ? 0 : 1;
}

function jobsOf(flags: WorldFlags): Job[] {
  const { seed, seeds, nights = 1, signing, boards = 0, chargePercent, profile } = flags;
  const faults = faultsOf(flags);
  const request = requestOf(flags);
  // What is wrong with scenario, city or tariff is said before a worker is hired.
  const lights = lightsOf(flags);
  if (boards > lights) {
    throw new Watt402Error(
      "config-invalid",
      `--boards: expected at most the world's ${lights} lights, found ${boards}`,
    );
  }
  const numbers = seed === undefined ? Array.from({ length: seeds ?? 1 }, (_, index) => index + 1) : [seed];
  const isFast =
    faults === "none" &&
    lights > FAST_ABOVE_LIGHTS &&
    flags.scenario === undefined &&
    boards === 0 &&
    chargePercent === undefined &&
    profile === undefined;
  if (request !== null && planWorldEvening(request).scenario.market !== null) {
    refuseBesideMarket(flags);
    const options = { seed: seed ?? 1, lights, nights, faults: "none", signing } as const;
    return [{ kind: "market", options, request }];
  }
  if (!isFast) {
    return numbers.map((number, index): Job => {
      const options: WorldOptions = {
        seed: number,
        lights,
        nights,
        faults,
        signing,
        boards,
        chargePercent,
        profile,
      };
      const isObserved = request !== null || (flags.report !== undefined && index === 0);
      if (!isObserved) return { kind: "night", options };
      return { kind: "evening", options, request, command: commandOf(flags, number) };
    });
  }
  const looks = flags.report === undefined ? 0 : CITY_LOOKS;
  return numbers.flatMap((number) => {
    const chunks = Math.ceil(lights / CITY_CHUNK);
    return Array.from({ length: chunks }, (_, chunk): Job => {
      const from = chunk * CITY_CHUNK;
      const to = Math.min(lights, from + CITY_CHUNK);
      return { kind: "city", seed: number, nights, request, from, to, looks };
    });
  });
}

/** Two fleets are compared: nothing else may make them differ. */
function refuseBesideMarket({ faults, seeds, boards, chargePercent, report }: WorldFlags): void {
  const given = {
    seeds,
    boards,
    "charge-percent": chargePercent,
    report,
    faults: faults === "none" ? undefined : faults,
  };
  const [found] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
  if (found === undefined) return;
  throw new Watt402Error(
    "config-invalid",
    `--${found}: expected one untroubled world and no page for a scenario with a [market], found it; leave it out`,
  );
}

/** Writes the page: the first world's evening, and the faults and violations of all. */
function writePage(
  file: string,
  flags: WorldFlags,
  results: readonly (JobResult | null)[],
  report: WorldReport,
): void {
  const model = results.some((result) => result?.kind === "city")
    ? buildCityReport(
        cityRunOf(flags, report),
        results.slice(0, Math.ceil(lightsOf(flags) / CITY_CHUNK)),
        CITY_LOOKS,
      )
    : results.flatMap((result) => (result?.kind === "night" && result.model ? [result.model] : []))[0];
  if (model === undefined) {
    process.stderr.write("report: expected a world that was finished, found none; nothing is written\n");
    return;
  }
  writeReport(file, report.seeds > 1 ? ofMany(model, flags, report) : model);
  process.stderr.write(`report: ${file}\n`);
}

/** Lights of one world. Throws one line about scenario, city or tariff. */
function lightsOf(flags: WorldFlags): number {
  const request = requestOf(flags);
  return request === null ? (flags.lights ?? DRAWN_LIGHTS) : planWorldEvening(request).city.lights.length;
}

function cityRunOf(flags: WorldFlags, { wallMs }: WorldReport): CityRun {
  const { seed = 1, nights = 1 } = flags;
  const request = requestOf(flags);
  return { seed, nights, lights: lightsOf(flags), request, wallMs, command: commandOf(flags, seed) };
}

function ofMany(
  model: ReportModel,
  flags: WorldFlags,
  { seeds, faultKinds, violations }: WorldReport,
): ReportModel {
  return {
    ...model,
    story: `${model.story} The first of ${seeds} worlds; faults and broken promises are those of all of them.`,
    faults: faultsOf(flags) === "none" ? null : faultReport(new Map(Object.entries(faultKinds.fired))),
    violations: violations.map(({ seed, invariant, told }) => ({
      ...{ invariant, light: `seed ${seed}`, expected: "no breach", actual: told },
    })),
  };
}
