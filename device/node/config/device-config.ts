/**
 * The device's configuration file: TOML in, typed settings out.
 *
 * Promise: what is returned is complete and within its bounds; otherwise one error lists every fault
 * with file, key path, what was expected and what was found. Unknown keys are faults: a misspelt budget
 * must not mean no budget.
 */

import { dirname, join } from "node:path";
import { z } from "zod";
import type { PlanStep } from "#core/events";
import type { Settings } from "#core/machine";
import { COUNTER_MAX } from "#core/units";
import type { WalletRulesOf } from "#payment/offer/offer";
import { Watt402Error } from "#payment/watt402-error";
import { readBrokerUrl } from "../broker-socket.ts";
import type { MarketRules } from "../market/market-rules.ts";
import { choice, faultsOf, integer, list, number, pattern, table, text } from "./config-shape.ts";
import { marketRulesIn, POLICY, policiesIn, walletRulesIn } from "./policy-config.ts";
import { faultText } from "./shown.ts";
import { readText } from "./text-file.ts";
import { parseToml } from "./toml.ts";
import { withUnitDefaults } from "./unit-defaults.ts";

/** Where the plan's dusk and dawn come from. */
export interface SunPlan {
  readonly latitude: number;
  readonly longitude: number;
  readonly nightPercent: number;
  readonly dayPercent: number;
}

export interface DeviceConfig {
  readonly model: string;
  readonly keyFile: string;
  /** Holds the passphrase under which the key is encrypted; null leaves it to a systemd credential, or none. */
  readonly keyPassphraseFile: string | null;
  readonly journalFile: string;
  /** Where the running device serves its status. */
  readonly statusSocket: string;
  /** Where the kernel shows its devices: "/sys", or a tree in its place. */
  readonly sysfsRoot: string;
  readonly unit: string;
  readonly wantedUnits: number;
  readonly gateway: {
    readonly brokerUrl: string;
    /** Compressed, 0x and 66 hex digits. */
    readonly publicKey: string;
    readonly protocolVersion: 4 | 5;
    readonly keepaliveSeconds: number;
    /** For a broker that knows devices by passwords, or by certificates alone; null: the device's key logs in. */
    readonly login:
      | { readonly username: string | null; readonly passwordFile: string }
      | "certificate"
      | null;
    readonly tlsFiles: { readonly ca?: string; readonly cert?: string; readonly key?: string };
    readonly servername: string | null;
  };
  readonly settings: Settings;
  readonly walletRules: WalletRulesOf;
  /** Undefined: sellers' terms are not asked for. */
  readonly marketRules: MarketRules | undefined;
  /** Null beside a charger, whose cars make the plan. */
  readonly plan: { readonly steps: readonly PlanStep[] } | { readonly sun: SunPlan } | null;
  /** Of the plan's level, so much is left where an hour is the dearest that is known ahead; null: prices dim nothing. */
  readonly leastPercent: number | null;
  /** Tables of the hardware's drivers, checked by hardware/; null means simulated. */
  readonly meterDriver: Readonly<Record<string, unknown>> | null;
  readonly lampDriver: Readonly<Record<string, unknown>> | null;
  /** The charge point that is meter and load at once, checked by hardware/; null for all else. */
  readonly charger: Readonly<Record<string, unknown>> | null;
}

const DAY_MS = 86_400_000;

/** Longest name of a Unix socket: unix(7), sun_path less its closing zero. */
const SOCKET_PATH_MAX = 107;

const path = text(1024);
const brokerUrl = z.string({ error: "mqtt(s)://host:port or ws(s)://host:port/path" }).refine(isBrokerUrl, {
  error: "mqtt(s)://host:port or ws(s)://host:port/path",
});
const driver = z.looseObject({ kind: text(64) }, { error: "a table with a kind" });

const STEP = table({
  at: pattern(/^([01][0-9]|2[0-3]):[0-5][0-9]$/, 'a UTC time of day like "18:30"'),
  level_percent: integer(0, 100),
});

const CONFIG = table({
  device: table({
    model: text(64).default("watt402 light"),
    key_file: path,
    key_passphrase_file: path.optional(),
    journal_file: path,
    status_socket: text(SOCKET_PATH_MAX).optional(),
    sysfs_root: path.default("/sys"),
  }),
  gateway: table({
    broker: brokerUrl,
    public_key: pattern(
      /^0x0[23][0-9a-fA-F]{64}$/,
      "a compressed public key, 0x02 or 0x03 and 64 hex digits",
    ),
    mqtt: choice(["3.1.1", "5"]).default("3.1.1"),
    keepalive_seconds: integer(5, 3600).default(30),
    login: choice(["key", "certificate"]).default("key"),
    username: text(255).optional(),
    password_file: path.optional(),
    tls: table({
      ca_file: path.optional(),
      cert_file: path.optional(),
      key_file: path.optional(),
      servername: text(255).optional(),
    })
      .refine((tls) => (tls.cert_file === undefined) === (tls.key_file === undefined), {
        error: "cert_file and key_file together",
      })
      .default({}),
  })
    .refine((gateway) => gateway.username === undefined || gateway.password_file !== undefined, {
      path: ["password_file"],
      error: "a file beside username",
    })
    .refine(({ login, password_file }) => login === "key" || password_file === undefined, {
      path: ["login"],
      error: '"key" beside password_file',
    })
    .refine(({ login, tls }) => login === "key" || tls.cert_file !== undefined, {
      path: ["tls", "cert_file"],
      error: 'a file beside login = "certificate"',
    }),
  policy: POLICY,
  meter: table({
    unit: text(16).default("mWh"),
    wanted_units: integer(1, COUNTER_MAX).default(500),
    roll_over_at: integer(0, COUNTER_MAX).default(0),
    power_max_milliwatts: integer(1, 1_000_000_000),
    driver: driver.optional(),
  }),
  lamp: table({
    rated_milliwatts: integer(1, 1_000_000_000),
    level_percent_without_clock: integer(0, 100).default(0),
    driver: driver.optional(),
  }),
  plan: z
    .strictObject({
      steps: list(STEP, 1).optional(),
      least_percent: integer(1, 100).optional(),
      sun: table({
        latitude: number(-90, 90),
        longitude: number(-180, 180),
        night_percent: integer(0, 100).default(100),
        day_percent: integer(0, 100).default(0),
      }).optional(),
    })
    .refine((plan) => (plan.steps === undefined) !== (plan.sun === undefined), {
      error: "either steps or a sun table",
    })
    .optional(),
  charger: z.looseObject({}, { error: "a table" }).optional(),
  timing: table({
    tick_ms: integer(100, DAY_MS).default(60_000),
    reading_ms: integer(100, DAY_MS).default(300_000),
    retry_first_ms: integer(100, DAY_MS).default(2000),
    retry_max_ms: integer(100, DAY_MS).default(300_000),
    low_mark_permille: integer(1, 10_000).default(700),
  }).prefault({}),
}).refine(({ plan, charger }) => (plan === undefined) !== (charger === undefined), {
  path: ["plan"],
  error: "a table, or one of [charger] in its place",
});

