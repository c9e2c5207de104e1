/**
 * Many lights through nights without faults: each by itself, since nothing joins them but sums.
 *
 * Promise: a light's pole follows from seed and number alone, so any split over workers gives the same
 * city; every sum is of integers, and reconciles to the last atomic unit or is named.
 */
import { energyMilliwattHours } from "#core/units";
import { seededRandom } from "../../city/random.ts";
import { Faults } from "../faults.ts";
import { drawPole, PRICE } from "../pole.ts";
import { MENU } from "../terms.ts";
import { type FastTerms, runFastLight } from "./fast-light.ts";

const NO_FAULTS = new Faults("none", () => 0);
const DAY_MS = 86_400_000;
const NIGHT_MS = 14 * 3_600_000;
/** 20 November 2026, 16:00 UTC. */
const EPOCH_SECONDS = Date.UTC(2026, 10, 20, 16) / 1000;
const BALANCE_ATOMIC = 100_000_000;

/** Counters of each light at the end, by its number. */
export interface FastLights {
  readonly register: Float64Array;
  readonly signed: Float64Array;
  readonly charged: Float64Array;
  readonly granted: Float64Array;
  readonly credited: Float64Array;
  readonly delivered: Float64Array;
  readonly purchases: Uint32Array;
  readonly digest: Uint32Array;
}

export interface FastSums {
  readonly lights: number;
  readonly events: number;
  readonly purchases: number;
  readonly signed: number;
  readonly charged: number;
  readonly granted: number;
  /** Mixed from every light's digest and number; the same for any split. */
  readonly digest: number;
  /** What did not add up, at most BREACHES_MAX of them. */
  readonly breaches: readonly string[];
}

const BREACHES_MAX = 8;

/** What one light buys at a time: the quantum on the menu nearest to what it wants, by ratio. */
export function quantumFor(wantedUnits: number): number {
  const distance = (quantum: number) => Math.abs(Math.log((quantum * 1_000_000) / PRICE / wantedUnits));
  return MENU.reduce<number>(
    (best, quantum) => (distance(quantum) < distance(best) ? quantum : best),
    MENU[0],
  );
}

export function termsOf(wantedUnits: number, nights: number): FastTerms {
  return {
    epochSeconds: EPOCH_SECONDS,
    endMs: (nights - 1) * DAY_MS + NIGHT_MS,
    pricePerMillionUnits: PRICE,
    quantumAtomic: quantumFor(wantedUnits),
    balanceAtomic: BALANCE_ATOMIC,
  };
}

/** The pole of a light of a city. */
export function poleAt(seed: number, index: number) {
  const random = seededRandom((Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) >>> 0);
  return drawPole(random, NO_FAULTS);
}

/** Lights `from` to `to` (exclusive) of a city. @param progress called now and then with the lights done */
export function runFastCity(
  options: { readonly seed: number; readonly nights: number; readonly from: number; readonly to: number },
  progress: (done: number) => void,
): FastSums {
  const { seed, nights, from, to } = options;
  const lights = allocate(to - from);
  const breaches: string[] = [];
  let events = 0;
  for (let index = from; index < to; index++) {
    const pole = poleAt(seed, index);
    const terms = termsOf(pole.wantedUnits, nights);
    const result = runFastLight(pole, terms, null);
    const at = index - from;
    lights.register[at] = result.register - result.registerAtOpen;
    lights.signed[at] = result.signed;
    lights.charged[at] = result.charged;
    lights.granted[at] = result.granted;
    lights.credited[at] = result.credited;
    lights.delivered[at] = result.deliveredMilliwattHours;
    lights.purchases[at] = result.purchases;
    lights.digest[at] = result.digest;
    events += result.events;
    const quantumUnits = Math.floor((terms.quantumAtomic * 1_000_000) / terms.pricePerMillionUnits);
    if (result.aheadMilliwattHours > quantumUnits)
      breaches.push(`E2 light ${index}: delivered beyond one quantum`);
    const { lamp, meter, settings } = pole;
    const tickUnits = energyMilliwattHours(
      (lamp.ratedMilliwatts * lamp.startUpPermille) / 1000,
      settings.tickMs,
    );
    const wrong = reconcile(lights, at, terms, meter.resolutionMilliwattHours, tickUnits);
    if (wrong !== null && breaches.length < BREACHES_MAX) breaches.push(`${wrong}, light ${index}`);
    if (index % 1000 === 999) progress(index + 1 - from);
  }
  return { ...sum(lights, from), events, breaches };
}

/** What of one light's counters does not add up; null when all does. */
function reconcile(
  lights: FastLights,
  at: number,
  terms: FastTerms,
  resolution: number,
  tickUnits: number,
): string | null {
  const [signed, charged] = [lights.signed[at]!, lights.charged[at]!];
  const underWay = signed - charged;
  if (underWay !== 0 && underWay !== terms.quantumAtomic) return `M2: ${signed} signed, ${charged} charged`;
  if (charged !== (lights.purchases[at]! - underWay / terms.quantumAtomic) * terms.quantumAtomic) {
    return `M3: ${charged} charged in ${lights.purchases[at]} purchases`;
  }
  const granted = Math.floor((charged * 1_000_000) / terms.pricePerMillionUnits);
  if (lights.granted[at] !== granted)
    return `M2: ${lights.granted[at]} granted for ${charged}, not ${granted}`;
  if (lights.credited[at] !== granted) return `M2: ${lights.credited[at]} credited of ${granted} granted`;
  const unseen = lights.delivered[at]! - lights.register[at]!;
  // Between two looks the lamp may burn for a tick; the meter shows whole steps.
  if (unseen < -resolution || unseen > resolution + tickUnits) return `E1: ${unseen} mWh not counted`;
  return null;
}

function sum(lights: FastLights, from: number): Omit<FastSums, "events" | "breaches"> {
  const sums = { lights: lights.signed.length, purchases: 0, signed: 0, charged: 0, granted: 0, digest: 0 };
  for (let at = 0; at < lights.signed.length; at++) {
    sums.purchases += lights.purchases[at]!;
    sums.signed += lights.signed[at]!;
    sums.charged += lights.charged[at]!;
    sums.granted += lights.granted[at]!;
    sums.digest = (sums.digest + Math.imul(lights.digest[at]! ^ (from + at), 0x9e3779b1)) >>> 0;
  }
  return sums;
}

function allocate(length: number): FastLights {
  return {
    register: new Float64Array(length),
    signed: new Float64Array(length),
    charged: new Float64Array(length),
    granted: new Float64Array(length),
    credited: new Float64Array(length),
    delivered: new Float64Array(length),
    purchases: new Uint32Array(length),
    digest: new Uint32Array(length),
  };
}
