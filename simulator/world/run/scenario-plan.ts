/**
 * A scenario's evening or a city's nights, planned for a world: by the same rules as for the fleet on real
 * sockets.
 *
 * Promise: the same request gives the same plan in every worker; the latest is kept, since jobs of one run
 * share theirs.
 */
import type { PlanStep } from "#core/events";
import type { Almanac } from "#core/ports";
import { Watt402Error } from "#payment/watt402-error";
import type { City } from "../../city/city.ts";
import { INVENTORY_LIGHTS_MAX } from "../../city/inventory.ts";
import { cityAlmanac } from "../../city/sun.ts";
import { DEFAULT_RUN } from "../../fleet-flags.ts";
import { STREETLIGHT } from "../../profiles/streetlight.ts";
import { type EveningFlags, type EveningPlan, planEvening } from "../../run-plan.ts";
import { seriesOf } from "../../scenario/prices.ts";
import { EPOCH_SECONDS, spanMs } from "../engine/calendar.ts";
import type { Town } from "../fast/fast-city.ts";
import { citySite } from "../surroundings/city-site.ts";
import type { Site } from "../surroundings/simulated-site.ts";

/** Plain data, so that it can be sent to a worker. */
export interface EveningRequest {
  readonly flags: EveningFlags;
  /** Nights of a city without a scenario; a scenario has its own length. */
  readonly nights: number;
}

/** What one purchase lasts for in a city without a scenario, seconds. */
const CITY_INTERVAL_SECONDS = 600;
/** East of Greenwich the sun sets earlier by so much for each degree. */
const SECONDS_PER_DEGREE = 240;
const SECONDS_PER_DAY = 86_400;

let latest: { readonly key: string; readonly plan: EveningPlan } | null = null;

/** Throws one line about scenario, city, tariff or a number out of range. */
export function planWorldEvening(request: EveningRequest): EveningPlan {
  const key = JSON.stringify(request);
  if (latest?.key !== key) latest = { key, plan: onlyLights(planned(request)) };
  return latest.plan;
}

/** A world has one seller of one unit, and its evenings are a city's. */
function onlyLights(plan: EveningPlan): EveningPlan {
  const others = plan.profiles.filter((profile) => profile !== STREETLIGHT);
  if (others.length === 0) return plan;
  const found = others.map(({ name }) => name).join(", ");
  throw new Watt402Error(
    "config-invalid",
    `world, scenario ${plan.scenario.name}: expected streetlights, found ${found}; play it as a fleet, or a world with --profile`,
  );
}

function planned({ flags, nights }: EveningRequest): EveningPlan {
  const isFile = flags.city !== undefined && !/^\d{1,10}$/.test(flags.city);
  const lights = isFile ? INVENTORY_LIGHTS_MAX : DEFAULT_RUN.lights;
  if (flags.scenario !== undefined) return planEvening(flags, { ...DEFAULT_RUN, lights }).plan;
  const defaults = {
    ...DEFAULT_RUN,
    lights,
    minutes: spanMs(nights) / 60_000,
    interval: CITY_INTERVAL_SECONDS,
    startSeconds: beforeDusk,
  };
  return planEvening(flags, defaults).plan;
}

/** Sixteen o'clock by the sun, wherever the city lies. */
function beforeDusk({ longitude }: City): number {
  return EPOCH_SECONDS - Math.round(SECONDS_PER_DEGREE * longitude);
}

/** Makes the sites of a plan's lights, by their number. */
export function sitesOf({ city, groups, scenario, interval }: EveningPlan): (index: number) => Site {
  const almanacOf = cityAlmanac(city);
  const budgets = new Map(scenario.groups.map(({ name, dailyBudgetAtomic }) => [name, dailyBudgetAtomic]));
  return (index) => {
    const light = city.lights[index]!;
    return citySite(light, {
      almanac: daily(almanacOf(light)),
      intervalSeconds: interval,
      dailyBudgetAtomic: budgets.get(groups.get(light.name) ?? "") ?? null,
    });
  };
}

/** The oracle asks for the plan at every look, and a city's is a sunrise and a sunset to compute. */
function daily(almanac: Almanac): Almanac {
  let day = Number.NaN;
  let plan: readonly PlanStep[] = [];
  return {
    plan(wallSeconds) {
      const asked = Math.floor(wallSeconds / SECONDS_PER_DAY);
      if (asked !== day) {
        day = asked;
        plan = almanac.plan(wallSeconds);
      }
      return plan;
    },
  };
}

/** A city's nights for the fast path: no stages are played. */
export function townOf(plan: EveningPlan): Town {
  const { epochSeconds, minutes, prices } = plan;
  const endMs = minutes * 60_000;
  return {
    epochSeconds,
    endMs,
    prices: seriesOf(prices, epochSeconds, epochSeconds + endMs / 1000).map((point) => ({
      fromMs: (point.startSeconds - epochSeconds) * 1000,
      pricePerMillionUnits: point.pricePerMillionUnits,
    })),
    siteAt: sitesOf(plan),
  };
}
