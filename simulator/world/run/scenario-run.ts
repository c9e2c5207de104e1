/**
 * One observed world: a scenario's evening, a city's nights, or a night drawn from its seed.
 *
 * Promise: the outcome is the oracle's; the result is counted as a fleet's on real sockets is, and the
 * model is for the same report.
 */
import { generateCity } from "../../city/generate.ts";
import { profileNamed } from "../../profiles/profiles.ts";
import { PRICE_CEILING, STREETLIGHT } from "../../profiles/streetlight.ts";
import { buildReport } from "../../report/build-report.ts";
import type { Counter, FaultReport, ReportModel } from "../../report/report-model.ts";
import type { Result } from "../../result.ts";
import type { EveningPlan } from "../../run-plan.ts";
import { QUANTUM_MAX_ATOMIC } from "../../scenario/owner-limits.ts";
import { seriesOf } from "../../scenario/prices.ts";
import { CALM } from "../../scenario/scenario.ts";
import { FAULT_KINDS, type FaultKind, type Faults } from "../engine/faults.ts";
import type { World } from "../engine/world.ts";
import { runFaults, type WorldOutcome } from "./fault-run.ts";
import { ScenarioRecorder } from "./recorder.ts";
import { type EveningRequest, planWorldEvening, sitesOf } from "./scenario-plan.ts";
import {
  drawWorldSetting,
  LIT_WITHIN_MS,
  PEACE_MS,
  PER_CHANNEL_ATOMIC,
  type Setting,
  type WorldOptions,
} from "./world-options.ts";

export interface ObservedWorld {
  readonly outcome: WorldOutcome;
  readonly result: Result;
  readonly model: ReportModel;
}

/** Before an evening begins, lights connect and buy once. */
const WARM_UP_MS = 60_000;
/** For purchases under way when an evening ends. */
const DRAIN_MS = 20_000;
/** After a scenario's last stage, until each light that can pay is lit, when nothing else goes wrong. */
const LIT_AGAIN_MS = 5 * 60_000;
/** Evenings of so many times the peace have it within, shorter ones behind them. */
const PEACES_MIN = 3;
/** Time for looks behind what lights may need to find their peace. */
const LOOKS_MS = 10 * 60_000;

/** @param request null for a night drawn from the seed @param command runs it again */
export async function runObservedWorld(
  options: WorldOptions,
  request: EveningRequest | null,
  command: string,
): Promise<ObservedWorld> {
  const startedAtMs = Date.now();
  const recorders: ScenarioRecorder[] = [];
  const outcome = await runFaults(options, (given, world, faults) => {
    const { setting, plan, beginMs } =
      request === null ? drawn(given, world, faults) : planned(given, planWorldEvening(request));
    const recorder = new ScenarioRecorder(world, plan, setting.sites, beginMs);
    recorders.push(recorder);
    return {
      ...setting,
      ownerOf: (index) => recorder.lights[index]!,
      begin: (parts) => recorder.begin(parts),
      end: (parts) => recorder.end(parts),
    };
  });
  const [recorder] = recorders;
  const isCalm = options.faults === "none";
  const result = recorder!.result(outcome.violation, isCalm, Date.now() - startedAtMs);
  const model = buildReport({
    plan: recorder!.plan,
    result,
    evening: recorder!,
    samples: recorder!.recorder.samples,
    feeders: recorder!.feeders(),
    answersIn: "virtual",
    faults: isCalm ? null : faultReport(outcome.fired),
    command,
  });
  return { outcome, result, model: isCalm ? model : { ...model, ...troubledBooks(model, outcome) } };
}

/** What was asked for and what of it struck. @param fired times by kind */
export function faultReport(fired: ReadonlyMap<string, number>): FaultReport {
  return {
    fired: [...fired].map(([kind, count]) => ({ kind, count })),
    neverFired: FAULT_KINDS.filter((kind: FaultKind) => !fired.has(kind)),
  };
}

interface Placed {
  /** Without those who watch. */
  readonly setting: Omit<Setting, "ownerOf" | "begin" | "end">;
  readonly plan: EveningPlan;
  readonly beginMs: number;
}

