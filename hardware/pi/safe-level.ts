/**
 * The level a lamp is left at while nothing is metered and nothing is paid.
 *
 * Promise: it is what the owner's policy says of unpaid light, at this hour of the lamp's plan: the same
 * level that the machine leaves behind when it stops in good order.
 */
import { plannedLevel, shownLevel } from "#core/lamp";
import type { Almanac } from "#core/ports";
import { fixedAlmanac, sunAlmanac } from "#node/almanac";
import type { DeviceConfig } from "#node/config/device-config";

/** A charger's own plan is its cars'; without one it is off. */
export function almanacOf(config: DeviceConfig): Almanac {
  if (config.plan === null) return fixedAlmanac([{ minuteOfDay: 0, levelPercent: 0 }]);
  return "sun" in config.plan ? sunAlmanac(config.plan.sun) : fixedAlmanac(config.plan.steps);
}

/** @param wallSeconds Unix seconds; null while the clock is not trusted @returns 0..100 per cent */
export function safeLevelPercent(config: DeviceConfig, wallSeconds: number | null): number {
  const wanted =
    wallSeconds === null
      ? config.settings.levelWithoutClock
      : plannedLevel(almanacOf(config).plan(wallSeconds), wallSeconds);
  return shownLevel(wanted, false, config.settings.policy.unpaid);
}
