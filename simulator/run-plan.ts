/**
 * What a run is to be: command line before scenario before defaults, with its city, groups and prices.
 *
 * Promise: whatever the input has wrong is said here, before a chain or a process is started.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readText } from "#node/config/text-file";
import { Watt402Error } from "#payment/watt402-error";
import type { City } from "./city/city.ts";
import { openCity } from "./city/open-city.ts";
import { offsetMinutes } from "./city/sun.ts";
import { DEFAULT_RUN, type FleetFlags } from "./fleet-flags.ts";
import { MAP_BYTES_MAX, readMap } from "./profiles/driving/map-geojson.ts";
import { ROAD_DATA, roadDataOn } from "./profiles/driving-car.ts";
import type { Profile } from "./profiles/profile.ts";
import { PROFILES, profileNamed } from "./profiles/profiles.ts";
import { STREETLIGHT } from "./profiles/streetlight.ts";
import { membersOf } from "./scenario/groups.ts";
import { openScenario } from "./scenario/open-scenario.ts";
import { csvOf, hasPrices, pricedBy, seriesOf } from "./scenario/prices.ts";
import { CALM, type Scenario } from "./scenario/scenario.ts";
import { readTariff } from "./seller/run-seller.ts";
import type { Tariff } from "./seller/sale/tariff.ts";
import { type BrokerAccount, readBrokerAccount } from "./services/broker-account.ts";
import { soldFor } from "./services/run-sellers.ts";

/** What an evening is, on real sockets and in a world alike. */
export interface EveningPlan {
  readonly scenario: Scenario;
  readonly city: City;
  /** Group of each light that is in one, by the light's name. */
  readonly groups: ReadonlyMap<string, string>;
  /** What a device is, by its name. */
  readonly profileOf: (name: string) => Profile;
  /** What the fleet's devices are, each once; the first one with the run's tariff. */
  readonly profiles: readonly Profile[];
  readonly minutes: number;
  readonly seed: number;
  /** What one purchase should last for, seconds. */
  readonly interval: number;
  readonly epochSeconds: number;
  /** Of the first profile's unit by Unix time; the scenario's prices are in it. */
  readonly prices: Tariff;
}

export interface RunPlan extends Omit<EveningPlan, "prices"> {
  readonly speed: number;
  /** At a broker elsewhere. */
  readonly brokerAccount: BrokerAccount;
  /** Of the first profile's unit, as its seller takes it: the scenario's prices are in it. */
  readonly tariff: string;
  /** The same as a function of Unix time; null when a seller elsewhere decides. */
  readonly prices: Tariff | null;
  /** Removes what was written for the run. */
  release(): void;
}

/** What decides over an evening; what is absent is the scenario's, or the default. */
export type EveningFlags = Pick<
  FleetFlags,
  | "lights"
  | "profile"
  | "minutes"
  | "speed"
  | "seed"
  | "interval"
  | "scenario"
  | "city"
  | "columns"
  | "tariff"
  | "route"
>;

export function planRun(flags: FleetFlags): RunPlan {
  const { plan, settings } = planEvening(flags, DEFAULT_RUN);
  const { scenario, prices, epochSeconds, minutes } = plan;
  refuseWithoutSeller(scenario, flags);
  if (scenario.market !== null) {
    throw new Watt402Error(
      "config-invalid",
      `scenario ${scenario.name}: expected one without [market], found a market; play it by watt402-simulate world --scenario ${flags.scenario}`,
    );
  }
  if (flags.espruino !== undefined) refuseForBoards(flags.espruino, flags, plan);
  refuseForUnits(flags, plan);
  if (flags.chains !== undefined && flags.chains > 1)
    refuseForChains(flags.chains, flags, plan.city.lights.length);
  if (flags.brokerUser !== undefined && (flags.lean || flags.espruino !== undefined)) {
    const which = flags.lean ? "--lean" : "--espruino";
    throw new Watt402Error(
      "config-invalid",
      `--broker-user: expected lights that log in by passwords, found ${which}; leave it out`,
    );
  }
  if (flags.lean && flags.broker !== undefined && !flags.broker.startsWith("mqtt:")) {
    throw new Watt402Error(
      "config-invalid",
      `--lean: expected --broker mqtt://, found ${flags.broker}; leave out --lean`,
    );
  }
  const brokerAccount = readBrokerAccount(flags);
  const composed = hasPrices(scenario)
    ? writePrices(prices, epochSeconds, minutes)
    : { tariff: settings.tariff, release: () => {} };
  return {
    ...plan,
    brokerAccount,
    speed: settings.speed,
    prices: flags.seller === undefined ? prices : null,
    ...composed,
  };
}

