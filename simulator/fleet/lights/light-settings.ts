/**
 * The settings of a simulated device's machine: its owner's policy, its site, and what its load knows better.
 *
 * Promise: back-off is a matter of networks, not of simulated time: a quarter of a real second at any speed.
 */
import type { Settings } from "#core/machine";
import type { Policy } from "#core/policy";
import type { SimulatedLoad, Site } from "../../profiles/profile.ts";
import { lowMarkPermille } from "./low-mark.ts";

const TICK_MS = 15_000;
const READING_MS = 60_000;

interface DeviceTerms {
  readonly site: Site;
  readonly load: SimulatedLoad;
  readonly policy: Policy;
  /** What one purchase should bring, units. */
  readonly wantedUnits: number;
  /** Simulated seconds in a second, at most. */
  readonly speed: number;
}

export function settingsOf({ site, load, policy, wantedUnits, speed }: DeviceTerms): Settings {
  const { lamp, meter } = site;
  const { ratedMilliwatts, tickMs, powerMaxMilliwatts } = load.own?.settings ?? {
    ratedMilliwatts: lamp.ratedMilliwatts,
    tickMs: TICK_MS,
    powerMaxMilliwatts: 2 * lamp.ratedMilliwatts,
  };
  return {
    policy,
    meter: { rollOverAt: meter.rollOverAt, powerMaxMilliwatts },
    ratedMilliwatts,
    lowMarkPermille: lowMarkPermille(meter.resolutionUnits, wantedUnits),
    retry: { firstMs: Math.max(1_000, 250 * speed), maxMs: Math.max(30_000, 2_000 * speed) },
    tickMs,
    readingMs: READING_MS,
    signsOnDemand: true,
    levelWithoutClock: 100,
  };
}
