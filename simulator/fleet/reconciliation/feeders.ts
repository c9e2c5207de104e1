/**
 * What the meters in the cabinets saw, held against what the lights on them reported.
 *
 * Promise: a feeder is suspected only when more is missing than the resolution of its lights' meters
 * explains; who cheats on its own meter cannot hide from the one before it.
 */

import type { City } from "../../city/city.ts";
import { STREETLIGHT } from "../../profiles/streetlight.ts";
import type { EveningLight } from "../recorded-evening.ts";

/** The feeders of a city's lights, as they stand now. */
export function feedersOf(city: City, lights: readonly EveningLight[]): Feeder[] {
  const feeders = new Map(city.lights.map(({ name, feeder }) => [name, feeder]));
  return readFeeders(
    lights
      .filter(({ site }) => site.profile === STREETLIGHT)
      .map((light) => ({
        feeder: feeders.get(light.name)!,
        drawnMilliwattHours: light.drawnAtReadingUnits(),
        registeredMilliwattHours: light.consumedUnits(),
        resolutionMilliwattHours: light.site.meter.resolutionUnits,
      })),
  );
}

/** A light as its feeder knows it. */
export interface FeederLight {
  readonly feeder: string;
  /** What it really drew until its own meter was read, mWh: the feeder's meter is beyond its reach. */
  readonly drawnMilliwattHours: number;
  /** What its own register reported, mWh. */
  readonly registeredMilliwattHours: number;
  readonly resolutionMilliwattHours: number;
}

export interface Feeder {
  readonly name: string;
  readonly lights: number;
  readonly suppliedMilliwattHours: number;
  readonly registeredMilliwattHours: number;
  /** Supplied less registered; below 0 when meters round in the lights' disfavour. */
  readonly missingMilliwattHours: number;
  /** What rounding may explain. */
  readonly toleranceMilliwattHours: number;
  readonly suspected: boolean;
}

/** Standard deviations of the rounding that are believed to be rounding. */
const DEVIATIONS = 5;

/**
 * Feeders, the one with most missing first. A meter that counts in steps of r is off by the difference of
 * two roundings, each uniform over r: a variance of r²/6.
 */
export function readFeeders(lights: readonly FeederLight[]): Feeder[] {
  const byFeeder = new Map<string, FeederLight[]>();
  for (const light of lights) {
    const others = byFeeder.get(light.feeder);
    if (others) others.push(light);
    else byFeeder.set(light.feeder, [light]);
  }
  return [...byFeeder]
    .map(([name, members]) => feederOf(name, members))
    .sort((left, right) => right.missingMilliwattHours - left.missingMilliwattHours);
}

function feederOf(name: string, members: readonly FeederLight[]): Feeder {
  const sum = (of: (light: FeederLight) => number) => members.reduce((total, one) => total + of(one), 0);
  const supplied = sum((light) => light.drawnMilliwattHours);
  const registered = sum((light) => light.registeredMilliwattHours);
  const variance = sum(({ resolutionMilliwattHours: step }) => (step * step) / 6);
  // No rounding is larger than every meter's whole step together.
  const most = sum((light) => light.resolutionMilliwattHours);
  const tolerance = Math.min(most, DEVIATIONS * Math.sqrt(variance)) + 1;
  return {
    name,
    lights: members.length,
    suppliedMilliwattHours: supplied,
    registeredMilliwattHours: registered,
    missingMilliwattHours: supplied - registered,
    toleranceMilliwattHours: tolerance,
    suspected: supplied - registered > tolerance,
  };
}
