/**
 * The configuration's sellers: one as `[seller]`, or several as `[[sellers]]`, the most wanted first.
 *
 * Promise: a checked configuration has `sellers`, never empty, each with a name of its own and the tokens that it is
 * paid in.
 */

import { z } from "zod";
import { COUNTER_MAX } from "#core/units";
import { Watt402Error } from "#payment/watt402-error";
import type { PaymentToken } from "#protocol/payment-token";
import { PAYMENT_TOKEN } from "./tokens-section.ts";

const httpUrl = z.url({ protocol: /^https?$/, error: "expected an http or https URL" });
const name = z.string().regex(/^[A-Za-z][\w-]{0,31}$/, "expected a letter, then letters, digits, _ and -");
const device = z
  .string()
  .regex(/^(0x)?[0-9a-fA-F]{40}$/, "expected a device's address, 40 hex digits")
  .transform((text) => text.toLowerCase().replace(/^0x/, ""));

const SELLER = z.strictObject({
  name: name.default("seller"),
  kind: z.enum(["electricity", "fixed"]).default("electricity"),
  url: httpUrl,
  /** What it is paid in: one token, or in their place `tokens`, the most wanted first. */
  network: PAYMENT_TOKEN.network.optional(),
  asset: PAYMENT_TOKEN.asset.optional(),
  tokens: z.array(z.strictObject(PAYMENT_TOKEN)).min(1).max(8).optional(),
  schemes: z
    .array(z.enum(["batch-settlement", "exact", "upto"]))
    .min(1)
    .default(["batch-settlement", "exact", "upto"]),
  /** How tokens are moved, in order of preference. */
  transferMethods: z
    .array(z.enum(["eip3009", "permit2"]))
    .min(1)
    .default(["eip3009", "permit2"]),
  /** Contracts that may verify a transfer by EIP-3009 in the token's place, as Circle's GatewayWallet. */
  verifyingContracts: z
    .array(PAYMENT_TOKEN.asset.transform((text) => text.toLowerCase()))
    .max(8)
    .default([]),
  /** Keys that may sign its terms and receipts beside its payee. */
  termsKeys: z
    .array(PAYMENT_TOKEN.asset.transform((text) => text.toLowerCase()))
    .max(8)
    .default([]),
  method: z.enum(["GET", "POST"]).default("GET"),
  unit: z.string().max(16).default("mWh"),
  unitsPerPayment: z.number().int().min(1).max(COUNTER_MAX).optional(),
  /** Of one that sells several: the path of what is bought, the first it names when absent. */
  resource: z
    .string()
    .regex(/^(\/[\w.~-]{1,64}){1,8}$/, 'expected a path such as "/v1/parking"')
    .optional(),
  /** Of a fixed seller: it charges by what was used, at most its price. One of electricity says so itself. */
  metered: z.boolean().default(false),
  /** Who is paid there: devices that name in their hello whom they pay now are sent there by it. */
  payee: PAYMENT_TOKEN.asset.transform((text) => text.toLowerCase()).optional(),
  /** It sells to these devices and groups alone, and they want it before others. Without: to all. */
  devices: z
    .array(z.union([device, name]))
    .min(1)
    .optional(),
  /** Certificate authorities beside the usual ones, PEM. */
  caFile: z.string().optional(),
  /** Its name may lead to a private address. */
  allowPrivate: z.boolean().default(false),
});

type SellerSection = z.infer<typeof SELLER>;

export type SellerConfig = Omit<SellerSection, "network" | "asset" | "tokens"> & {
  /** In the order of preference; never empty. */
  readonly tokens: readonly PaymentToken[];
};

export const SELLER_SECTIONS = {
  seller: SELLER.optional(),
  sellers: z
    .array(SELLER.required({ name: true }))
    .max(32)
    .default([]),
  /** Names for lists of devices. */
  groups: z.record(name, z.array(device).min(1)).default({}),
  market: z
    .strictObject({
      /** "order": the first of a device's sellers that sells. "cheapest": the one with the lowest price. */
      choose: z.enum(["order", "cheapest"]).default("order"),
      /** A seller in trouble loses its devices to the next one after this. */
      awayAfterMs: z.number().int().min(100).max(86_400_000).default(20_000),
      /** Sellers that sign their terms are asked for receipts of use so often, and at the end; 0: at the end alone. */
      receiptsEverySeconds: z.number().int().min(0).max(86_400).default(3_600),
    })
    .prefault({}),
};

const SECTIONS = z.object(SELLER_SECTIONS);
type SellerSections = z.infer<typeof SECTIONS>;

/** The sellers of a configuration, in the order of preference. Throws one line. */
export function sellersIn(sections: SellerSections, source: string): readonly SellerConfig[] {
  const { seller, sellers } = sections;
  if ((seller === undefined) === (sellers.length === 0)) {
    const found = seller === undefined ? "neither" : "both";
    throw new Watt402Error(
      "config-invalid",
      `config ${source}: seller: expected either [seller] or [[sellers]], found ${found}`,
    );
  }
  const all = seller === undefined ? sellers : [seller];
  for (const [index, { name, kind, unit, unitsPerPayment, devices = [] }] of all.entries()) {
    const member = seller === undefined ? `sellers.${index}` : "seller";
    if (all.findIndex((other) => other.name === name) !== index) {
      throw new Watt402Error(
        "config-invalid",
        `config ${source}: ${member}.name: expected a name of its own, found "${name}" again`,
      );
    }
    if (kind === "fixed" && unitsPerPayment === undefined) {
      throw new Watt402Error(
        "config-invalid",
        `config ${source}: ${member}.unitsPerPayment: expected how many ${unit} one paid answer is worth, found nothing`,
      );
    }
    for (const listed of devices) {
      if (isDevice(listed) || listed in sections.groups) continue;
      throw new Watt402Error(
        "config-invalid",
        `config ${source}: ${member}.devices: expected a device or a name in [groups], found "${listed}"`,
      );
    }
  }
  return all.map((section, index) => {
    const { network: _network, asset: _asset, tokens: _tokens, ...others } = section;
    return {
      ...others,
      tokens: tokensOf(section, seller === undefined ? `sellers.${index}` : "seller", source),
    };
  });
}

/** Both forms of what a seller is paid in. Throws one line. */
function tokensOf(
  { network, asset, tokens }: SellerSection,
  member: string,
  source: string,
): readonly PaymentToken[] {
  const isSingle = network !== undefined && asset !== undefined;
  if (isSingle && tokens === undefined) return [{ network, asset }];
  if (tokens !== undefined && network === undefined && asset === undefined) return tokens;
  const lacking = network === undefined ? "network" : "asset";
  const found = tokens === undefined ? `no ${lacking}` : "both";
  throw new Watt402Error(
    "config-invalid",
    `config ${source}: ${member}: expected network and asset, or tokens in their place, found ${found}`,
  );
}

/** Devices that a seller names, by themselves or by group; null when it sells to all. */
export function devicesOf(
  { devices }: Pick<SellerConfig, "devices">,
  groups: Readonly<Record<string, readonly string[]>>,
): ReadonlySet<string> | null {
  if (devices === undefined) return null;
  return new Set(devices.flatMap((listed) => (isDevice(listed) ? [listed] : groups[listed]!)));
}

function isDevice(listed: string): boolean {
  return /^[0-9a-f]{40}$/.test(listed);
}
