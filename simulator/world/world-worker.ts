/**
 * One worker of a run: takes jobs one at a time and answers each with its result.
 *
 * Promise: a job's result depends on the job alone.
 */
import { parentPort } from "node:worker_threads";
import { drawnTown } from "./fast/drawn-town.ts";
import { type FastSums, runFastCity } from "./fast/fast-city.ts";
import { runNight, type Verdict } from "./night.ts";
import type { WorldOptions } from "./setting.ts";

export type Job =
  | { readonly kind: "night"; readonly options: WorldOptions }
  | {
      readonly kind: "city";
      readonly seed: number;
      readonly nights: number;
      readonly from: number;
      readonly to: number;
    };

export type JobResult =
  | { readonly kind: "night"; readonly verdict: Verdict }
  | { readonly kind: "city"; readonly sums: FastSums }
  | { readonly kind: "failed"; readonly reason: string };

export async function doJob(job: Job): Promise<JobResult> {
  if (job.kind === "city") {
    return { kind: "city", sums: runFastCity(drawnTown(job.seed, job.nights), job.from, job.to).sums };
  }
  return { kind: "night", verdict: await runNight(job.options) };
}

parentPort?.on("message", (job: Job) => {
  doJob(job).then(
    (result) => parentPort?.postMessage(result),
    (error) => {
      const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
      const failed: JobResult = { kind: "failed", reason };
      parentPort?.postMessage(failed);
    },
  );
});
