/**
 * An evening as a report shows it: the run's result, and each light's place.
 */
import type { Feeder } from "../fleet/reconciliation/feeders.ts";
import type { Evening } from "../fleet/recorded-evening.ts";
import type { Result } from "../result.ts";
import type { EveningPlan, RunPlan } from "../run-plan.ts";
import type { Counter, FaultReport, LightReport, ReportModel, Sample } from "./report-model.ts";

interface ReportParts {
  readonly plan: Pick<EveningPlan, "scenario" | "city" | "groups" | "epochSeconds">;
  readonly result: Result;
  readonly evening: Pick<Evening, "lights">;
  readonly samples: readonly Sample[];
  readonly feeders: readonly Feeder[];
  readonly answersIn: "real" | "virtual";
  readonly faults: FaultReport | null;
  /** The command that runs it again. */
  readonly command: string;
}

export function buildReport(parts: ReportParts): ReportModel {
  const { plan, result, evening, samples, feeders, answersIn, faults, command } = parts;
  const { scenario, city } = plan;
  const played = new Set(result.stages.map(({ name }) => name));
  return {
    title: scenario.title,
    story: scenario.story,
    city: city.name,
    timeZone: city.timeZone,
    startSeconds: plan.epochSeconds,
    minutes: result.simulatedMinutes,
    samples,
    lights: lightsOf(plan, evening),
    stages: scenario.stages.filter(({ name }) => played.has(name)),
    feeders,
    cheats: result.cheats,
    money: moneyOf(result),
    energy: energyOf(result),
    figures: {
      payments: result.payments.made,
      repeated: result.payments.resent,
      refused: result.payments.refused,
      longestStarvedSeconds: result.longestStarvedSeconds,
      starvedLightSeconds: result.starvedLightSeconds,
      answersIn,
      latencyP50Ms: result.latencyMs.p50,
      latencyP99Ms: result.latencyMs.p99,
      bytesPerPayment: result.bytesPerPayment.up + result.bytesPerPayment.down,
      gasPerPayment: result.gas?.perPayment ?? null,
      wallSeconds: result.wallMs / 1000,
    },
    violations: result.violations,
    faults,
    command,
  };
}

function lightsOf({ city, groups }: ReportParts["plan"], evening: ReportParts["evening"]): LightReport[] {
  const places = new Map(city.lights.map((light) => [light.name, light]));
  return evening.lights.map((light) => {
    const { street, feeder, latitude, longitude } = places.get(light.name)!;
    return {
      name: light.name,
      ...{ street, feeder, latitude, longitude },
      ratedMilliwatts: light.site.lamp.ratedMilliwatts,
      group: groups.get(light.name) ?? null,
      purchases: light.monitor.made,
      spentAtomic: light.monitor.madeAtomic,
      drawnMilliwattHours: light.drawnUnits(),
      starvedSeconds: light.monitor.starvation().totalMs / 1000,
      cheats: [...light.cheats],
    };
  });
}

/** From what was deposited down to what arrived, on one chain; decimal strings of a run fit a number by far. */
function moneyOf({ amountAtomic: amount }: Result): Counter[] {
  if (amount === null) return [];
  const counter = (name: string, from: string, text: string, relation: Counter["relation"]): Counter => ({
    name,
    from,
    amount: Number(text),
    relation,
  });
  return [
    counter("deposited", "the chain's events", amount.deposited, null),
    counter("signed", "the lights' own signatures", amount.signed, "≤"),
    counter("charged", "the seller's accounts", amount.charged, "≤"),
    counter("claimed", "the chain's events", amount.claimed, "="),
    counter("settled", "the chain's events", amount.settled, "="),
    counter("received", "the seller's balance", amount.sellerBalance, "="),
  ];
}

function energyOf({ energyMilliwattHours: energy }: Result): Counter[] {
  return [
    { name: "granted", from: "the seller's accounts", amount: energy.granted, relation: null },
    { name: "consumed", from: "the lights' meters", amount: energy.consumed, relation: "≤" },
  ];
}

/** The command that runs a fleet's evening again. */
export function commandOf({ scenario, city, minutes, speed, seed, interval }: RunPlan): string {
  const options = [`--lights ${city.lights.length}`, `--minutes ${minutes}`, `--speed ${speed}`];
  const played = scenario.name === "calm" ? [] : [`--scenario ${scenario.name}`];
  return ["watt402-simulate", ...played, ...options, `--seed ${seed}`, `--interval ${interval}`].join(" ");
}
