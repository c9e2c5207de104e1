/**
 * The gateway's configuration: one TOML file, checked whole before anything starts.
 *
 * Promise: a wrong value is reported by file and key with what was expected; secrets are named by file and
 * never part of it.
 */

import { z } from "zod";
import { cut, faultText } from "#node/config/shown";
import { readText } from "#node/config/text-file";
import { parseToml } from "#node/config/toml";
import { Watt402Error } from "#payment/watt402-error";
import { checkAccess, EMBEDDED, ENROLMENT, type Enrolment } from "./broker-section.ts";
import { checkExternal, EXTERNAL } from "./external-broker-section.ts";
import { checkMonitoring, MONITORING_SECTIONS } from "./monitoring-section.ts";
import { SELLER_SECTIONS, type SellerConfig, sellersIn } from "./sellers-section.ts";
import {
  type ChainConfig,
  chainsIn,
  TOKEN_LIMITS,
  TOKEN_SECTIONS,
  type TokenConfig,
  tokensIn,
} from "./tokens-section.ts";

const address = z.string().regex(/^0x[0-9a-fA-F]{40}$/, "expected an address, 0x and 40 hex digits");
const httpUrl = z.url({ protocol: /^https?$/, error: "expected an http or https URL" });

const SQLITE = z.strictObject({ kind: z.literal("sqlite") });

const POSTGRES = z.strictObject({
  kind: z.literal("postgres"),
  url: z.string().regex(/^postgres(ql)?:\/\//, "expected a postgres URL"),
  passwordFile: z.string().optional(),
});

const TREASURY = z.strictObject({
  /** File of the key: a keystore, or 0x and 64 hex digits. */
  key: z.string().optional(),
  /** Of the keystore. */
  passwordFile: z.string().optional(),
  /** Instead of a key: who signs. */
  signerUrl: httpUrl.optional(),
  signerTokenFile: z.string().optional(),
  signerAddress: address.optional(),
  ...TOKEN_LIMITS,
});

/** A section that names no kind is of the usual one. */
function ofKind<Section extends z.ZodType>(usual: string, section: Section) {
  return z.preprocess((value) => {
    const isSection = typeof value === "object" && value !== null && !("kind" in value);
    return isSection || value === undefined ? { kind: usual, ...(value as object | undefined) } : value;
  }, section);
}

const CONFIG = z.strictObject({
  gateway: z.strictObject({
    key: z.string(),
    data: z.string(),
    /** Among several gateways, for people; absent: the machine's name. */
    name: z.string().min(1).max(64).optional(),
  }),
  broker: ofKind("embedded", z.discriminatedUnion("kind", [EMBEDDED, EXTERNAL])),
  /** Which devices may buy. */
  enrolment: ENROLMENT.prefault({}),
  ledger: ofKind("sqlite", z.discriminatedUnion("kind", [SQLITE, POSTGRES])),
  ...SELLER_SECTIONS,
  treasury: TREASURY,
  ...TOKEN_SECTIONS,
  limits: z
    .strictObject({
      devices: z.number().int().min(1).max(1_000_000).default(20_000),
      purchases: z.number().int().min(1).max(10_000).default(256),
      sellerConnections: z.number().int().min(1).max(1_024).default(32),
      /** Calls to one seller that wait for a connection. */
      sellerQueue: z.number().int().min(0).max(10_000).default(256),
      sellerTimeoutMs: z.number().int().min(100).max(600_000).default(30_000),
    })
    .prefault({}),
  /** Origins that devices may reach by the general transport. */
  forward: z
    .strictObject({
      origins: z.array(httpUrl).default([]),
      /** Their names may lead to private addresses. */
      allowPrivate: z.boolean().default(false),
    })
    .prefault({}),
  ...MONITORING_SECTIONS,
});

/** A checked configuration: whether it had one seller, chain and token or several, here they are lists. */
export type Config = Omit<
  z.infer<typeof CONFIG>,
  "seller" | "sellers" | "chain" | "chains" | "tokens" | "money" | "treasury" | "enrolment"
> & {
  readonly sellers: readonly SellerConfig[];
  readonly chains: readonly ChainConfig[];
  /** Never empty. */
  readonly tokens: readonly TokenConfig[];
  readonly treasury: Omit<z.infer<typeof TREASURY>, keyof typeof TOKEN_LIMITS>;
  readonly enrolment: Enrolment;
};

/** Of a key's path, and of what is wrong there, characters. */
const FAULT_MAX = 400;

/** Names of the sections, as a file has them. */
export const SECTIONS: readonly string[] = Object.keys(CONFIG.shape);

/** Sections with their members, not yet checked. */
export type Sections = Readonly<Record<string, unknown>>;

/** Reads the sections of a configuration file. Throws one line. */
export function readSections(file: string): Sections {
  const what = `config ${file}`;
  return parseToml(readText(file, what), what);
}

/** Reads and checks a configuration file. Throws one line per wrong value. */
export function readConfig(file: string): Config {
  return checkConfig(readSections(file), file);
}

/** Checks an already parsed configuration. */
export function checkConfig(value: unknown, source: string): Config {
  const checked = CONFIG.safeParse(value);
  if (!checked.success) {
    const lines = checked.error.issues.map(
      ({ path, message }) =>
        `config ${source}: ${cut(path.join("."), FAULT_MAX) || "file"}: ${cut(message, FAULT_MAX)}`,
    );
    throw new Watt402Error("config-invalid", faultText(lines));
  }
  const enrolment = checkAccess(checked.data.broker, checked.data.enrolment, source);
  if (checked.data.broker.kind === "external") checkExternal(checked.data.broker, source);
  checkMonitoring(checked.data, checked.data.broker.kind, source);
  const { seller: _one, sellers: _several, chain: _chain, money: _money, ...others } = checked.data;
  const sellers = sellersIn(checked.data, source);
  const { key, passwordFile, signerUrl, signerTokenFile, signerAddress } = others.treasury;
  const treasury = { key, passwordFile, signerUrl, signerTokenFile, signerAddress };
  checkTreasury(treasury, source);
  const named = { ...checked.data, sellers };
  const tokens = tokensIn(named, source);
  checkMarket(others.market, tokens, source);
  return { ...others, enrolment, treasury, sellers, chains: chainsIn(named, source), tokens };
}

function checkMarket({ choose }: Config["market"], tokens: readonly TokenConfig[], source: string): void {
  if (choose === "order" || tokens.length === 1) return;
  throw new Watt402Error(
    "config-invalid",
    `config ${source}: market.choose: expected "order", as prices in ${tokens.length} tokens cannot be compared, ` +
      'found "cheapest"',
  );
}

function checkTreasury(treasury: Config["treasury"], source: string): void {
  const { key, signerUrl, signerTokenFile, signerAddress } = treasury;
  if ((key === undefined) === (signerUrl === undefined)) {
    const found = key === undefined ? "neither" : "both";
    throw new Watt402Error(
      "config-invalid",
      `config ${source}: treasury: expected either key or signerUrl, found ${found}`,
    );
  }
  if (signerUrl !== undefined && (signerAddress === undefined || signerTokenFile === undefined)) {
    throw new Watt402Error(
      "config-invalid",
      `config ${source}: treasury: expected signerAddress and signerTokenFile beside signerUrl`,
    );
  }
}
