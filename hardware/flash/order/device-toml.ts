/**
 * The light's device.toml, made from the sample and an installer's words.
 *
 * Promise: it is read by the device's own reader before it is written anywhere; what was not said is as
 * in the sample, but for the parts of it that are somebody else's: place, gateway, sellers.
 */

import { readFileSync } from "node:fs";
import { stringify, type TomlTable } from "smol-toml";
import { readConfig } from "#node/config/device-config";
import { shown } from "#node/config/shown";
import { parseToml } from "#node/config/toml";
import { Watt402Error } from "#payment/watt402-error";
import type { Fault, FieldName, Fields } from "./fields.ts";
import type { DriverTable } from "./part-choice.ts";

const SAMPLE = new URL("../../pi/device.sample.toml", import.meta.url);

/** Where the installer's script puts a private authority. */
const CA_FILE = "/etc/watt402/gateway-ca.pem";

/** Where it puts the light's password at its broker. */
export const BROKER_PASSWORD_FILE = "/var/lib/watt402/broker.password";

/** What lies on the card beside device.toml. */
interface CardFiles {
  readonly authority: boolean;
  readonly brokerPassword: boolean;
}

const HEAD = `# Made by watt402-flash. Every key is explained in
# /usr/share/doc/watt402-device/device.sample.toml; after a change: systemctl restart watt402-device
`;

/** Which field a key of device.toml came from, for faults that the device's reader finds. */
const FIELD_OF_KEY: Readonly<Record<string, FieldName>> = {
  "gateway.broker": "gateway",
  "gateway.public_key": "gateway-key",
  "gateway.password_file": "broker-password",
  "policy.payees": "payees",
  "lamp.rated_milliwatts": "rated-watts",
  "meter.power_max_milliwatts": "supply-watts",
  "plan.sun": "sun",
  "plan.steps": "steps",
};

/** The text, or the faults of what could not be put into it. */
export function deviceToml(
  { values, set }: Fields,
  meter: DriverTable,
  lamp: DriverTable,
  beside: CardFiles,
): { readonly toml: string } | { readonly faults: readonly Fault[] } {
  const faults: Fault[] = [];
  const read = <Value>(name: FieldName, reader: (text: string) => Value): Value | undefined => {
    try {
      return values[name]?.trim() ? reader(values[name].trim()) : undefined;
    } catch (error) {
      faults.push({ field: name, text: (error as Error).message });
      return undefined;
    }
  };
  const rated = read("rated-watts", milliwatts);
  const supply = read("supply-watts", milliwatts);
  const sun = read("sun", readSun);
  const steps = read("steps", readSteps);
  const payees = read("payees", (text) => text.split(/[\s,;]+/));
  if (faults.length > 0) return { faults };

  const config = parseToml(readFileSync(SAMPLE, "utf8"), "device.sample.toml");
  const section = (name: string) => config[name] as TomlTable;
  const gateway = section("gateway");
  Object.assign(gateway, { broker: values.gateway!.trim(), public_key: values["gateway-key"]!.trim() });
  if (beside.brokerPassword) gateway.password_file = BROKER_PASSWORD_FILE;
  gateway.tls = beside.authority ? { ca_file: CA_FILE } : {};
  section("policy").payees = payees ?? [];
  Object.assign(section("meter"), {
    power_max_milliwatts: supply ?? Math.ceil((rated! * 5) / 3),
    driver: meter,
  });
  Object.assign(section("lamp"), { rated_milliwatts: rated!, driver: lamp });
  config.plan = sun === undefined ? { steps: steps! } : { sun };
  for (const [path, text] of Object.entries(set)) {
    const fault = put(config, path, text);
    if (fault !== null) faults.push({ field: "set", text: fault });
  }
  return faults.length > 0 ? { faults } : { toml: `${HEAD}\n${stringify(config)}\n` };
}

/** What the device's own reader finds wrong, by field. */
export function configFaults(toml: string): Fault[] {
  try {
    readConfig(toml, "device.toml");
    return [];
  } catch (error) {
    return (error as Error).message.split("\n").map((line) => {
      const [, key, rest] = /^device\.toml: ([\w.]+): (.*)$/.exec(line) ?? [undefined, "", line];
      const known = Object.keys(FIELD_OF_KEY).find((path) => key === path || key!.startsWith(`${path}.`));
      return known === undefined
        ? { field: "set", text: `${key}: ${rest}` }
        : { field: FIELD_OF_KEY[known]!, text: rest! };
    });
  }
}

function milliwatts(text: string): number {
  if (/^\d{1,6}(\.\d{1,3})?$/.test(text)) return Math.round(Number(text) * 1000);
  throw new Watt402Error("config-invalid", `expected watts like 60 or 12.5, found ${shown(text)}`);
}

function readSun(text: string): TomlTable {
  const [latitude, longitude, more] = text.split(/[\s,]+/).map(Number);
  if (more === undefined && Number.isFinite(latitude) && Number.isFinite(longitude)) {
    return { latitude: latitude!, longitude: longitude!, night_percent: 100, day_percent: 0 };
  }
  throw new Watt402Error(
    "config-invalid",
    `expected latitude and longitude like 52.52,13.405, found ${shown(text)}`,
  );
}

function readSteps(text: string): TomlTable[] {
  return text.split(/[\s,;]+/).map((step) => {
    const [, at, level] = /^(\d\d:\d\d)=(\d{1,3})$/.exec(step) ?? [];
    if (at === undefined)
      throw new Watt402Error(
        "config-invalid",
        `expected times of day with per cent like 16:30=100, found ${shown(step)}`,
      );
    return { at, level_percent: Number(level) };
  });
}

/** Of a setting's path: the deepest key of device.toml has four. */
const KEYS_MAX = 8;

/** Puts a setting by its path; a value that is no TOML is text. Returns what is wrong, or null. */
function put(config: TomlTable, path: string, text: string): string | null {
  const keys = path.split(".");
  if (keys.length < 2 || keys.length > KEYS_MAX || keys.some((key) => !/^[a-z][a-z0-9_]*$/.test(key))) {
    return `expected section.member=value, found ${shown(path)}`;
  }
  let table = config;
  for (const key of keys.slice(0, -1)) {
    table[key] ??= {};
    const next = table[key];
    if (typeof next !== "object" || Array.isArray(next))
      return `${path}: expected a section before the last dot`;
    table = next as TomlTable;
  }
  table[keys.at(-1)!] = tomlValue(text);
  return null;
}

function tomlValue(text: string): TomlTable[string] {
  try {
    return parseToml(`value = ${text}`, "value").value!;
  } catch {
    return text;
  }
}
