/**
 * A load's plan that answers prices ahead: a light dims while it is dear, a load with a deadline moves to the cheap hours.
 *
 * Promise: without a price for the present second a light shines as planned, and a load with a deadline runs until it has what
 * it needs. A light is never dimmed below its owner's least level. A deadline goes before any price: what is left is
 * used at full power from the moment that all of it is needed. Prices plan; what is paid is bounded by the owner's policy alone.
 */
import type { PlanStep } from "#core/events";
import { plannedLevel } from "#core/lamp";
import type { Almanac } from "#core/ports";
import { dearness, loadSchedule } from "./load-schedule.ts";
import { type PriceSeries, priceAt, stepsFrom } from "./price-series.ts";

/** A light's prices are compared within a day. */
const DAY_SECONDS = 86_400;

/** Of the power, so much is kept for what goes wrong before a deadline. */
const RESERVE = 0.1;
/** Loads of one street that hear the same prices share the cheap hours. */
const SPREAD = 0.5;

/** What is left to be used, and by when; null while nothing is. */
export interface Task {
  readonly unitsLeft: number;
  /** Unix seconds. */
  readonly deadlineSeconds: number;
}

/** Looked at now and then; a change is told at once. */
export interface PricedPlan extends Almanac {
  /** What the seller will ask, as it is known now; null: it is not. */
  heard(series: PriceSeries | null, wallSeconds: number): void;
  look(wallSeconds: number): void;
}

/** @param leastPercent of the planned level */
export function dimmingPlan(planned: Almanac, leastPercent: number): PricedPlan {
  return new LevelPlan((series, wallSeconds) => {
    const steps = planned.plan(wallSeconds);
    if (series === null || plannedLevel(steps, wallSeconds) === 0) return steps;
    const ahead = stepsFrom(
      { ...series, untilSeconds: Math.min(series.untilSeconds, wallSeconds + DAY_SECONDS) },
      wallSeconds,
    );
    const share = (100 - (100 - leastPercent) * dearness(ahead)) / 100;
    return steps.map(({ minuteOfDay, levelPercent }) => ({
      minuteOfDay,
      levelPercent: levelPercent === 0 ? 0 : Math.max(1, Math.round(levelPercent * share)),
    }));
  });
}

/** What the load can be held to, units per hour: at full power, and the least that it runs at (0: any). */
interface LoadPower {
  readonly most: number;
  readonly least: number;
}

/** @param task what is left to be used, whenever it is asked */
export function deadlinePlan(task: (wallSeconds: number) => Task | null, power: LoadPower): PricedPlan {
  return new LevelPlan((series, wallSeconds) => {
    const due = task(wallSeconds);
    return [{ minuteOfDay: 0, levelPercent: due === null ? 0 : levelFor(due, power, series, wallSeconds) }];
  });
}

function levelFor(
  { unitsLeft, deadlineSeconds }: Task,
  { most, least }: LoadPower,
  series: PriceSeries | null,
  wallSeconds: number,
): number {
  const reckoned = most * (1 - RESERVE);
  const hoursLeft = (deadlineSeconds - wallSeconds) / 3_600;
  if (series === null || unitsLeft >= reckoned * hoursLeft) return 100;
  const need = { units: unitsLeft, deadlineSeconds, unitsPerHour: reckoned };
  const [now, ...later] = loadSchedule(stepsFrom(series, wallSeconds), wallSeconds, need, SPREAD);
  const isCheapest = later.every(({ unitsPerHour }) => unitsPerHour <= now!.unitsPerHour);
  // Below its least power it is off or at that, whichever is nearer; in the cheapest step it is not off.
  if (now!.unitsPerHour < least / 2 && !isCheapest) return 0;
  return Math.min(100, Math.ceil((100 * Math.max(least, now!.unitsPerHour)) / most));
}

type LevelRule = (series: PriceSeries | null, wallSeconds: number) => readonly PlanStep[];

class LevelPlan implements PricedPlan {
  readonly #rule: LevelRule;
  #series: PriceSeries | null = null;
  /** Of the latest look: others may have asked for the plan since, and it is the machine that has to hear of it. */
  #looked = "";
  #take: () => void = () => {};

  constructor(rule: LevelRule) {
    this.#rule = rule;
  }

  plan(wallSeconds: number): readonly PlanStep[] {
    const isKnown = this.#series !== null && priceAt(this.#series, Math.floor(wallSeconds)) !== null;
    return this.#rule(isKnown ? this.#series : null, Math.floor(wallSeconds));
  }

  onChange(take: () => void): void {
    this.#take = take;
  }

  heard(series: PriceSeries | null, wallSeconds: number): void {
    this.#series = series;
    this.look(wallSeconds);
  }

  look(wallSeconds: number): void {
    const plan = JSON.stringify(this.plan(wallSeconds));
    if (plan === this.#looked) return;
    this.#looked = plan;
    this.#take();
  }
}
