/**
 * The lamp's plan on a board: steps, or the dusk and dawn of its place, reckoned when it was flashed.
 *
 * Promise: every day has a plan. A week's twilight is that of its middle day: minutes off at most, and no
 * astronomy on the board.
 */
import type { PlanStep } from "#core/events";
import type { Almanac } from "#core/ports";

export interface TwilightWeek {
  /** Minutes of the UTC day; the same where the sun does not cross the edge of twilight. */
  readonly dawnMinute: number;
  readonly duskMinute: number;
  /** Level of a day on which it does not cross, 0..100 per cent. */
  readonly allDayPercent: number;
}

export type BoardPlan =
  | { readonly kind: "steps"; readonly steps: readonly PlanStep[] }
  | {
      readonly kind: "sun";
      readonly nightPercent: number;
      readonly dayPercent: number;
      /** 53 of them from the first of January on. */
      readonly weeks: readonly TwilightWeek[];
    };

/** Weeks of a year, the last one short. */
export const WEEKS = 53;

const SECONDS_PER_DAY = 86400;
const DAYS_PER_YEAR = 365.2425;
/** 1970-01-01 was the beginning of one. */
const DAYS_PER_WEEK = 7;

export function boardAlmanac(plan: BoardPlan): Almanac {
  return {
    plan(wallSeconds) {
      if (plan.kind === "steps") return plan.steps;
      const week = plan.weeks[weekOf(wallSeconds)]!;
      if (week.dawnMinute === week.duskMinute) return [{ minuteOfDay: 0, levelPercent: week.allDayPercent }];
      const dawn = { minuteOfDay: week.dawnMinute, levelPercent: plan.dayPercent };
      const dusk = { minuteOfDay: week.duskMinute, levelPercent: plan.nightPercent };
      return dawn.minuteOfDay < dusk.minuteOfDay ? [dawn, dusk] : [dusk, dawn];
    },
  };
}

/** Which of the year's weeks a Unix time is in, 0..52. */
export function weekOf(wallSeconds: number): number {
  const dayOfYear = Math.floor(wallSeconds / SECONDS_PER_DAY) % DAYS_PER_YEAR;
  return Math.min(WEEKS - 1, Math.floor(dayOfYear / DAYS_PER_WEEK));
}
