/**
 * Many lights through nights without faults: each by itself, since nothing joins them but sums.
 *
 * Promise: a light's night follows from the town and its number alone, so any split over workers gives the
 * same city; every sum is of integers, and reconciles to the last atomic unit or is named.
 */
import { energyMilliwattHours } from "#core/units";
import { chooseQuantum } from "#gateway/purchase/channels";
import { MENU } from "../engine/world-terms.ts";
import type { Site } from "../surroundings/simulated-site.ts";
import { type FastResult, type FastTerms, runFastLight } from "./fast-light.ts";
import type { FastPrice } from "./fast-sales.ts";
import type { CitySampler } from "./fast-samples.ts";

const BALANCE_ATOMIC = 100_000_000;
const MICRO = 1_000_000;

/** Where lights stand, what they burn and what it costs: drawn (drawn-town.ts) or a city's (evening-plan.ts). */
export interface Town {
  readonly epochSeconds: number;
  readonly endMs: number;
  /** At least one price, in the order of their instants. */
  readonly prices: readonly Omit<FastPrice, "quantumAtomic">[];
  /** Of a light by its number, from 0. */
  siteAt(index: number): Site;
}

/** What a light came to, for those who show each by itself. */
export interface FastLights {
  readonly purchases: Uint32Array;
  readonly charged: Float64Array;
  readonly delivered: Float64Array;
  readonly starvedMs: Float64Array;
  readonly longestStarvedMs: Float64Array;
  /** What the register reported at the end, and what was drawn when it was read last. */
  readonly registered: Float64Array;
  readonly drawnWhenRead: Float64Array;
}

export interface FastSums {
  readonly lights: number;
  readonly events: number;
  readonly purchases: number;
  readonly signed: number;
  readonly charged: number;
  readonly granted: number;
  readonly consumed: number;
  /** Mixed from every light's digest and number; the same for any split. */
  readonly digest: number;
  /** What did not add up, at most VIOLATIONS_MAX of them. */
  readonly violations: readonly string[];
}

const VIOLATIONS_MAX = 8;

/** What the gateway would offer a light that wants so much at a time, at each of a town's prices. */
export function termsOf({ epochSeconds, endMs, prices }: Town, wantedUnits: number): FastTerms {
  return {
    epochSeconds,
    endMs,
    prices: prices.map(({ fromMs, pricePerMillionUnits }) => {
      const tariff = { unit: "mWh", pricePerMillionUnits, validUntilSeconds: 0, menu: MENU };
      return { fromMs, pricePerMillionUnits, quantumAtomic: chooseQuantum(tariff, wantedUnits, 0) };
    }),
    balanceAtomic: BALANCE_ATOMIC,
  };
}

/** Lights `from` to `to` (exclusive) of a town. @param look what is kept for a report; null for sums alone */
export function runFastCity(
  town: Town,
  from: number,
  to: number,
  look: CitySampler | null = null,
): { readonly sums: FastSums; readonly lights: FastLights } {
  const lights = allocate(to - from);
  const sums = { lights: to - from, events: 0, purchases: 0, signed: 0, charged: 0, granted: 0, consumed: 0 };
  const violations: string[] = [];
  let digest = 0;
  for (let index = from; index < to; index++) {
    const site = town.siteAt(index);
    const terms = termsOf(town, site.wantedUnits);
    const result = runFastLight(site, terms, null, look?.samplerOf(site));
    const at = index - from;
    lights.purchases[at] = result.purchases;
    lights.charged[at] = result.charged;
    lights.delivered[at] = result.deliveredMilliwattHours;
    lights.starvedMs[at] = result.starvedMs;
    lights.longestStarvedMs[at] = result.longestStarvedMs;
    lights.registered[at] = result.register - result.registerAtOpen;
    lights.drawnWhenRead[at] = result.drawnWhenReadMilliwattHours;
    sums.events += result.events;
    sums.purchases += result.purchases;
    sums.signed += result.signed;
    sums.charged += result.charged;
    sums.granted += result.granted;
    sums.consumed += result.register - result.registerAtOpen;
    digest = (digest + Math.imul(result.digest ^ index, 0x9e3779b1)) >>> 0;
    const wrong = reconcile(result, terms, site);
    if (wrong !== null && violations.length < VIOLATIONS_MAX) violations.push(`${wrong}, light ${index}`);
  }
  return { sums: { ...sums, digest, violations }, lights };
}

/** What of one light's counters does not add up; null when all does. */
export function reconcile(result: FastResult, { prices }: FastTerms, site: Site): string | null {
  const { signed, charged, granted, credited, boughtMicroAtomic } = result;
  const underWay = signed - charged;
  if (underWay !== 0 && !prices.some(({ quantumAtomic }) => quantumAtomic === underWay)) {
    return `M2: ${signed} signed, ${charged} charged`;
  }
  const [only] = prices;
  const made = result.purchases - (underWay === 0 ? 0 : 1);
  if (prices.length === 1 && charged !== made * only!.quantumAtomic) {
    return `M3: ${charged} charged in ${result.purchases} purchases`;
  }
  const dearest = prices.reduce((most, price) => Math.max(most, price.pricePerMillionUnits), 0);
  // Money not yet turned into energy is less than the price of one unit.
  const left = charged * MICRO - boughtMicroAtomic;
  if (left < 0 || left >= dearest) return `M2: ${granted} granted for ${charged}, ${left} micro-units left`;
  if (credited !== granted) return `M2: ${credited} credited of ${granted} granted`;
  const quantumUnits = prices.reduce(
    (most, { quantumAtomic, pricePerMillionUnits }) =>
      Math.max(most, Math.floor((quantumAtomic * MICRO) / pricePerMillionUnits)),
    0,
  );
  if (result.aheadMilliwattHours > quantumUnits) return "E2: delivered beyond one quantum";
  return unseen(result, site);
}

/** Between two looks the lamp may burn for a tick; the meter shows whole steps. */
function unseen(result: FastResult, { lamp, meter, settings }: Site): string | null {
  const drawnMilliwatts = (lamp.ratedMilliwatts * lamp.startUpPermille) / 1000;
  const tickUnits = energyMilliwattHours(drawnMilliwatts, settings.tickMs);
  const units = result.deliveredMilliwattHours - (result.register - result.registerAtOpen);
  const { resolutionUnits: resolutionMilliwattHours } = meter;
  if (units >= -resolutionMilliwattHours && units <= resolutionMilliwattHours + tickUnits) return null;
  return `E1: ${units} mWh not counted`;
}

function allocate(length: number): FastLights {
  return {
    purchases: new Uint32Array(length),
    charged: new Float64Array(length),
    delivered: new Float64Array(length),
    starvedMs: new Float64Array(length),
    longestStarvedMs: new Float64Array(length),
    registered: new Float64Array(length),
    drawnWhenRead: new Float64Array(length),
  };
}
