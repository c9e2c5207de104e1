/**
 * Lamps, meters and dimming plans by class of road, by what cities mount and plan today.
 *
 * Promise: everything a light is made of is drawn from one stream of numbers, in one order.
 */

import type { CityLight, DimmingPlan, RoadClass } from "./city.ts";
import { type LampType, METER_TYPES } from "./lamp-model.ts";
import { type Draw, pick, pickWeighted } from "./random.ts";

interface Road {
  /** Between two lamps of one side, metres. */
  readonly spacingMetres: number;
  readonly bothSides: boolean;
  readonly kerbMetres: number;
  readonly watts: readonly number[];
  readonly plans: readonly (DimmingPlan & { readonly weight: number })[];
}

const FULL: DimmingPlan = { name: "full", steps: [{ localMinute: 0, levelPercent: 100 }] };

function night(name: string, from: string, until: string, levelPercent: number): DimmingPlan {
  const steps = [
    { localMinute: minuteOf(from), levelPercent },
    { localMinute: minuteOf(until), levelPercent: 100 },
  ];
  return { name, steps: steps.sort((left, right) => left.localMinute - right.localMinute) };
}

/** Down in two steps, and dark in the hours without traffic. */
const PART_NIGHT: DimmingPlan = {
  name: "part-night",
  steps: [
    { localMinute: minuteOf("01:00"), levelPercent: 0 },
    { localMinute: minuteOf("04:30"), levelPercent: 60 },
    { localMinute: minuteOf("05:30"), levelPercent: 100 },
    { localMinute: minuteOf("22:00"), levelPercent: 60 },
  ],
};

export const ROADS: Readonly<Record<RoadClass, Road>> = {
  residential: {
    spacingMetres: 27,
    bothSides: false,
    kerbMetres: 4,
    watts: [30, 30, 40, 40, 50],
    plans: [
      { ...night("bi-power", "22:00", "06:00", 50), weight: 5 },
      { ...night("deep", "23:00", "05:00", 30), weight: 3 },
      { ...PART_NIGHT, weight: 2 },
    ],
  },
  secondary: {
    spacingMetres: 33,
    bothSides: false,
    kerbMetres: 6,
    watts: [60, 60, 75, 90],
    plans: [
      { ...night("bi-power", "22:00", "06:00", 50), weight: 6 },
      { ...night("traffic-free", "00:00", "05:00", 40), weight: 3 },
      { ...FULL, weight: 1 },
    ],
  },
  main: {
    spacingMetres: 40,
    bothSides: true,
    kerbMetres: 9,
    watts: [100, 120, 150],
    plans: [
      { ...night("traffic-free", "00:30", "05:00", 70), weight: 6 },
      { ...FULL, weight: 4 },
    ],
  },
};

/** What the lamps of one street have in common. */
export interface RoadFitting {
  readonly ratedMilliwatts: number;
  readonly dimming: DimmingPlan;
}

export function drawRoad(roadClass: RoadClass, draw: Draw): RoadFitting {
  const { watts, plans } = ROADS[roadClass];
  const { name, steps } = pickWeighted(plans, draw);
  return { ratedMilliwatts: 1000 * pick(watts, draw), dimming: { name, steps } };
}

/** What one pole carries. */
export function drawFitting(
  { ratedMilliwatts, dimming }: RoadFitting,
  draw: Draw,
): Pick<CityLight, "lamp" | "meter" | "meterInitial" | "dimming" | "switchEarlyMinutes"> {
  const lamp: LampType = {
    ratedMilliwatts,
    startUpPermille: 1000 + Math.round(150 * draw()),
    startUpMs: Math.round(500 + 2500 * draw()),
    powerFactorPermille: 900 + Math.round(80 * draw()),
  };
  return {
    lamp,
    meter: pick(METER_TYPES, draw),
    meterInitial: Math.floor(5_000_000 * draw()),
    dimming,
    switchEarlyMinutes: Math.round(6 * draw() - 3),
  };
}

/** The class of road that a lamp of this power would stand on. */
export function roadClassOf(ratedMilliwatts: number): RoadClass {
  if (ratedMilliwatts >= 95_000) return "main";
  return ratedMilliwatts >= 55_000 ? "secondary" : "residential";
}

function minuteOf(time: string): number {
  return Number(time.slice(0, 2)) * 60 + Number(time.slice(3));
}
