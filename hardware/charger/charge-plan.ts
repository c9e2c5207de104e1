/**
 * A car's wish as a plan that answers prices: the energy is there by its time, in the hours that are cheap by then.
 *
 * Promise: a wish without a time, and one whose time is over, is charged at once.
 */
import type { Clock } from "#core/ports";
import { deadlinePlan, type PricedPlan } from "#market/priced-plan";
import type { CarVisit } from "./car-visit.ts";
import type { LimitRange } from "./limits/paid-limit.ts";

/** @param deliveredOf milliwatt-hours since the car came; null while it may take no more */
export function pricedPlan(
  visit: Pick<CarVisit, "wishNow" | "deadline">,
  { minMilliwatts, maxMilliwatts }: LimitRange,
  deliveredOf: () => number | null,
): PricedPlan {
  const power = { most: maxMilliwatts, least: minMilliwatts };
  return deadlinePlan((wallSeconds) => {
    const delivered = deliveredOf();
    if (delivered === null) return null;
    const { energyMilliwattHours } = visit.wishNow();
    const deadlineSeconds = visit.deadline();
    const isTimed =
      energyMilliwattHours !== null && deadlineSeconds !== null && deadlineSeconds > wallSeconds;
    if (isTimed) return { unitsLeft: energyMilliwattHours - delivered, deadlineSeconds };
    return { unitsLeft: Number.POSITIVE_INFINITY, deadlineSeconds: wallSeconds };
  }, power);
}

/** What is wanted changed. */
export function lookNow(plan: PricedPlan, clock: Pick<Clock, "wallSeconds">): void {
  const wallSeconds = clock.wallSeconds();
  if (wallSeconds !== null) plan.look(wallSeconds);
}
