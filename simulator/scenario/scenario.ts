/**
 * A scenario: what happens to a fleet in one evening, read from TOML.
 *
 * Promise: what is returned is complete and means something (every group named exists, every stage lies
 * within the evening); else one error with file, key, what was expected and what was found.
 */

import { TomlDate } from "smol-toml";
import { z } from "zod";
import { cut, shown } from "#node/config/shown";
import { parseToml } from "#node/config/toml";
import { Watt402Error } from "#payment/watt402-error";
import { PROFILE_NAMES } from "../profiles/profiles.ts";
import { type Action, CHEATS, EVERYONE, type Flexibility, type Group, type Stage } from "./actions.ts";

/** What a scenario sets of a run; options of the command line come before it. */
interface RunSettings {
  readonly lights?: number;
  readonly minutes?: number;
  readonly speed?: number;
  readonly seed?: number;
  /** Of every device whose group says nothing else. */
  readonly profile?: string;
  /** What one purchase should last for, seconds. */
  readonly interval?: number;
  readonly tariff?: string;
  /** Unix time at which the evening begins. */
  readonly startSeconds?: number;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** What is to be seen, in a sentence or two. */
  readonly story: string;
  readonly run: RunSettings;
  /** Network charges and taxes on top of the tariff, atomic units per kWh. */
  readonly surcharge: number;
  readonly place: {
    readonly latitude: number;
    readonly longitude: number;
    readonly timeZone?: string;
  } | null;
  readonly groups: readonly Group[];
  /** A feeder of limited power whose price rises with its load; null: loads answer no prices. */
  readonly market: Market | null;
  /** In the order of their beginnings. */
  readonly stages: readonly Stage[];
}

export interface Market {
  readonly feederMilliwatts: number;
  /** On top of the tariff for each feeder's worth of power above its limit, atomic units per kWh. */
  readonly congestionPerKwh: number;
}

const MS_PER_MINUTE = 60_000;
/** Longest evening, minutes: a week. */
const MINUTES_MAX = 7 * 1440;
const STAGES_MAX = 1_000;
const GROUPS_MAX = 50;