type Settings = typeof DEFAULT_RUN;

/** Settings with what the profiles decide. */
type Decided = Settings & { readonly tariff: string };

/** @param defaults what neither flags nor scenario set; it may begin by where the city lies */
export function planEvening(
  flags: EveningFlags,
  defaults: Omit<Settings, "startSeconds"> & { readonly startSeconds: number | ((city: City) => number) },
): { readonly plan: EveningPlan; readonly settings: Decided } {
  const scenario = flags.scenario === undefined ? CALM : openScenario(flags.scenario);
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
  const settings: typeof defaults & { readonly profile?: string; readonly tariff?: string } = {
    ...defaults,
    ...scenario.run,
    ...given,
  };
  const { lights, seed, minutes, interval } = settings;
  refuseLateStages(scenario, minutes);
  const city = openCity({
    city: flags.city ?? null,
    seed,
    lights,
    mapping: flags.columns ?? {},
    ...(scenario.place === null ? {} : { place: scenario.place }),
  });
  // An unknown time zone is heard of now, not at the first light's first plan.
  offsetMinutes(city.timeZone);
  const { startSeconds: start } = settings;
  const epochSeconds = typeof start === "number" ? start : start(city);
  const groups = membersOf(scenario.groups, city);
  const known = flags.route === undefined ? PROFILES : onRoute(flags.route);
  const { profileOf, profiles } = profilesOf(settings.profile, scenario, groups, city, known);
  if (flags.route !== undefined && profiles.every(({ name }) => name !== ROAD_DATA.name)) {
    throw new Watt402Error(
      "config-invalid",
      `--route: expected devices of ${ROAD_DATA.name}, found ${profiles.map(({ name }) => name).join(", ")}`,
    );
  }
  const { tariff = profiles[0]!.tariff } = settings;
  const prices = pricedBy(readTariff(tariff, 1), scenario, epochSeconds);
  return {
    plan: { scenario, city, groups, profileOf, profiles, minutes, seed, interval, epochSeconds, prices },
    settings: { ...settings, tariff, startSeconds: epochSeconds },
  };
}

/** Electricity first, where some devices use it: scenarios and tariffs are about its price. */
function profilesOf(
  profile: string | undefined,
  { groups: rows }: Scenario,
  groups: ReadonlyMap<string, string>,
  city: City,
  known: readonly Profile[],
): Pick<EveningPlan, "profileOf" | "profiles"> {
  const byGroup = new Map(rows.map(({ name, profile: own }) => [name, own]));
  const profileOf = (name: string) =>
    profileNamed(byGroup.get(groups.get(name) ?? "") ?? profile ?? STREETLIGHT.name, known);
  const used = new Set(city.lights.map(({ name }) => profileOf(name)));
  const isElectric = ({ goods }: Profile) => goods.unit === "mWh";
  const profiles = known.filter((one) => used.has(one));
  return {
    profileOf,
    profiles: [...profiles.filter(isElectric), ...profiles.filter((one) => !isElectric(one))],
  };
}

/** The profiles, with a map of the run's own for those that drive. Throws one line about the file. */
function onRoute(file: string): readonly Profile[] {
  const map = readMap(readText(file, `--route ${file}`, MAP_BYTES_MAX), file);
  return PROFILES.map((one) => (one === ROAD_DATA ? roadDataOn(map) : one));
}