/** Reads and checks a configuration file. Throws one error that lists every fault, a line each. */
export function loadConfig(file: string): DeviceConfig {
  return readConfig(readText(file), file);
}

/** Checks a configuration's text; `file` names it in errors. */
export function readConfig(toml: string, file: string): DeviceConfig {
  const raw = withUnitDefaults(parseToml(toml, file));
  const { data, error } = CONFIG.safeParse(raw);
  if (data !== undefined) return configOf(data);
  throw new Watt402Error("config-invalid", faultText(faultsOf(error, raw, `${file}: `)));
}

function isBrokerUrl(url: string): boolean {
  try {
    readBrokerUrl(url);
    return true;
  } catch {
    return false;
  }
}

function configOf(data: z.output<typeof CONFIG>): DeviceConfig {
  const { device, gateway, meter, lamp, plan } = data;
  const { ca_file, cert_file, key_file, servername } = gateway.tls;
  return {
    model: device.model,
    keyFile: device.key_file,
    keyPassphraseFile: device.key_passphrase_file ?? null,
    journalFile: device.journal_file,
    statusSocket: device.status_socket ?? join(dirname(device.journal_file), "status.sock"),
    sysfsRoot: device.sysfs_root,
    unit: meter.unit,
    wantedUnits: meter.wanted_units,
    gateway: {
      brokerUrl: gateway.broker,
      publicKey: gateway.public_key.toLowerCase(),
      protocolVersion: gateway.mqtt === "5" ? 5 : 4,
      keepaliveSeconds: gateway.keepalive_seconds,
      login: loginOf(gateway),
      tlsFiles: {
        ...(ca_file === undefined ? {} : { ca: ca_file }),
        ...(cert_file === undefined ? {} : { cert: cert_file }),
        ...(key_file === undefined ? {} : { key: key_file }),
      },
      servername: servername ?? null,
    },
    settings: settingsOf(data),
    walletRules: walletRulesIn(data.policy),
    marketRules: marketRulesIn(data.policy, meter.unit),
    plan: plan === undefined ? null : planOf(plan),
    leastPercent: plan?.least_percent ?? null,
    meterDriver: meter.driver ?? null,
    lampDriver: lamp.driver ?? null,
    charger: data.charger ?? null,
  };
}

function loginOf({
  login,
  username,
  password_file,
}: z.output<typeof CONFIG>["gateway"]): DeviceConfig["gateway"]["login"] {
  if (login === "certificate") return login;
  return password_file === undefined ? null : { username: username ?? null, passwordFile: password_file };
}

function settingsOf({ policy, meter, lamp, timing }: z.output<typeof CONFIG>): Settings {
  const policies = policiesIn(policy, meter.unit);
  return {
    policy: policies[0]!,
    ...(policies.length > 1 ? { policies } : {}),
    meter: { rollOverAt: meter.roll_over_at, powerMaxMilliwatts: meter.power_max_milliwatts },
    ratedMilliwatts: lamp.rated_milliwatts,
    lowMarkPermille: timing.low_mark_permille,
    retry: { firstMs: timing.retry_first_ms, maxMs: timing.retry_max_ms },
    tickMs: timing.tick_ms,
    readingMs: timing.reading_ms,
    signsOnDemand: true,
    levelWithoutClock: lamp.level_percent_without_clock,
  };
}

function planOf({ steps, sun }: NonNullable<z.output<typeof CONFIG>["plan"]>): DeviceConfig["plan"] {
  return steps === undefined ? { sun: sunOf(sun!) } : { steps: stepsOf(steps) };
}

function stepsOf(steps: readonly { readonly at: string; readonly level_percent: number }[]): PlanStep[] {
  const plan = steps.map(({ at, level_percent }) => ({
    minuteOfDay: Number(at.slice(0, 2)) * 60 + Number(at.slice(3)),
    levelPercent: level_percent,
  }));
  return plan.sort((left, right) => left.minuteOfDay - right.minuteOfDay);
}

function sunOf(sun: {
  latitude: number;
  longitude: number;
  night_percent: number;
  day_percent: number;
}): SunPlan {
  const { latitude, longitude, night_percent, day_percent } = sun;
  return { latitude, longitude, nightPercent: night_percent, dayPercent: day_percent };
}