function number(min: number, max: number) {
  const error = `expected a number from ${min} to ${max}`;
  return z.number({ error }).min(min, { error }).max(max, { error });
}
function whole(min: number, max: number) {
  const error = `expected a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}
function text(max: number) {
  const error = `expected a text of 1 to ${max} characters`;
  return z.string({ error }).min(1, { error }).max(max, { error });
}

const NAME = z
  .string({ error: "expected a name of lower-case letters, digits and hyphens" })
  .regex(/^[a-z0-9][a-z0-9-]{0,39}$/, { error: "expected a name of lower-case letters, digits and hyphens" });

const START = z
  .custom<TomlDate>((value) => value instanceof TomlDate && value.isDateTime() && !value.isLocal(), {
    error: "expected a time with its zone, such as 2026-01-15T20:00:00Z",
  })
  .transform((date) => Math.floor(date.getTime() / 1000));

const PROFILE = z.enum(PROFILE_NAMES, { error: `expected one of ${PROFILE_NAMES.join(", ")}` });

const RUN = z.strictObject({
  profile: PROFILE.optional(),
  lights: whole(1, 100_000).optional(),
  minutes: number(0.1, MINUTES_MAX).optional(),
  speed: number(0.1, 100_000).optional(),
  seed: whole(0, 4_294_967_295).optional(),
  interval_seconds: number(1, 86_400).optional(),
  tariff: text(1_024).optional(),
  surcharge_per_kwh: whole(0, 1_000_000_000).default(0),
  start: START.optional(),
});

const PLACE = z.strictObject({
  latitude: number(-90, 90),
  longitude: number(-180, 180),
  time_zone: text(64).optional(),
});

const MARKET = z.strictObject({
  feeder_kilowatts: number(0.001, 1_000_000),
  congestion_per_kwh: whole(0, 1_000_000_000).default(0),
});

const MINUTE_ERROR = { error: 'expected a UTC time of day such as "17:30"' };
const MINUTE = z
  .string(MINUTE_ERROR)
  .regex(/^([01]\d|2[0-3]):[0-5]\d$/, MINUTE_ERROR)
  .transform((time) => Number(time.slice(0, 2)) * 60 + Number(time.slice(3)));

const DIMS = z
  .strictObject({ least_percent: whole(1, 100) })
  .transform(({ least_percent }): Flexibility => ({ kind: "dims", leastPercent: least_percent }));

const WAITS = z
  .strictObject({
    kilowatts: number(0.001, 1_000),
    energy_kwh: number(0.001, 10_000),
    from: MINUTE,
    spread_minutes: whole(0, 720).default(0),
    ready_by: MINUTE,
  })
  .transform(
    ({ kilowatts, energy_kwh, from, spread_minutes, ready_by }): Flexibility => ({
      kind: "waits",
      milliwatts: Math.round(kilowatts * 1e6),
      milliwattHours: Math.round(energy_kwh * 1e6),
      fromMinute: from,
      spreadMinutes: spread_minutes,
      readyByMinute: ready_by,
    }),
  );

const GROUP = z.strictObject({
  name: NAME,
  share: number(0, 1).optional(),
  count: whole(1, 100_000).optional(),
  street: text(100).optional(),
  daily_budget_atomic: whole(1, 2 ** 48 - 1).optional(),
  profile: PROFILE.optional(),
  dims: DIMS.optional(),
  waits: WAITS.optional(),
});

const DO = ["drop-connections", "stop-gateway", "stop-seller", "price", "cheat"] as const;

const STAGE = z.strictObject({
  name: text(80),
  at_minute: number(0, MINUTES_MAX),
  for_minutes: number(0, MINUTES_MAX).default(0),
  do: z.enum(DO, { error: `expected one of ${DO.join(", ")}` }),
  group: NAME.optional(),
  factor: number(0, 1_000).optional(),
  cheat: z.enum(CHEATS, { error: `expected one of ${CHEATS.join(", ")}` }).optional(),
});

const SCENARIO = z.strictObject({
  title: text(80),
  story: text(1_000),
  run: RUN.prefault({}),
  place: PLACE.optional(),
  market: MARKET.optional(),
  group: z.array(GROUP).max(GROUPS_MAX).default([]),
  stage: z.array(STAGE).max(STAGES_MAX).default([]),
});

type GroupRow = z.infer<typeof GROUP>;
type StageRow = z.infer<typeof STAGE>;

/** @param file the file's name, for complaints; @param name the scenario's */
export function readScenario(toml: string, file: string, name: string): Scenario {
  const read = SCENARIO.safeParse(parseToml(toml, file), { reportInput: true });
  if (!read.success) throw new Watt402Error("file-invalid", `${file}: ${complaint(read.error.issues[0]!)}`);
  const { title, story, run, place, market, group, stage } = read.data;
  const groups = group.map((row, index) => groupOf(row, `${file}: group ${index + 1}`));
  const names = new Set([EVERYONE, ...groups.map((one) => one.name)]);
  if (names.size !== groups.length + 1) {
    throw new Watt402Error(
      "file-invalid",
      `${file}: expected groups of different names, none of them "${EVERYONE}"`,
    );
  }
  const stages = stage.map((row, index) => stageOf(row, names, `${file}: stage ${index + 1}`));
  const { interval_seconds: interval, start: startSeconds, surcharge_per_kwh: surcharge, ...others } = run;
  return {
    name,
    title,
    story: story.replace(/\s+/g, " ").trim(),
    run: defined({ ...others, interval, startSeconds }),
    surcharge,
    place: place === undefined ? null : placeOf(place),
    groups,
    market: market === undefined ? null : marketOf(market, groups, file),
    stages: stages.toSorted((left, right) => left.startMs - right.startMs),
  };
}

/** A scenario in which nothing happens. */
export const CALM: Scenario = {
  name: "calm",
  title: "A calm evening",
  story: "Nothing happens but light.",
  run: {},
  surcharge: 0,
  place: null,
  groups: [],
  market: null,
  stages: [],
};

/** Without a feeder no load has anything to answer. */
function marketOf(
  { feeder_kilowatts, congestion_per_kwh }: z.infer<typeof MARKET>,
  groups: readonly Group[],
  file: string,
): Market {
  if (groups.some(({ flexibility }) => flexibility !== null))
    return { feederMilliwatts: Math.round(feeder_kilowatts * 1e6), congestionPerKwh: congestion_per_kwh };
  throw new Watt402Error(
    "file-invalid",
    `${file}: market: expected a group with dims or waits, whose loads answer prices, found none`,
  );
}

/** `stage 2 at_minute: expected …, found "soon"`. Zod counts from 0, people from 1. */
function complaint(issue: z.core.$ZodIssue): string {
  const [first, index, ...rest] = issue.path.map(String);
  const where =
    index !== undefined && /^\d+$/.test(index)
      ? [`${first} ${Number(index) + 1}`, ...rest].join(" ")
      : issue.path.join(" ");
  if (issue.code === "unrecognized_keys") {
    return `${where || "document"}: found the unknown key "${cut(issue.keys[0]!)}"; check its spelling`;
  }
  return `${where || "document"}: ${issue.message}, found ${shown(issue.input)}`;
}

function groupOf(
  { name, share, count, street, daily_budget_atomic: budget, profile, dims, waits }: GroupRow,
  where: string,
): Group {
  const given = [share, count, street].filter((one) => one !== undefined).length;
  if (given !== 1)
    throw new Watt402Error(
      "file-invalid",
      `${where}: expected one of share, count and street, found ${given || "none"}`,
    );
  const pick: Group["pick"] =
    share !== undefined
      ? { kind: "share", share }
      : count !== undefined
        ? { kind: "count", count }
        : { kind: "street", street: street! };
  if (dims !== undefined && waits !== undefined)
    throw new Watt402Error("file-invalid", `${where}: expected dims or waits, found both`);
  const flexibility = dims ?? waits ?? null;
  return { name, pick, dailyBudgetAtomic: budget ?? null, profile: profile ?? null, flexibility };
}

function stageOf(row: StageRow, groups: ReadonlySet<string>, where: string): Stage {
  return {
    name: row.name,
    startMs: row.at_minute * MS_PER_MINUTE,
    durationMs: row.for_minutes * MS_PER_MINUTE,
    action: actionOf(row, groups, where),
  };
}

function actionOf(row: StageRow, groups: ReadonlySet<string>, where: string): Action {
  const { do: kind, group, factor, cheat } = row;
  refuseOthers(row, where);
  if (group !== undefined && !groups.has(group)) {
    throw new Watt402Error(
      "file-invalid",
      `${where}: expected a group of ${[...groups].join(", ")}, found "${group}"`,
    );
  }
  switch (kind) {
    case "drop-connections":
      return { kind, group: group ?? EVERYONE };
    case "price":
      if (factor === undefined)
        throw new Watt402Error("file-invalid", `${where}: expected a factor for the price, found none`);
      return { kind, factor };
    case "cheat":
      if (cheat === undefined)
        throw new Watt402Error(
          "file-invalid",
          `${where}: expected cheat to be one of ${CHEATS.join(", ")}, found none`,
        );
      return { kind, cheat, group: group ?? EVERYONE };
    default:
      return { kind };
  }
}

/** Keys that only other actions have: a key that means nothing is a mistake. */
function refuseOthers({ do: kind, group, factor, cheat }: StageRow, where: string): void {
  const meant: Readonly<Record<string, boolean>> = {
    group: group === undefined || kind === "drop-connections" || kind === "cheat",
    factor: factor === undefined || kind === "price",
    cheat: cheat === undefined || kind === "cheat",
  };
  const [stray] = Object.entries(meant).find(([, fits]) => !fits) ?? [];
  if (stray !== undefined)
    throw new Watt402Error("file-invalid", `${where}: expected no ${stray} with do = "${kind}", found one`);
}

function placeOf({ latitude, longitude, time_zone: timeZone }: z.infer<typeof PLACE>) {
  return timeZone === undefined ? { latitude, longitude } : { latitude, longitude, timeZone };
}

function defined(run: { readonly [Key in keyof RunSettings]: RunSettings[Key] | undefined }): RunSettings {
  return Object.fromEntries(Object.entries(run).filter(([, value]) => value !== undefined));
}
