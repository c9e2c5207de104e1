/**
 * What stands on the poles of a simulated street: lamps, meters and plans, drawn from a seed.
 *
 * Promise: the same seed and number give the same street.
 */
import type { PlanStep } from "#core/events";
import { type LampType, METER_TYPES, type MeterType } from "./lamp-model.ts";

export interface Pole {
  readonly lamp: LampType;
  readonly meter: MeterType;
  /** mWh on the meter when the simulation begins. */
  readonly meterInitial: number;
  readonly plan: readonly PlanStep[];
  /** Uniform numbers of this pole's own, for jitter. */
  readonly random: () => number;
}

/** Wattages of LED street lighting, residential streets to main roads. */
const WATTS: readonly number[] = [30, 40, 60, 60, 90, 120];

const DUSK_MINUTE = 16 * 60 + 30;
const DAWN_MINUTE = 7 * 60 + 40;
const DIM_FROM_MINUTE = 22 * 60;
const DIM_UNTIL_MINUTE = 5 * 60;

/** @param seed any integer */
export function buildStreet(lights: number, seed: number): Pole[] {
  const random = seededRandom(seed);
  return Array.from({ length: lights }, (_, index) => buildPole(random, seededRandom(seed + 1 + index)));
}

function buildPole(random: () => number, own: () => number): Pole {
  const ratedMilliwatts = 1000 * pick(WATTS, random);
  return {
    lamp: {
      ratedMilliwatts,
      startUpPermille: 1000 + Math.round(150 * random()),
      startUpMs: Math.round(500 + 2500 * random()),
      powerFactorPermille: 900 + Math.round(80 * random()),
    },
    meter: pick(METER_TYPES, random),
    meterInitial: Math.floor(5_000_000 * random()),
    plan: planOf(random),
    random: own,
  };
}

/** Dusk to dawn in a northern winter; two lamps in three are dimmed while the street sleeps. */
function planOf(random: () => number): PlanStep[] {
  const dusk = DUSK_MINUTE + Math.floor(10 * random());
  const dawn = DAWN_MINUTE + Math.floor(10 * random());
  const dimmed = random() < 2 / 3 ? 50 + 10 * Math.floor(3 * random()) : 100;
  return [
    { minuteOfDay: DIM_UNTIL_MINUTE, levelPercent: 100 },
    { minuteOfDay: dawn, levelPercent: 0 },
    { minuteOfDay: dusk, levelPercent: 100 },
    { minuteOfDay: DIM_FROM_MINUTE, levelPercent: dimmed },
  ];
}

function pick<Item>(items: readonly Item[], random: () => number): Item {
  return items[Math.floor(random() * items.length)]!;
}

/** A small generator with a period of 2^32 (mulberry32): enough for streets, never for secrets. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
