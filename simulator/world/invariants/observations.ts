/** What the oracle keeps of one light: what it saw it do, never what it says. */
import type { Light } from "../actors/device.ts";
import { PricesHeard } from "./prices-heard.ts";

/** A load that breaks its limits is named within this. */
const NAMED_WITHIN_MS = 600_000;

export interface Observations {
  readonly light: Light;
  register: number;
  /** Rungs published, by channel tag and amount, with their signatures. */
  readonly rungs: Map<string, string>;
  readonly highestRung: Map<number, number>;
  /** Units sold to it, over all channels, each rung once. */
  soldUnits: number;
  largestSaleUnits: number;
  signedByDay: Map<number, number>;
  readonly prices: PricesHeard;
  darkSinceMs: number | null;
  unnamedSinceMs: number | null;
  channelIds: Set<string>;
}

export function newObservations(light: Light): Observations {
  return {
    light,
    register: 0,
    rungs: new Map(),
    highestRung: new Map(),
    soldUnits: 0,
    largestSaleUnits: 0,
    signedByDay: new Map(),
    prices: new PricesHeard(light.site.settings.policy.priceCeiling),
    darkSinceMs: null,
    unnamedSinceMs: null,
    channelIds: new Set(),
  };
}

/** Whether a light's own budget and its channels' limit leave room for another rung. */
export function hasRoom(
  { light, signedByDay, channelIds }: Observations,
  signedMax: ReadonlyMap<string, number>,
  perChannelAtomic: number,
): boolean {
  const { dailyBudgetAtomic, quantumMaxAtomic } = light.site.settings.policy;
  const today = signedByDay.get(light.clock.latestDay) ?? 0;
  // A day that the clock only visited was begun with money of the day before.
  let sum = 0;
  for (const signed of signedByDay.values()) sum += signed;
  const room = 3 * quantumMaxAtomic;
  for (const id of channelIds) if ((signedMax.get(id) ?? 0) + room >= perChannelAtomic) return false;
  return Math.max(today, sum) + room < dailyBudgetAtomic;
}

/** Why a load is named as one that breaks its limits, or should have been by now, in one line; null when that is right. */
export function namingFault(seen: Observations, nowMs: number): string | null {
  const { light } = seen;
  const { meter } = light;
  if (meter.isAccused && !meter.disobeys)
    return `${light.name}: it obeys its limits, and is named as one that does not`;
  const delivered = meter.deliveredUnits();
  const allowed = seen.soldUnits + seen.largestSaleUnits;
  const isFound = !meter.disobeys || meter.isNamed || delivered <= allowed || light.memoryLost;
  seen.unnamedSinceMs = isFound ? null : (seen.unnamedSinceMs ?? nowMs);
  if (seen.unnamedSinceMs === null || nowMs - seen.unnamedSinceMs < NAMED_WITHIN_MS) return null;
  return `${light.name}: ${delivered.toFixed(0)} units delivered, ${allowed} allowed, and it is not named`;
}
