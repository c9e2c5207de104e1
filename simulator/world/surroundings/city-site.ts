/**
 * A light of a city, or of a scenario's evening, as a site of a world.
 *
 * Promise: lamp, meter and plan are the city's; the owner's limits are those of the fleet on real sockets,
 * so that the same evening is played on the same terms.
 */
import type { Almanac } from "#core/ports";
import { energyMilliwattHours } from "#core/units";
import type { CityLight } from "../../city/city.ts";
import { lowMarkPermille } from "../../fleet/lights/low-mark.ts";
import { PRICE_CEILING, STREETLIGHT } from "../../profiles/streetlight.ts";
import { DAILY_BUDGET_ATOMIC, QUANTUM_MAX_ATOMIC } from "../../scenario/owner-limits.ts";
import { policyWithin } from "../engine/world-terms.ts";
import type { Site } from "./simulated-site.ts";

/** A light looks at its meter twice in the time that a purchase should last, within these, milliseconds. */
const TICK_LEAST_MS = 15_000;
const TICK_MOST_MS = 300_000;
const TICKS_PER_READING = 4;

interface SiteTerms {
  readonly almanac: Almanac;
  /** What one purchase should last for at rated power. */
  readonly intervalSeconds: number;
  /** Null for the owner's usual. */
  readonly dailyBudgetAtomic: number | null;
}

export function citySite(light: CityLight, terms: SiteTerms): Site {
  const { lamp, meter, meterInitial } = light;
  const { ratedMilliwatts } = lamp;
  const intervalMs = 1000 * terms.intervalSeconds;
  const wantedUnits = Math.max(1, Math.round(energyMilliwattHours(ratedMilliwatts, intervalMs)));
  const tickMs = Math.min(TICK_MOST_MS, Math.max(TICK_LEAST_MS, intervalMs / 2));
  return {
    profile: STREETLIGHT,
    lamp,
    meter,
    meterInitial,
    almanac: terms.almanac,
    wantedUnits,
    settings: {
      policy: policyWithin({
        unit: STREETLIGHT.goods.unit,
        priceCeiling: PRICE_CEILING,
        quantumMaxAtomic: QUANTUM_MAX_ATOMIC,
        dailyBudgetAtomic: terms.dailyBudgetAtomic ?? DAILY_BUDGET_ATOMIC,
      }),
      meter: { rollOverAt: meter.rollOverAt, powerMaxMilliwatts: 2 * ratedMilliwatts },
      ratedMilliwatts,
      lowMarkPermille: lowMarkPermille(meter.resolutionUnits, wantedUnits),
      retry: { firstMs: 2000, maxMs: 60_000 },
      tickMs,
      readingMs: TICKS_PER_READING * tickMs,
      signsOnDemand: true,
      levelWithoutClock: 100,
    },
  };
}
