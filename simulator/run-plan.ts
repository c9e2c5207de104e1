/**
 * What a run is to be: command line before scenario before defaults, with its city, groups and prices.
 *
 * Promise: whatever the input has wrong is said here, before a chain or a process is started.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { City } from "./city/city.ts";
import { openCity } from "./city/open-city.ts";
import { offsetMinutes } from "./city/sun.ts";
import type { FleetFlags } from "./main.ts";
import { membersOf } from "./scenario/groups.ts";
import { openScenario } from "./scenario/open-scenario.ts";
import { csvOf, hasPrices, pricedBy, seriesOf } from "./scenario/prices.ts";
import { CALM, type Scenario } from "./scenario/scenario.ts";
import { readTariff } from "./utility/run-utility.ts";
import type { Tariff } from "./utility/tariff.ts";

/** A run without options: an hour of the evening of 2026-01-15 from 20:00 UTC, when dusk is over. */
export const DEFAULT_RUN = {
  lights: 25,
  minutes: 60,
  speed: 60,
  seed: 1,
  interval: 30,
  tariff: "flat:200000",
  startSeconds: Date.UTC(2026, 0, 15, 20) / 1000,
};

export interface RunPlan {
  readonly scenario: Scenario;
  readonly city: City;
  /** Group of each light that is in one, by the light's name. */
  readonly groups: ReadonlyMap<string, string>;
  readonly minutes: number;
  readonly speed: number;
  readonly seed: number;
  readonly interval: number;
  readonly epochSeconds: number;
  /** As the utility takes it: the scenario's prices are in it. */
  readonly tariff: string;
  /** The same as a function of Unix time; null when a seller elsewhere decides. */
  readonly prices: Tariff | null;
  /** Removes what was written for the run. */
  release(): void;
}

export function planRun(flags: FleetFlags): RunPlan {
  const scenario = flags.scenario === undefined ? CALM : openScenario(flags.scenario);
  const told = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
  const settings: typeof DEFAULT_RUN = { ...DEFAULT_RUN, ...scenario.run, ...told };
  const { lights, seed, minutes, startSeconds } = settings;
  refuseUnplayable(scenario, flags, minutes);
  const city = openCity({
    city: flags.city ?? null,
    seed,
    lights,
    mapping: flags.columns ?? {},
    ...(scenario.place === null ? {} : { place: scenario.place }),
  });
  // An unknown time zone is heard of now, not at the first light's first plan.
  offsetMinutes(city.timeZone);
  const base = readTariff(settings.tariff, 1);
  const prices = pricedBy(base, scenario, startSeconds);
  const composed = hasPrices(scenario)
    ? writePrices(prices, startSeconds, minutes)
    : { tariff: settings.tariff, release: () => {} };
  return {
    scenario,
    city,
    groups: membersOf(scenario.groups, city),
    minutes,
    speed: settings.speed,
    seed,
    interval: settings.interval,
    epochSeconds: startSeconds,
    prices: flags.seller === undefined ? prices : null,
    ...composed,
  };
}

function refuseUnplayable({ name, stages }: Scenario, flags: FleetFlags, minutes: number): void {
  const needsSeller = stages.find(({ action }) => action.kind === "stop-seller" || action.kind === "price");
  if (needsSeller !== undefined && flags.seller !== undefined) {
    throw new Error(
      `scenario ${name}: stage "${needsSeller.name}" needs a seller started here; leave out --seller`,
    );
  }
  const late = stages.find(({ startMs }) => startMs > minutes * 60_000);
  if (late !== undefined) {
    throw new Error(
      `scenario ${name}: stage "${late.name}" begins at minute ${late.startMs / 60_000}, found an evening of ${minutes}; ` +
        "use more --minutes",
    );
  }
}

/** Time after the evening in which a price is still told: answers under way, and the way to the first purchase. */
const MARGIN_SECONDS = 3_600;

function writePrices(prices: Tariff, startSeconds: number, minutes: number) {
  const folder = mkdtempSync(join(tmpdir(), "watt402-prices-"));
  const file = join(folder, "prices.csv");
  const release = () => rmSync(folder, { recursive: true, force: true });
  process.once("exit", release);
  writeFileSync(file, csvOf(seriesOf(prices, startSeconds, startSeconds + 60 * minutes + MARGIN_SECONDS)));
  return {
    tariff: `csv:${file}`,
    release() {
      release();
      process.off("exit", release);
    },
  };
}
