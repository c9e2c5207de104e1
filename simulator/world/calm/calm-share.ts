/**
 * A worker's share of a calm city: it takes the next thousand lights until none is left.
 *
 * Promise: a light's counters depend on the city and its number alone, so any number of workers gives
 * the same city.
 */
import type { Settings } from "#core/machine";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { seededRandom } from "../../city/random.ts";
import { cityAlmanac } from "../../city/sun.ts";
import type { LampType, MeterType } from "../../fleet/lamp-model.ts";
import type { Pole } from "../../fleet/street.ts";
import { DEFAULT_MENU, flatTariff, quoting } from "../../utility/tariff.ts";
import { NETWORK, RECEIVER, TOKEN } from "../terms.ts";
import { type CalmCounters, type CalmOptions, runCalmLight } from "./calm-light.ts";
import { type PackedCity, unpackLight } from "./packed-city.ts";

export interface CalmShare {
  readonly city: PackedCity;
  readonly epochSeconds: number;
  readonly durationMs: number;
  readonly pricePerMillionUnits: number;
  /** The next light nobody took; one Int32. */
  readonly next: SharedArrayBuffer;
  /** COUNTERS numbers a light. */
  readonly results: SharedArrayBuffer;
}

/** The counters of a light in its row of `results`. */
export const COUNTERS: readonly (keyof CalmCounters)[] = [
  "signed",
  "credited",
  "consumed",
  "charged",
  "granted",
  "purchases",
  "delivered",
  "starvedMs",
  "events",
  "hash",
  "broken",
];

const LIGHTS_AT_ONCE = 1_000;

/** What one purchase should last for at full light, minutes. */
const PURCHASE_MINUTES = 15;
const ANSWER_MS = 60;
const DEPOSIT_ATOMIC = 10_000_000;
const LOW_MARK_PERMILLE = 600;

export function runShare(share: CalmShare): void {
  const { city, epochSeconds, durationMs } = share;
  const next = new Int32Array(share.next);
  const results = new Float64Array(share.results);
  const options: CalmOptions = {
    epochSeconds,
    durationMs,
    quote: quoting(flatTariff(share.pricePerMillionUnits)),
    menu: DEFAULT_MENU,
    terms: {
      scheme: "batch-settlement",
      network: NETWORK,
      asset: TOKEN,
      payTo: RECEIVER,
      contract: BATCH_SETTLEMENT_ADDRESS,
      tokenName: "USD Coin",
      tokenVersion: "2",
    },
    balance: DEPOSIT_ATOMIC,
    answerMs: ANSWER_MS,
  };
  const almanacOf = cityAlmanac({ ...city, name: "", lights: [] });
  for (;;) {
    const first = Atomics.add(next, 0, LIGHTS_AT_ONCE);
    if (first >= city.lights) return;
    const end = Math.min(city.lights, first + LIGHTS_AT_ONCE);
    for (let nth = first; nth < end; nth++) {
      const { name, lamp, meter, meterInitial, ...rest } = unpackLight(city, nth);
      const almanac = almanacOf({ name, lamp, meter, meterInitial, ...rest });
      const pole: Pole = {
        name,
        lamp,
        meter,
        meterInitial,
        almanac,
        random: seededRandom(city.seed + 1 + nth),
      };
      const wantedUnits = Math.round((lamp.ratedMilliwatts * PURCHASE_MINUTES) / 60);
      const settings = calmSettings(lamp, meter, wantedUnits);
      const counters = runCalmLight(pole, settings, wantedUnits, channelIdOf(nth), options);
      COUNTERS.forEach((name, column) => {
        results[nth * COUNTERS.length + column] = counters[name];
      });
    }
  }
}

/** What a city's light allows itself. */
export function calmSettings(lamp: LampType, meter: MeterType, wantedUnits: number): Settings {
  // A coarse meter's step takes that much credit at once.
  const step = Math.ceil((1000 * meter.resolutionMilliwattHours) / wantedUnits);
  return {
    policy: {
      schemes: ["batch-settlement"],
      network: NETWORK,
      asset: TOKEN,
      contracts: [BATCH_SETTLEMENT_ADDRESS],
      payees: [RECEIVER],
      unit: "mWh",
      priceCeiling: 4_000_000,
      quantumMaxAtomic: 100_000,
      dailyBudgetAtomic: DEPOSIT_ATOMIC,
      unpaid: { kind: "off" },
    },
    meter: { rollOverAt: meter.rollOverAt, powerMaxMilliwatts: 2 * lamp.ratedMilliwatts },
    ratedMilliwatts: lamp.ratedMilliwatts,
    lowMarkPermille: Math.min(10_000, Math.max(LOW_MARK_PERMILLE, step)),
    retry: { firstMs: 2_000, maxMs: 60_000 },
    tickMs: 900_000,
    readingMs: 3_600_000,
    levelWithoutClock: 100,
  };
}

/** A channel of its own for every light; nothing is signed for it. */
function channelIdOf(nth: number): string {
  return `0x${nth.toString(16).padStart(8, "0")}${"0".repeat(56)}`;
}