/** A drawn world's lights stand in a drawn city; what they are and when they shine is the world's own. */
function drawn(options: WorldOptions, world: World, faults: Faults): Placed {
  const setting = drawWorldSetting(options, world, faults);
  const { seed, lights } = options;
  const profile = profileNamed(options.profile ?? STREETLIGHT.name);
  const isCalm = options.faults === "none";
  const plan: EveningPlan = {
    scenario: {
      ...CALM,
      title: isCalm ? "A calm night in virtual time" : "A night of faults",
      story: isCalm
        ? "Lights, broker, gateway, seller and chain through one night in which nothing goes wrong."
        : "Network, disks, processes, clocks, meters, seller and chain fail as chance has it, and then leave the lights in peace.",
    },
    city: generateCity({ lights, seed }),
    groups: new Map(),
    profileOf: () => profile,
    profiles: [profile],
    minutes: setting.endMs / 60_000,
    seed,
    interval: 600,
    epochSeconds: setting.epochSeconds,
    prices: setting.tariff,
  };
  return { setting, plan, beginMs: 0 };
}

function planned({ faults }: WorldOptions, plan: EveningPlan): Placed {
  const { city, minutes, epochSeconds, prices } = plan;
  const siteAt = sitesOf(plan);
  const beginMs = WARM_UP_MS;
  const eveningEndMs = beginMs + minutes * 60_000;
  const setting = {
    epochSeconds: epochSeconds - beginMs / 1000,
    ...(faults === "none" ? untroubled(plan, beginMs, eveningEndMs) : troubled(plan, beginMs, eveningEndMs)),
    perChannelAtomic: PER_CHANNEL_ATOMIC,
    ceilings: { priceCeiling: PRICE_CEILING, quantumMaxAtomic: QUANTUM_MAX_ATOMIC },
    tariff: prices,
    unit: STREETLIGHT.goods.unit,
    sites: city.lights.map((_, index) => siteAt(index)),
  };
  return { plan, beginMs, setting };
}

type Times = Pick<Setting, "peaceAtMs" | "litFromMs" | "endMs">;

/** Each light that can pay is lit again soon after the last stage. */
function untroubled(plan: EveningPlan, beginMs: number, eveningEndMs: number): Times {
  const calmMs = beginMs + lastStageEndMs(plan);
  const endMs = eveningEndMs + DRAIN_MS;
  const litFromMs = isEverDear(plan, calmMs - beginMs) ? Number.POSITIVE_INFINITY : calmMs + LIT_AGAIN_MS;
  return { peaceAtMs: eveningEndMs, litFromMs, endMs };
}

/** Faults leave in peace the end of a long evening, or a while behind a short one. */
function troubled(plan: EveningPlan, beginMs: number, eveningEndMs: number): Times {
  const isLong = eveningEndMs - beginMs >= PEACES_MIN * PEACE_MS;
  const peaceAtMs = isLong ? eveningEndMs - PEACE_MS : eveningEndMs;
  const calmMs = Math.max(peaceAtMs, beginMs + lastStageEndMs(plan));
  const endMs = isLong ? eveningEndMs + DRAIN_MS : eveningEndMs + LIT_WITHIN_MS + LOOKS_MS;
  const isDear = isEverDear(plan, calmMs - beginMs);
  return { peaceAtMs, endMs, litFromMs: isDear ? Number.POSITIVE_INFINITY : calmMs + LIT_WITHIN_MS };
}

function lastStageEndMs({ scenario }: EveningPlan): number {
  return scenario.stages.reduce(
    (latest, { startMs, durationMs }) => Math.max(latest, startMs + durationMs),
    0,
  );
}

/** Whether the tariff itself, after all stages, ever asks what no light pays. */
function isEverDear({ prices, epochSeconds, minutes }: EveningPlan, fromMs: number): boolean {
  const series = seriesOf(prices, epochSeconds + fromMs / 1000, epochSeconds + 60 * minutes);
  return series.some(({ pricePerMillionUnits }) => pricePerMillionUnits > PRICE_CEILING);
}

/**
 * Books of a world in which channels are drained, disks forget and meters lie: what may differ then is
 * shown and not held against each other.
 */
function troubledBooks(
  { money, energy }: ReportModel,
  { money: rest }: WorldOutcome,
): Pick<ReportModel, "money" | "energy"> {
  const [deposited] = money;
  const row = (name: string, from: string, amount: number, relation: Counter["relation"]): Counter => ({
    ...{ name, from, amount, relation },
  });
  return {
    money: [
      deposited!,
      row("charged", "the seller's tables", rest.charged, "≤"),
      row("claimed", "the chain", rest.claimed, "≤"),
      row("settled", "the chain", rest.settled, "="),
    ],
    energy: energy.map((counter) => ({ ...counter, relation: null })),
  };
}