function refuseWithoutSeller({ name, stages }: Scenario, flags: FleetFlags): void {
  const needsSeller = stages.find(({ action }) => action.kind === "stop-seller" || action.kind === "price");
  if (needsSeller !== undefined && flags.seller !== undefined) {
    throw new Watt402Error(
      "config-invalid",
      `scenario ${name}: stage "${needsSeller.name}" needs a seller started here; leave out --seller`,
    );
  }
}

/** Whatever runs elsewhere is on one chain, a board knows one token, and a report shows one token's books. */
function refuseForChains(chains: number, flags: FleetFlags, lights: number): void {
  const single = ["seller", "rpc", "token", "espruino", "report"] as const;
  const found = single.find((name) => flags[name] !== undefined);
  if (found !== undefined) {
    throw new Watt402Error(
      "config-invalid",
      `--chains: expected 1 beside --${found}, found ${chains}; leave out either`,
    );
  }
  if (lights >= chains) return;
  throw new Watt402Error(
    "config-invalid",
    `--chains: expected at most the fleet's ${lights} lights, found ${chains}`,
  );
}

/** Each unit has a seller of its own, and each region, which a chain elsewhere has no account for. */
function refuseForUnits({ seller, rpc, report }: FleetFlags, { profiles }: EveningPlan): void {
  const sellers = soldFor(profiles).length;
  if (sellers > 1 && (seller !== undefined || rpc !== undefined)) {
    throw new Watt402Error(
      "config-invalid",
      `--${seller === undefined ? "rpc" : "seller"}: expected devices of one seller beside it, found ${sellers} sellers`,
    );
  }
  if (report !== undefined && profiles.some((one) => one !== STREETLIGHT)) {
    throw new Watt402Error(
      "config-invalid",
      `--report: expected streetlights, found ${profiles.map(({ name }) => name).join(", ")}; a report is a night's light`,
    );
  }
}

/** A board's ladder is one night's, in minutes: its flash and its clock were made for that. */
const BOARD_NIGHT_MINUTES = 1_200;

function refuseForBoards(
  boards: number,
  flags: FleetFlags,
  { scenario, city, minutes, profiles }: EveningPlan,
): void {
  const { lights } = city;
  if (profiles.some((one) => one !== STREETLIGHT)) {
    throw new Watt402Error(
      "config-invalid",
      `--espruino: expected streetlights, found ${profiles.map(({ name }) => name).join(", ")}`,
    );
  }
  if (boards > lights.length) {
    throw new Watt402Error(
      "config-invalid",
      `--espruino: expected at most the fleet's ${lights.length} lights, found ${boards}`,
    );
  }
  if (flags.scheme === "exact") {
    throw new Watt402Error(
      "config-invalid",
      "--espruino: expected --scheme batch-settlement, found exact; a board signs ahead, and only vouchers can wait",
    );
  }
  if (minutes > BOARD_NIGHT_MINUTES) {
    throw new Watt402Error(
      "config-invalid",
      `--espruino: expected one night, at most ${BOARD_NIGHT_MINUTES} minutes, found ${minutes}; use fewer --minutes`,
    );
  }
  if (flags.broker?.startsWith("mqtts:")) {
    throw new Watt402Error(
      "config-invalid",
      "--espruino: expected --broker mqtt://, found mqtts://; a board's TLS checks no certificate",
    );
  }
  const cheating = scenario.stages.find(({ action }) => action.kind === "cheat");
  if (cheating !== undefined) {
    throw new Watt402Error(
      "config-invalid",
      `--espruino: expected a scenario without cheats, found stage "${cheating.name}" of ${scenario.name}; ` +
        "a board's messages are its bundle's own",
    );
  }
}

function refuseLateStages({ name, stages }: Scenario, minutes: number): void {
  const late = stages.find(({ startMs }) => startMs > minutes * 60_000);
  if (late !== undefined) {
    throw new Watt402Error(
      "config-invalid",
      `scenario ${name}: stage "${late.name}" begins at minute ${late.startMs / 60_000}, found an evening of ${minutes}; ` +
        "use more --minutes",
    );
  }
}

/** Time after the evening in which a price is still quoted: answers under way, and the way to the first purchase. */
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
