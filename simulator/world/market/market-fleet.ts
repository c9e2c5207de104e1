/**
 * A fleet on one feeder: lights that dim, loads that wait, and what is measured of them.
 *
 * Promise: a fleet that hears no prices shines and charges as its owners would without them; both are measured alike, from
 * what was really delivered.
 */
import { plannedLevel } from "#core/lamp";
import type { Almanac } from "#core/ports";
import type { PriceSeries } from "#market/price-series";
import { deadlinePlan, dimmingPlan, type PricedPlan } from "#market/priced-plan";
import type { City, CityLight } from "../../city/city.ts";
import { METER_TYPES } from "../../city/lamp-model.ts";
import { seededRandom } from "../../city/random.ts";
import type { Flexibility } from "../../scenario/actions.ts";
import type { Light } from "../actors/device.ts";
import { citySite } from "../surroundings/city-site.ts";
import type { Site } from "../surroundings/simulated-site.ts";
import { DailyTask } from "./daily-task.ts";

/** Loads look at their plan so often, and begin at such a minute. */
export const LOOK_MINUTES = 5;
/** What one purchase should last for; the seller's largest lasts a car less. */
const INTERVAL_SECONDS = 300;
const BUDGET_ATOMIC = 1_000_000_000;
const QUANTUM_MAX_ATOMIC = 10_000;

/** One device, with what it is measured by. */
export interface Member {
  readonly site: Site;
  readonly plan: PricedPlan;
  readonly flexibility: Flexibility | null;
  /** Null for lights. */
  readonly task: DailyTask | null;
  /** The light that its owner wants without prices; null for others. */
  readonly planned: Almanac | null;
  /** Its meter, once it stands. */
  light: Light | null;
}

/** @param flexibilityOf by a light's name @param almanacOf the city's */
export function marketFleet(
  city: City,
  seed: number,
  flexibilityOf: (name: string) => Flexibility | null,
  almanacOf: (light: CityLight) => Almanac,
): Member[] {
  const draw = seededRandom(seed ^ 0x7a5c);
  return city.lights.map((light) => {
    const flexibility = flexibilityOf(light.name);
    const delayShare = draw();
    return flexibility?.kind === "waits"
      ? waitingMember(light, flexibility, delayShare)
      : lightMember(light, flexibility, almanacOf(light));
  });
}

function waitingMember(
  light: CityLight,
  flexibility: Extract<Flexibility, { kind: "waits" }>,
  delayShare: number,
): Member {
  const { milliwatts, spreadMinutes } = flexibility;
  const delivered = () => member.light?.meter.deliveredUnits() ?? 0;
  const delayMinutes = LOOK_MINUTES * Math.floor((delayShare * spreadMinutes) / LOOK_MINUTES);
  const task = new DailyTask(flexibility, delayMinutes, delivered);
  const plan = deadlinePlan((wallSeconds) => task.now(wallSeconds), { most: milliwatts, least: 0 });
  const lamp = {
    ratedMilliwatts: milliwatts,
    startUpPermille: 1_000,
    startUpMs: 0,
    powerFactorPermille: 1_000,
  };
  const site = siteOf({ ...light, lamp, meter: METER_TYPES[0]! }, plan);
  const member: Member = { site, plan, flexibility, task, planned: null, light: null };
  return member;
}

function lightMember(light: CityLight, flexibility: Flexibility | null, planned: Almanac): Member {
  const plan = dimmingPlan(planned, flexibility?.kind === "dims" ? flexibility.leastPercent : 100);
  return { site: siteOf(light, plan), plan, flexibility, task: null, planned, light: null };
}

function siteOf(light: CityLight, almanac: Almanac): Site {
  const terms = { almanac, intervalSeconds: INTERVAL_SECONDS, dailyBudgetAtomic: BUDGET_ATOMIC };
  const site = citySite(light, terms);
  const policy = { ...site.settings.policy, quantumMaxAtomic: QUANTUM_MAX_ATOMIC };
  return { ...site, settings: { ...site.settings, policy } };
}

/** What a fleet did, from what was delivered. */
export interface FleetMeasures {
  milliwattHours: number;
  /** Of loads that may wait; what lights may dim is not counted. */
  flexibleMilliwattHours: number;
  /** By the price of each minute, atomic units. */
  costAtomic: number;
  /** What a purchase at the tariff without congestion would have cost, atomic units. */
  baseAtomic: number;
  overloadMinutes: number;
  peakMilliwatts: number;
  /** What its power went up and down in all, milliwatts, from quarter to quarter. */
  turnsMilliwatts: number;
  /** Light at the owners' least level: level times minutes. */
  lightRequired: number;
  lightDelivered: number;
  /** Light above that, on top. */
  lightAbove: number;
}

