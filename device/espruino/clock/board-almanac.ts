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
      /** WEEKS of them from the first of January on, as packWeeks writes them. */
      readonly weeks: string;
    };

/** Weeks of a year, the last one short. */
export const WEEKS = 53;

const SECONDS_PER_DAY = 86400;
const DAYS_PER_YEAR = 365.2425;
/** 1970-01-01 was the beginning of one. */
const DAYS_PER_WEEK = 7;

/** Decimal digits of a week: dawn 4, dusk 4, level 3. As objects a year would take 500 variables of a board. */
const WEEK_DIGITS = 11;

/** A year of weeks as text. */
export function packWeeks(weeks: readonly TwilightWeek[]): string {
  let packed = "";
  for (const { dawnMinute, duskMinute, allDayPercent } of weeks) {
    packed += digits(dawnMinute, 4) + digits(duskMinute, 4) + digits(allDayPercent, 3);
  }
  return packed;
}

export function boardAlmanac(plan: BoardPlan): Almanac {
  return {
    plan(wallSeconds) {
      if (plan.kind === "steps") return plan.steps;
      const week = weekIn(plan.weeks, weekOf(wallSeconds));
      if (week.dawnMinute === week.duskMinute) return [{ minuteOfDay: 0, levelPercent: week.allDayPercent }];
      const dawn = { minuteOfDay: week.dawnMinute, levelPercent: plan.dayPercent };
      const dusk = { minuteOfDay: week.duskMinute, levelPercent: plan.nightPercent };
      return dawn.minuteOfDay < dusk.minuteOfDay ? [dawn, dusk] : [dusk, dawn];
    },
  };
}

/** Which of the year's weeks a Unix time is in, 0..52. */
function weekOf(wallSeconds: number): number {
  const dayOfYear = Math.floor(wallSeconds / SECONDS_PER_DAY) % DAYS_PER_YEAR;
  return Math.min(WEEKS - 1, Math.floor(dayOfYear / DAYS_PER_WEEK));
}

function weekIn(weeks: string, week: number): TwilightWeek {
  const at = week * WEEK_DIGITS;
  return {
    // Without its base a leading zero would make it octal on a board.
    dawnMinute: parseInt(weeks.substr(at, 4), 10),
    duskMinute: parseInt(weeks.substr(at + 4, 4), 10),
    allDayPercent: parseInt(weeks.substr(at + 8, 3), 10),
  };
}

function digits(value: number, width: number): string {
  return `000${value}`.slice(-width);
}
