/**
 * Where a configuration comes from: a file, over it the environment, over that the command line; and with
 * none of them a first look on this machine alone.
 *
 * Promise: one rule for every member. `seller.url` in the file is `WATT402_SELLER_URL` in the environment
 * and `--set seller.url=...` on the command line. A value there is read as TOML where it is a number, a
 * boolean, an array or quoted, else as text.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseToml } from "#node/config/toml";
import { Watt402Error } from "#payment/watt402-error";
import { type Config, checkConfig, readSections, SECTIONS, type Sections } from "./config.ts";

export interface Layers {
  /** Null: neither the command line nor WATT402_CONFIG names one. */
  readonly file: string | null;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** As given: "section.member=value". */
  readonly settings: readonly string[];
}

export interface LoadedConfig {
  readonly config: Config;
  /** What it was read from, as messages name it. */
  readonly source: string;
  /** What was assumed because it was not configured, one sentence each. */
  readonly assumed: readonly string[];
}

/** Variable that names the file. */
const FILE_VARIABLE = "WATT402_CONFIG";
const PREFIX = "WATT402_";

/** The development chain of watt402-simulate, and its dollar. */
const FIRST_LOOK = {
  seller: {
    url: "http://127.0.0.1:4021",
    network: "eip155:31337",
    asset: "0xd0114a0000000000000000000000000000000402",
  },
  chain: { rpc: "http://127.0.0.1:8545" },
} as const;

/** Joins the layers and checks the whole. Throws one line per wrong value. */
export function loadConfig(layers: Layers): LoadedConfig {
  const file = layers.file ?? layers.environment[FILE_VARIABLE] ?? null;
  const base = file === null ? firstLook(layers.environment) : readSections(file);
  const source = file ?? "without a file";
  const joined = over(over(base, fromEnvironment(layers.environment)), fromSettings(layers.settings));
  const config = checkConfig(joined, source);
  return { config, source, assumed: file === null ? assumptions(config) : [] };
}

function firstLook({ XDG_STATE_HOME: state }: Layers["environment"]): Sections {
  const folder = state ? join(state, "watt402") : "watt402-data";
  return {
    ...FIRST_LOOK,
    gateway: { key: join(folder, "gateway.key"), data: folder },
    treasury: { key: join(folder, "treasury.key") },
  };
}

function assumptions({ gateway, treasury, broker, sellers, chains }: Config): string[] {
  const seller = sellers[0]!;
  const paidIn = seller.tokens.map(({ network, asset }) => `${asset} on ${network}`).join(" or ");
  const keys = [gateway.key, ...(treasury.key ? [treasury.key] : [])];
  const made = keys.filter((path) => !existsSync(path)).join(" and ");
  return [
    "no configuration was named: this is a first look; --init writes a configuration to start from",
    `data is kept in ${gateway.data}${made ? `; keys are made: ${made}` : ""}`,
    broker.kind === "embedded"
      ? `the broker is here, on ${broker.host}:${broker.port}`
      : `the broker is ${shownUrl(broker.url)}`,
    `the seller is ${seller.url}, paid in token ${paidIn}`,
    `the chain is asked at ${chains.map(({ rpc }) => shownUrl(rpc)).join(", ")}`,
  ];
}

/** The sections that WATT402_* variables name. Others of our programs have variables too: they are left alone. */
export function fromEnvironment(environment: Layers["environment"]): Sections {
  let sections: Sections = {};
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith(PREFIX) || name === FILE_VARIABLE || text === undefined) continue;
    const rest = name.slice(PREFIX.length);
    const section = SECTIONS.find((known) => rest.startsWith(`${screaming(known)}_`));
    if (section === undefined) continue;
    const member = camel(rest.slice(screaming(section).length + 1));
    if (/^0x[0-9a-fA-F]{64}$/.test(text)) {
      throw new Watt402Error(
        "config-invalid",
        `${name}: expected the name of a file, found a secret; keep secrets out of the environment`,
      );
    }
    sections = over(sections, { [section]: { [member]: valueIn(text) } });
  }
  return sections;
}

function fromSettings(settings: readonly string[]): Sections {
  let sections: Sections = {};
  for (const setting of settings) {
    const [, section, member, text] = /^(\w+)\.(\w+)=(.*)$/s.exec(setting) ?? [];
    if (section === undefined || member === undefined || text === undefined) {
      throw new Watt402Error(
        "config-invalid",
        `--set: expected section.member=value, found "${setting.slice(0, 80)}"`,
      );
    }
    sections = over(sections, { [section]: { [member]: valueIn(text) } });
  }
  return sections;
}

/** Members of `upper` in the place of those of `lower`, section by section. */
function over(lower: Sections, upper: Sections): Sections {
  // Without a prototype "__proto__" is a name like others, and refused as such.
  const joined: Record<string, unknown> = Object.assign(Object.create(null), lower);
  for (const [name, section] of Object.entries(upper)) {
    const below = joined[name];
    const isJoined = isSection(below) && isSection(section);
    joined[name] = isJoined ? { ...below, ...section } : section;
  }
  return joined;
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function valueIn(text: string): unknown {
  try {
    const { value } = parseToml(`value = ${text}`, "value");
    return value instanceof Date ? text : value;
  } catch {
    return text;
  }
}

/** sellerUrl, as SELLER_URL. */
function screaming(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

function camel(name: string): string {
  return name.toLowerCase().replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** The paths of some nodes' URLs contain keys: long words of letters and digits. */
const KEY_IN_URL = /(?<=\/)[A-Za-z0-9_-]{20,}(?=\/|$)/g;
const MASK = "***";

/** A URL as it may be shown: without password, query values and keys in its path. */
export function shownUrl(text: string): string {
  if (!URL.canParse(text)) return text;
  const url = new URL(text);
  if (url.password) url.password = MASK;
  for (const name of [...url.searchParams.keys()]) url.searchParams.set(name, MASK);
  url.pathname = url.pathname.replace(KEY_IN_URL, MASK);
  return url.href === `${text}/` ? text : url.href;
}

/** The configuration in effect, with every default shown and every secret masked. */
export function shownConfig(config: Config): Sections {
  return masked(config, "") as Sections;
}

function masked(value: unknown, name: string): unknown {
  if (Array.isArray(value)) return value.map((item) => masked(item, name));
  if (isSection(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, masked(member, key)]));
  }
  if (typeof value !== "string") return value;
  if (/(password|secret|token)$/i.test(name)) return MASK;
  return /^[a-z]+:\/\//.test(value) ? shownUrl(value) : value;
}
