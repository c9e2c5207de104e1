/**
 * A city's nights on the fast path, as a report shows them.
 *
 * Promise: every light that was finished is counted; on the map those that stand together share a dot.
 */
import { GRANT_BYTES, PAY_BYTES } from "#protocol/frames";
import type { City } from "../../city/city.ts";
import { generateCity } from "../../city/generate.ts";
import { type FeederLight, readFeeders } from "../../fleet/reconciliation/feeders.ts";
import type { Counter, LightReport, ReportModel } from "../../report/report-model.ts";
import { drawnTown } from "../fast/drawn-town.ts";
import type { FastSums, Town } from "../fast/fast-city.ts";
import { ROUND_TRIP_MS } from "../fast/fast-light.ts";
import { addSampleSums, newSampleSums, type SampleSums, samplesOf } from "../fast/fast-samples.ts";
import type { Site } from "../surroundings/simulated-site.ts";
import type { EveningRequest } from "./scenario-plan.ts";
import { planWorldEvening, townOf } from "./scenario-plan.ts";
import type { JobResult } from "./world-worker.ts";

type CityResult = Extract<JobResult, { kind: "city" }>;

export interface CityRun {
  readonly seed: number;
  readonly nights: number;
  readonly lights: number;
  readonly request: EveningRequest | null;
  readonly wallMs: number;
  /** Runs it again. */
  readonly command: string;
}

/** @param results of one city's jobs; null where one was not finished @param steps of samples in each */
export function buildCityReport(
  run: CityRun,
  results: readonly (JobResult | null)[],
  steps: number,
): ReportModel | undefined {
  const finished = results.filter((result): result is CityResult => result?.kind === "city");
  const { town, city } = placesOf(run);
  const seen = newSampleSums(steps, town.endMs);
  const observed = observeLights(finished, town, city, seen);
  if (observed.lights.length === 0) return undefined;
  const sum = (of: (sums: FastSums) => number) => finished.reduce((total, { sums }) => total + of(sums), 0);
  const signed = sum((sums) => sums.signed);
  const charged = sum((sums) => sums.charged);
  const granted = sum((sums) => sums.granted);
  const consumed = sum((sums) => sums.consumed);
  return {
    title: run.nights === 1 ? "One night of a city" : `${run.nights} nights of a city`,
    story:
      "Every light by the device's own decisions, and no fault strikes: what a city burns, what it pays, and when.",
    city: city.name,
    timeZone: city.timeZone,
    startSeconds: town.epochSeconds,
    minutes: town.endMs / 60_000,
    samples: samplesOf(seen, priceIn(town)),
    lights: observed.lights,
    stages: [],
    feeders: readFeeders(observed.onFeeders),
    cheats: [],
    money: [
      counter("signed", "the lights' own signatures", signed, null),
      counter("charged", "the seller's accounts", charged, "≤"),
    ],
    energy: [
      counter("granted", "the seller's accounts", granted, null),
      counter("consumed", "the lights' meters", consumed, "≤"),
    ],
    figures: {
      payments: sum(({ purchases }) => purchases),
      ...{ repeated: 0, refused: 0, gasPerPayment: null },
      longestStarvedSeconds: observed.longestStarvedMs / 1000,
      starvedLightSeconds: observed.starvedMs / 1000,
      answersIn: "virtual",
      latencyP50Ms: ROUND_TRIP_MS,
      latencyP99Ms: ROUND_TRIP_MS,
      bytesPerPayment: PAY_BYTES + GRANT_BYTES,
      wallSeconds: run.wallMs / 1000,
    },
    violations: finished.flatMap(({ sums }) =>
      sums.violations.map((text) => ({
        ...{ invariant: text.slice(0, 2), light: "city", expected: "no breach", actual: text.slice(4) },
      })),
    ),
    faults: null,
    command: run.command,
  };
}

interface ObservedLights {
  readonly lights: LightReport[];
  readonly onFeeders: FeederLight[];
  longestStarvedMs: number;
  starvedMs: number;
}

/** Every light of the finished jobs; `seen` gets the sum of their samples. */
function observeLights(
  finished: readonly CityResult[],
  town: Town,
  city: City,
  seen: SampleSums,
): ObservedLights {
  const observed: ObservedLights = { lights: [], onFeeders: [], longestStarvedMs: 0, starvedMs: 0 };
  for (const { from, to, observed: part } of finished) {
    if (part === null) continue;
    addSampleSums(seen, part.looks);
    const { lights: counted } = part;
    for (let index = from; index < to; index++) {
      const at = index - from;
      const site = town.siteAt(index);
      observed.lights.push(lightOf(city, index, site, part, at));
      observed.onFeeders.push({
        feeder: city.lights[index]!.feeder,
        drawnMilliwattHours: counted.drawnWhenRead[at]!,
        registeredMilliwattHours: counted.registered[at]!,
        resolutionMilliwattHours: site.meter.resolutionUnits,
      });
      observed.longestStarvedMs = Math.max(observed.longestStarvedMs, counted.longestStarvedMs[at]!);
      observed.starvedMs += counted.starvedMs[at]!;
    }
  }
  return observed;
}

/** Drawn sites stand in a drawn city: where, but not what they are, is that city's. */
function placesOf({ seed, nights, lights, request }: CityRun): { readonly town: Town; readonly city: City } {
  if (request === null) return { town: drawnTown(seed, nights), city: generateCity({ lights, seed }) };
  const plan = planWorldEvening(request);
  return { town: townOf(plan), city: plan.city };
}

function lightOf(
  city: City,
  index: number,
  site: Site,
  { lights }: NonNullable<CityResult["observed"]>,
  at: number,
): LightReport {
  const { name, street, feeder, latitude, longitude } = city.lights[index]!;
  return {
    ...{ name, street, feeder, latitude, longitude },
    ratedMilliwatts: site.lamp.ratedMilliwatts,
    group: null,
    purchases: lights.purchases[at]!,
    spentAtomic: lights.charged[at]!,
    drawnMilliwattHours: lights.delivered[at]!,
    starvedSeconds: lights.starvedMs[at]! / 1000,
    cheats: [],
  };
}

function priceIn({ prices }: Town): (atMs: number) => number {
  return (atMs) => (prices.findLast(({ fromMs }) => fromMs <= atMs) ?? prices[0]!).pricePerMillionUnits;
}

function counter(name: string, from: string, amount: number, relation: Counter["relation"]): Counter {
  return { name, from, amount, relation };
}