/** Each minute of a fleet. @param prices of now: what is asked, and the tariff without congestion */
export class FleetMeter {
  readonly measures: FleetMeasures = {
    ...{ milliwattHours: 0, flexibleMilliwattHours: 0, costAtomic: 0, baseAtomic: 0 },
    ...{ overloadMinutes: 0, peakMilliwatts: 0, turnsMilliwatts: 0 },
    ...{ lightRequired: 0, lightDelivered: 0, lightAbove: 0 },
  };
  /** Money and units of each member. */
  readonly costs: { atomic: number; units: number }[];
  readonly #members: readonly Member[];
  readonly #delivered: number[];
  readonly #limitMilliwatts: number;
  #quarterUnits = 0;
  #quarterMinutes = 0;
  #lastQuarter: number | null = null;

  constructor(members: readonly Member[], limitMilliwatts: number) {
    this.#members = members;
    this.#limitMilliwatts = limitMilliwatts;
    this.#delivered = members.map(() => 0);
    this.costs = members.map(() => ({ atomic: 0, units: 0 }));
  }

  /** @returns the average power of a quarter of an hour that has just ended, milliwatts */
  minute(wallSeconds: number, price: number, basePrice: number): number | null {
    const { measures } = this;
    let units = 0;
    for (const [index, member] of this.#members.entries()) {
      const used = this.#usedBy(index, member);
      units += used;
      if (member.task !== null) measures.flexibleMilliwattHours += used;
      const cost = this.costs[index]!;
      cost.units += used;
      cost.atomic += (used * price) / 1e6;
      this.#lookAtLight(member, wallSeconds);
    }
    measures.milliwattHours += units;
    measures.costAtomic += (units * price) / 1e6;
    measures.baseAtomic += (units * basePrice) / 1e6;
    const milliwatts = units * 60;
    measures.peakMilliwatts = Math.max(measures.peakMilliwatts, milliwatts);
    if (milliwatts > this.#limitMilliwatts) measures.overloadMinutes += 1;
    return this.#quarter(units);
  }

  #usedBy(index: number, { light }: Member): number {
    const delivered = light!.meter.deliveredUnits();
    const used = delivered - this.#delivered[index]!;
    this.#delivered[index] = delivered;
    return used;
  }

  #lookAtLight({ planned, flexibility, light }: Member, wallSeconds: number): void {
    if (planned === null) return;
    const { measures } = this;
    const wanted = plannedLevel(planned.plan(wallSeconds), wallSeconds);
    const least = flexibility?.kind === "dims" ? (wanted * flexibility.leastPercent) / 100 : wanted;
    const { levelPercent } = light!.meter;
    measures.lightRequired += least;
    measures.lightDelivered += Math.min(least, levelPercent);
    measures.lightAbove += Math.max(0, levelPercent - least);
  }

  #quarter(units: number): number | null {
    this.#quarterUnits += units;
    this.#quarterMinutes += 1;
    if (this.#quarterMinutes < 15) return null;
    const milliwatts = this.#quarterUnits * 4;
    this.measures.turnsMilliwatts += Math.abs(milliwatts - (this.#lastQuarter ?? milliwatts));
    this.#lastQuarter = milliwatts;
    this.#quarterUnits = 0;
    this.#quarterMinutes = 0;
    return milliwatts;
  }
}

/** Delivered over required: light at the least level, energy by its deadline. */
export function serviceOf(members: readonly Member[], { lightRequired, lightDelivered }: FleetMeasures) {
  const scores = members.flatMap(({ task }) => (task === null ? [] : [task.score]));
  const sum = (of: (score: DailyTask["score"]) => number) =>
    scores.reduce((total, score) => total + of(score), 0);
  return {
    light: lightRequired === 0 ? 1 : lightDelivered / lightRequired,
    tasks: sum(({ tasks }) => tasks),
    byDeadline: scores.length === 0 ? 1 : sum(({ delivered }) => delivered) / sum(({ required }) => required),
    worstTask: Math.min(1, ...scores.map(({ worst }) => worst)),
  };
}

/** Everybody hears the same series; called with null where a fleet hears none. */
export function tellPrices(
  members: readonly Member[],
  series: PriceSeries | null,
  wallSeconds: number,
): void {
  for (const { plan } of members) {
    if (series === null) plan.look(wallSeconds);
    else plan.heard(series, wallSeconds);
  }
}
