/**
 * The light wanted by plan, and the light shown for the credit there is.
 *
 * Promise: without credit the lamp shows what the policy says for unpaid light, and never more.
 */
import type { PlanStep } from "./events.ts";
import type { Unpaid } from "./policy.ts";

const MINUTES_PER_DAY = 1440;

/**
 * The level a plan asks for at a wall-clock time, 0..100 per cent. Steps are sorted by minute; before
 * the first one of the day the last one of the day before still holds. Without a plan: dark.
 */
export function plannedLevel(plan: readonly PlanStep[], wallSeconds: number): number {
  if (plan.length === 0) return 0;
  const minute = minuteOfDay(wallSeconds);
  let level = plan[plan.length - 1]!.levelPercent;
  for (const step of plan) if (step.minuteOfDay <= minute) level = step.levelPercent;
  return level;
}

/** Milliseconds until the plan's next step, in 1..86,400,000; Infinity for a plan of fewer than two steps. */
export function msUntilNextStep(plan: readonly PlanStep[], wallSeconds: number): number {
  if (plan.length < 2) return Infinity;
  const now = minuteOfDay(wallSeconds);
  let wait = MINUTES_PER_DAY;
  for (const step of plan) {
    const ahead = step.minuteOfDay - now;
    const later = ahead > 0 ? ahead : ahead + MINUTES_PER_DAY;
    if (later < wait) wait = later;
  }
  return Math.max(1, Math.ceil(wait * 60000));
}

/** The level shown, given the one wanted and whether there is credit. */
export function shownLevel(wantedPercent: number, hasCredit: boolean, unpaid: Unpaid): number {
  if (hasCredit || unpaid.kind === "on") return wantedPercent;
  if (unpaid.kind === "dim") return Math.min(wantedPercent, unpaid.levelPercent);
  return 0;
}

/** Minutes since midnight UTC with their fraction, so that steps are met to the millisecond. */
function minuteOfDay(wallSeconds: number): number {
  return (wallSeconds / 60) % MINUTES_PER_DAY;
}
