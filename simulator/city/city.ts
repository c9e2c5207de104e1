/**
 * A city as far as its lights are concerned: where they stand, what they draw, when they shine. Plain data,
 * made by generate.ts from a seed or by inventory.ts from a file.
 */
import type { LampType, MeterType } from "./lamp-model.ts";

export type RoadClass = "residential" | "secondary" | "main";

/** Local clock time from which on a lamp that shines has this level, 0..100 per cent. */
interface DimStep {
  /** 0..1439 */
  readonly localMinute: number;
  readonly levelPercent: number;
}

/** Steps in order of their minute; the last one holds over midnight. One step at least. */
export interface DimmingPlan {
  readonly name: string;
  readonly steps: readonly DimStep[];
}

export interface CityLight {
  /** Unique in the city. */
  readonly name: string;
  readonly street: string;
  /** The cabinet whose meter sees what this light really draws. */
  readonly feeder: string;
  readonly roadClass: RoadClass;
  /** WGS 84 degrees. */
  readonly latitude: number;
  readonly longitude: number;
  readonly lamp: LampType;
  readonly meter: MeterType;
  /** mWh on the meter when the simulation begins. */
  readonly meterInitial: number;
  readonly dimming: DimmingPlan;
  /** How far this lamp's twilight switch is off, minutes; earlier in the evening when positive. */
  readonly switchEarlyMinutes: number;
}

export interface City {
  readonly name: string;
  readonly seed: number;
  /** Middle, WGS 84 degrees. */
  readonly latitude: number;
  readonly longitude: number;
  /** IANA name: dimming plans go by the local clock. */
  readonly timeZone: string;
  /** In the order in which they were made: nearest to the middle first. */
  readonly lights: readonly CityLight[];
}
