/**
 * A fleet that answers prices beside the same fleet at a flat price.
 *
 * Promise: the flat price is what makes the fleet that answers nothing pay the tariff's own money for its own energy, so what
 * the other saves is by its answer alone; both buy by real vouchers under the oracle, and are measured alike.
 */
import { cityAlmanac } from "../../city/sun.ts";
import { PRICE_CEILING, STREETLIGHT } from "../../profiles/streetlight.ts";
import type { EveningPlan } from "../../run-plan.ts";
import type { Market } from "../../scenario/scenario.ts";
import { seriesOf } from "../../seller/sale/price-curve.ts";
import { flatTariff, type Tariff } from "../../seller/sale/tariff.ts";
import { NO_OWNER } from "../actors/device.ts";
import type { FaultTargets } from "../actors/fault-schedule.ts";
import { congestedTariff, Feeder } from "../market/feeder.ts";
import {
  FleetMeter,
  LOOK_MINUTES,
  type Member,
  marketFleet,
  serviceOf,
  tellPrices,
} from "../market/market-fleet.ts";
import { runFaults, type WorldOutcome } from "./fault-run.ts";
import type { Setting, WorldOptions } from "./world-options.ts";

const MINUTE_MS = 60_000;
const LIT_AFTER_MS = 20 * MINUTE_MS;
/** A car's three days. */
const PER_CHANNEL_ATOMIC = 1_000_000_000;

export interface FleetResult {
  readonly kilowattHours: number;
  readonly costAtomic: number;
  readonly chargedAtomic: number;
  readonly overloadMinutes: number;
  readonly peakKilowatts: number;
  /** Of light at the least level, of energy by its deadline, and the worst single task. */
  readonly service: ReturnType<typeof serviceOf>;
  /** Light above the least level, over what was required. */
  readonly lightAbove: number;
}

export interface MarketResult {
  /** What the fleet that answers pays, over what the flat one does. */
  readonly costRatio: number;
  readonly overloadMinutesRatio: number;
  /** Delivered over required, of the fleet that answers over the flat one's. */
  readonly serviceRatio: number;
  /** How much the feeder's power goes up and down, over the flat fleet's. */
  readonly oscillation: number;
  /** Jain's index of what a unit cost each load that may wait: 1 where all paid alike. */
  readonly fairness: number;
  /** Of the flat fleet's energy. */
  readonly flexibleShare: number;
  /** Atomic units. */
  readonly flatPricePerKwh: number;
  readonly feederKilowatts: number;
  readonly flat: FleetResult;
  readonly answering: FleetResult;
}

export interface MarketRun {
  /** Of all worlds that were run. */
  readonly outcomes: readonly WorldOutcome[];
  readonly lights: number;
  readonly market: MarketResult;
}

/** Where a world broke a promise it ended there, and its measures mean nothing. */
export async function runPriceResponse(
  options: WorldOptions,
  plan: EveningPlan,
  market: Market,
): Promise<MarketRun> {
  const unanswered = await runFleet(options, plan, market, { tariff: plan.prices, answers: false });
  const { baseAtomic, milliwattHours } = unanswered.meter.measures;
  const flatPrice = Math.max(1, Math.round((baseAtomic * 1e6) / milliwattHours));
  const flat = await runFleet(options, plan, market, { tariff: flatTariff(flatPrice), answers: false });
  const feeder = new Feeder(market.feederMilliwatts);
  const tariff = congestedTariff(plan.prices, feeder, market.congestionPerKwh);
  const answering = await runFleet(options, plan, market, { tariff, answers: true, feeder });
  const [before, after] = [flat.meter.measures, answering.meter.measures];
  return {
    outcomes: [unanswered, flat, answering].map(({ outcome }) => outcome),
    lights: plan.city.lights.length,
    market: {
      costRatio: after.costAtomic / before.costAtomic,
      overloadMinutesRatio: after.overloadMinutes / Math.max(1, before.overloadMinutes),
      serviceRatio: wholeService(answering) / wholeService(flat),
      oscillation: after.turnsMilliwatts / before.turnsMilliwatts,
      fairness: fairnessOf(answering),
      flexibleShare: before.flexibleMilliwattHours / before.milliwattHours,
      flatPricePerKwh: flatPrice,
      feederKilowatts: market.feederMilliwatts / 1e6,
      flat: resultOf(flat),
      answering: resultOf(answering),
    },
  };
}

interface FleetRun {
  readonly members: readonly Member[];
  readonly meter: FleetMeter;
  readonly outcome: WorldOutcome;
}

interface Sold {
  readonly tariff: Tariff;
  /** Prices are told to the fleet. */
  readonly answers: boolean;
  readonly feeder?: Feeder;
}

