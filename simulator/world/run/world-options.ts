/**
 * When and where a world plays: its nights, sites, prices and limits. Drawn from the seed here; an
 * evening by scenario or city brings its own (evening.ts).
 *
 * Promise: the same seed and faults draw the same setting.
 */

import { profileNamed } from "../../profiles/profiles.ts";
import { STREETLIGHT } from "../../profiles/streetlight.ts";
import { type PricePoint, seriesTariff, type Tariff } from "../../seller/sale/tariff.ts";
import type { Ceilings } from "../actors/adversary.ts";
import { type LightOwner, NO_OWNER } from "../actors/device.ts";
import type { FaultTargets } from "../actors/fault-schedule.ts";
import { DAY_MS, EPOCH_SECONDS, HOUR_MS, spanMs } from "../engine/calendar.ts";
import type { FaultChoice, Faults } from "../engine/faults.ts";
import type { Signing } from "../engine/signing.ts";
import type { World } from "../engine/world.ts";
import { drawSite, pricesOf, QUANTUM_MAX_ATOMIC, type Site } from "../surroundings/simulated-site.ts";

export interface WorldOptions {
  readonly seed: number;
  readonly lights: number;
  readonly nights: number;
  readonly faults: FaultChoice;
  readonly signing: Signing;
  /** So many lights, the first ones, keep memory and rungs as an Espruino board does. */
  readonly boards?: number;
  /** The seller charges this share of each voucher, 1..100; all of it when absent. */
  readonly chargePercent?: number | undefined;
  /** What the devices are; streetlights when absent. */
  readonly profile?: string | undefined;
}

export interface Setting {
  /** Unix time at which the world begins. */
  readonly epochSeconds: number;
  /** From then on nothing new goes wrong, world milliseconds. */
  readonly peaceAtMs: number;
  /** From then on each light that can pay is lit; beyond `endMs` for a night without that check. */
  readonly litFromMs: number;
  /** The lights' fuse is out. */
  readonly endMs: number;
  /** Most money in one channel. */
  readonly perChannelAtomic: number;
  readonly ceilings: Ceilings;
  readonly tariff: Tariff;
  /** What the devices count and the seller sells. */
  readonly unit: string;
  readonly sites: readonly Site[];
  readonly ownerOf: (index: number) => LightOwner;
  /** Everything is built, no time has passed yet. */
  begin(parts: FaultTargets): void;
  /** Nothing moves any more. */
  end(parts: FaultTargets): void;
}

/** Peace at the end of the last night, and how long lights may need to find it. */
export const PEACE_MS = 2 * HOUR_MS;
export const LIT_WITHIN_MS = 20 * 60_000;
/** Most in one channel: plenty, or in some worlds too little for a night. */
export const PER_CHANNEL_ATOMIC = 6_000_000;
const TIGHT_CHANNEL_ATOMIC = 80_000;
const TIGHT_SHARE = 0.15;

export function drawWorldSetting(options: WorldOptions, world: World, faults: Faults): Setting {
  const endMs = spanMs(options.nights);
  const peaceAtMs = endMs - PEACE_MS;
  const isTight = world.stream("limits")() < TIGHT_SHARE;
  const draw = world.stream("poles");
  const profile = profileNamed(options.profile ?? STREETLIGHT.name);
  const { price, ceiling } = pricesOf(profile);
  return {
    epochSeconds: EPOCH_SECONDS,
    peaceAtMs,
    litFromMs: peaceAtMs + LIT_WITHIN_MS,
    endMs,
    perChannelAtomic: isTight ? TIGHT_CHANNEL_ATOMIC : PER_CHANNEL_ATOMIC,
    ceilings: { priceCeiling: ceiling, quantumMaxAtomic: QUANTUM_MAX_ATOMIC },
    tariff: drawTariff(world, faults, peaceAtMs, price, ceiling),
    unit: profile.goods.unit,
    sites: Array.from({ length: options.lights }, () => drawSite(draw, faults, profile)),
    ownerOf: () => NO_OWNER,
    begin: () => {},
    end: () => {},
  };
}

/** Prices of a day, and peaks that no light pays; flat once there is peace. */
function drawTariff(world: World, faults: Faults, peaceAtMs: number, price: number, ceiling: number): Tariff {
  const draw = world.stream("tariff");
  const points: PricePoint[] = [];
  const set = (atMs: number, pricePerMillionUnits: number) =>
    points.push({ startSeconds: Math.floor(EPOCH_SECONDS + atMs / 1000), pricePerMillionUnits });
  set(-DAY_MS, price);
  for (let atMs = HOUR_MS; atMs < peaceAtMs - HOUR_MS; atMs += HOUR_MS) {
    if (faults.severity("price-change") > 0 && draw() < 0.4) {
      set(atMs, Math.round(price * (0.4 + 1.4 * draw())));
      world.at(atMs, () => faults.fired("price-change"));
    }
    if (faults.severity("price-spike") > 0 && draw() < 0.1) {
      set(atMs + 60_000, ceiling + 1 + Math.round(price * draw()));
      set(atMs + 60_000 + Math.round(0.8 * HOUR_MS * draw()) + 1000, price);
      world.at(atMs + 60_000, () => faults.fired("price-spike"));
    }
  }
  set(peaceAtMs, price);
  return seriesTariff(points);
}
