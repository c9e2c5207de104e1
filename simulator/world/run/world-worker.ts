/**
 * One worker of a run: takes jobs one at a time and answers each with its result.
 *
 * Promise: a job's result depends on the job alone.
 */
import { parentPort } from "node:worker_threads";
import type { ReportModel } from "../../report/report-model.ts";
import type { Result } from "../../result.ts";
import { drawnTown } from "../fast/drawn-town.ts";
import { type FastLights, type FastSums, runFastCity } from "../fast/fast-city.ts";
import { CitySampler, type SampleSums } from "../fast/fast-samples.ts";
import { runFaults, type WorldOutcome } from "./fault-run.ts";
import { type MarketRun, runPriceResponse } from "./price-response.ts";
import { type EveningRequest, planWorldEvening, townOf } from "./scenario-plan.ts";
import { runObservedWorld } from "./scenario-run.ts";
import type { WorldOptions } from "./world-options.ts";

export type Job =
  | { readonly kind: "night"; readonly options: WorldOptions }
  /** A world that is observed of; `request` is null for a drawn night. */
  | {
      readonly kind: "evening";
      readonly options: WorldOptions;
      readonly request: EveningRequest | null;
      /** Runs it again. */
      readonly command: string;
    }
  /** A fleet that answers prices, beside the same one at a flat price. */
  | { readonly kind: "market"; readonly options: WorldOptions; readonly request: EveningRequest }
  /** Lights `from` to `to` (exclusive) on the fast path. */
  | {
      readonly kind: "city";
      readonly seed: number;
      readonly nights: number;
      readonly request: EveningRequest | null;
      readonly from: number;
      readonly to: number;
      /** Samples for a report; 0 for none. */
      readonly looks: number;
    };

export type JobResult =
  | {
      readonly kind: "night";
      readonly outcome: WorldOutcome;
      readonly evening: Result | null;
      readonly model: ReportModel | null;
    }
  | {
      readonly kind: "city";
      readonly from: number;
      readonly to: number;
      readonly sums: FastSums;
      /** Null when no report was asked for. */
      readonly observed: { readonly lights: FastLights; readonly looks: SampleSums } | null;
    }
  | ({ readonly kind: "market" } & MarketRun)
  | { readonly kind: "failed"; readonly reason: string };

async function doJob(job: Job): Promise<JobResult> {
  switch (job.kind) {
    case "night":
      return { kind: "night", outcome: await runFaults(job.options), evening: null, model: null };
    case "evening": {
      const { outcome, result, model } = await runObservedWorld(job.options, job.request, job.command);
      return { kind: "night", outcome, evening: job.request === null ? null : result, model };
    }
    case "market": {
      const plan = planWorldEvening(job.request);
      return { kind: "market", ...(await runPriceResponse(job.options, plan, plan.scenario.market!)) };
    }
    case "city":
      return doCity(job);
  }
}

function doCity({ seed, nights, request, from, to, looks }: Extract<Job, { kind: "city" }>): JobResult {
  const town = request === null ? drawnTown(seed, nights) : townOf(planWorldEvening(request));
  const look = looks === 0 ? null : new CitySampler(looks, town.endMs);
  const { sums, lights } = runFastCity(town, from, to, look);
  return { kind: "city", from, to, sums, observed: look && { lights, looks: look.looks } };
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