async function runFleet(
  options: WorldOptions,
  plan: EveningPlan,
  { feederMilliwatts }: Market,
  sold: Sold,
): Promise<FleetRun> {
  const { scenario, city, groups, minutes, epochSeconds, seed } = plan;
  const flexible = new Map(scenario.groups.map(({ name, flexibility }) => [name, flexibility]));
  const members = marketFleet(
    city,
    seed,
    (name) => flexible.get(groups.get(name) ?? "") ?? null,
    cityAlmanac(city),
  );
  const meter = new FleetMeter(members, feederMilliwatts);
  const endMs = minutes * MINUTE_MS;
  const setting: Setting = {
    epochSeconds,
    peaceAtMs: 0,
    litFromMs: LIT_AFTER_MS,
    endMs,
    perChannelAtomic: PER_CHANNEL_ATOMIC,
    ceilings: { priceCeiling: PRICE_CEILING, quantumMaxAtomic: 10_000 },
    tariff: sold.tariff,
    unit: STREETLIGHT.goods.unit,
    sites: members.map(({ site }) => site),
    ownerOf: () => NO_OWNER,
    begin: (parts) => {
      for (const [index, member] of members.entries()) member.light = parts.lights[index]!;
      measure(parts, { members, meter, sold, base: plan.prices, epochSeconds, endMs });
    },
    end: () => {},
  };
  const outcome = await runFaults(options, () => setting);
  return { members, meter, outcome };
}

interface Measured {
  readonly members: readonly Member[];
  readonly meter: FleetMeter;
  readonly sold: Sold;
  readonly base: Tariff;
  readonly epochSeconds: number;
  readonly endMs: number;
}

/** Each minute what was used, each few what will be asked. */
function measure({ world }: FaultTargets, measured: Measured): void {
  const { members, meter, sold, base, epochSeconds, endMs } = measured;
  const { tariff, answers, feeder } = sold;
  for (let atMs = 0; atMs < endMs; atMs += LOOK_MINUTES * MINUTE_MS) {
    world.at(atMs, () => {
      const now = epochSeconds + atMs / 1_000;
      tellPrices(members, answers ? seriesOf(tariff, STREETLIGHT.goods.unit, now, null) : null, now);
    });
  }
  for (let atMs = MINUTE_MS; atMs <= endMs; atMs += MINUTE_MS) {
    world.at(atMs, () => {
      // What was used in the minute that ends here was paid at its price.
      const seconds = epochSeconds + atMs / 1_000 - 30;
      const quarter = meter.minute(seconds, tariff.priceAt(seconds), base.priceAt(seconds));
      if (quarter !== null) feeder?.drawn(seconds - 14 * 60, quarter);
    });
  }
}

function resultOf({ meter, members, outcome }: FleetRun): FleetResult {
  const { measures } = meter;
  return {
    kilowattHours: measures.milliwattHours / 1e6,
    costAtomic: Math.round(measures.costAtomic),
    chargedAtomic: outcome.money.charged,
    overloadMinutes: measures.overloadMinutes,
    peakKilowatts: measures.peakMilliwatts / 1e6,
    service: serviceOf(members, measures),
    lightAbove: measures.lightAbove / Math.max(1, measures.lightRequired),
  };
}

/** The lower of light and energy. */
function wholeService({ members, meter }: FleetRun): number {
  const { light, byDeadline } = serviceOf(members, meter.measures);
  return Math.min(light, byDeadline);
}

function fairnessOf({ members, meter }: FleetRun): number {
  const paid = meter.costs.flatMap(({ atomic, units }, index) =>
    members[index]!.task === null || units === 0 ? [] : [atomic / units],
  );
  const sum = paid.reduce((total, price) => total + price, 0);
  return (sum * sum) / (paid.length * paid.reduce((total, price) => total + price * price, 0));
}

/** For people. */
export function marketLines(market: MarketResult): string[] {
  const { flat, answering } = market;
  const row = (name: string, of: (fleet: FleetResult) => string, ratio = "") =>
    `${name.padEnd(34)}${of(flat).padStart(12)}${of(answering).padStart(12)}${ratio.padStart(10)}`;
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  return [
    `${"".padEnd(34)}${"flat price".padStart(12)}${"answering".padStart(12)}${"ratio".padStart(10)}`,
    row("energy, kWh", ({ kilowattHours }) => kilowattHours.toFixed(1)),
    row("cost, atomic units", ({ costAtomic }) => String(costAtomic), market.costRatio.toFixed(3)),
    row(
      `minutes above ${market.feederKilowatts} kW`,
      ({ overloadMinutes }) => String(overloadMinutes),
      market.overloadMinutesRatio.toFixed(3),
    ),
    row("highest power, kW", ({ peakKilowatts }) => peakKilowatts.toFixed(1)),
    row("energy there by its deadline", ({ service }) => percent(service.byDeadline)),
    row("light at the least level", ({ service }) => percent(service.light)),
    row("the worse of both", wholeOf, market.serviceRatio.toFixed(4)),
    row("light above that, of it", ({ lightAbove }) => percent(lightAbove)),
    `power goes up and down ${market.oscillation.toFixed(2)} times as much; what loads that wait paid for a unit is alike by ${market.fairness.toFixed(3)} (Jain)`,
    `${percent(market.flexibleShare)} of the energy may wait; the flat price is ${market.flatPricePerKwh} per kWh`,
  ];
}

const wholeOf = ({ service: { light, byDeadline } }: FleetResult) =>
  `${(100 * Math.min(light, byDeadline)).toFixed(2)} %`;
