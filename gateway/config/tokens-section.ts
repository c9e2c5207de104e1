/**
 * The configuration's chains and tokens: one `[chain]`, or several `[[chains]]`; `[treasury]` and `[money]` for one
 * token, and beside them `[[tokens]]` for several.
 *
 * Promise: every network that a seller is paid on has a node, every token its own limits; where sellers take several
 * tokens each is named, so that no limit of one is taken for another's.
 */

import { z } from "zod";
import { COUNTER_MAX } from "#core/units";
import { Watt402Error } from "#payment/watt402-error";
import { isSameToken, type PaymentToken, tokenName } from "#protocol/payment-token";
import type { MoneySection } from "./monitoring-section.ts";

const httpUrl = z.url({ protocol: /^https?$/, error: "expected an http or https URL" });
const atomic = z.number().int().min(1).max(COUNTER_MAX);

/** CAIP-2 and the token's address. */
export const PAYMENT_TOKEN = {
  network: z.string().regex(/^eip155:[1-9][0-9]{0,14}$/, 'expected a network like "eip155:8453"'),
  asset: z.string().regex(/^0x[0-9a-fA-F]{40}$/, "expected an address, 0x and 40 hex digits"),
};

/** What the treasury may put into channels, in one token. */
const LIMIT_SHAPES = {
  depositAtomic: atomic,
  /** Days of a device's own use that a deposit pays for once that is known; 0: always `depositAtomic`. */
  depositDays: z.number().int().min(0).max(366),
  perChannelAtomic: atomic,
  perDevicePerDayAtomic: atomic,
  perDayAtomic: atomic,
  fleetAtomic: atomic,
  /** A tenth of the fleet's day when absent, or one deposit; 0: nothing for devices that are not enrolled. */
  newcomersPerDayAtomic: z.number().int().min(0).max(COUNTER_MAX).optional(),
  /** Below this the operator is warned; 0: never. */
  lowBalanceAtomic: z.number().int().min(0).max(COUNTER_MAX),
};

/** The same with the usual limits, of a token of 6 decimals. */
export const TOKEN_LIMITS = {
  depositAtomic: LIMIT_SHAPES.depositAtomic.default(200_000),
  depositDays: LIMIT_SHAPES.depositDays.default(7),
  perChannelAtomic: LIMIT_SHAPES.perChannelAtomic.default(20_000_000),
  perDevicePerDayAtomic: LIMIT_SHAPES.perDevicePerDayAtomic.default(20_000_000),
  perDayAtomic: LIMIT_SHAPES.perDayAtomic.default(1_000_000_000),
  fleetAtomic: LIMIT_SHAPES.fleetAtomic.default(100_000_000_000),
  newcomersPerDayAtomic: LIMIT_SHAPES.newcomersPerDayAtomic,
  lowBalanceAtomic: LIMIT_SHAPES.lowBalanceAtomic.default(10_000_000),
};

type LimitsSection = z.infer<z.ZodObject<typeof LIMIT_SHAPES>>;

const CHAIN = z.strictObject({ rpc: httpUrl });

export const TOKEN_SECTIONS = {
  chain: CHAIN.optional(),
  chains: z
    .array(CHAIN.extend({ network: PAYMENT_TOKEN.network }))
    .max(32)
    .default([]),
  tokens: z
    .array(
      z.strictObject({
        ...PAYMENT_TOKEN,
        symbol: z.string().min(1).max(12),
        decimals: z.number().int().min(0).max(18),
        // Absent: as in [treasury].
        ...z.object(LIMIT_SHAPES).partial().shape,
      }),
    )
    .max(32)
    .default([]),
};

const SECTIONS = z.object(TOKEN_SECTIONS);

export interface ChainConfig {
  /** CAIP-2 */
  readonly network: string;
  readonly rpc: string;
  /** The member that names the node, for messages: "chain.rpc", "chains.1.rpc". */
  readonly member: string;
}

/** A token that sellers take: how it is written, and what the treasury may deposit of it. */
export type TokenConfig = PaymentToken &
  MoneySection &
  LimitsSection & { readonly newcomersPerDayAtomic: number };

interface TokenSource extends z.infer<typeof SECTIONS> {
  readonly treasury: LimitsSection;
  readonly money: MoneySection;
  readonly sellers: readonly { readonly tokens: readonly PaymentToken[] }[];
}

/** The nodes of all networks that sellers are paid on, in the order of the sellers. Throws one line. */
export function chainsIn({ chain, chains, sellers }: TokenSource, source: string): readonly ChainConfig[] {
  if ((chain === undefined) === (chains.length === 0)) {
    const found = chain === undefined ? "neither" : "both";
    throw wrong(source, "chain", `expected either [chain] or [[chains]], found ${found}`);
  }
  const networks = [...new Set(sellers.flatMap(({ tokens }) => tokens.map(({ network }) => network)))];
  if (chain !== undefined) {
    const [network, other] = networks;
    if (other === undefined) return [{ network: network!, rpc: chain.rpc, member: "chain.rpc" }];
    throw wrong(
      source,
      "chain",
      `expected the node of one network, found sellers on ${network} and ${other}; name each in [[chains]]`,
    );
  }
  for (const [index, { network }] of chains.entries()) {
    if (chains.findIndex((other) => other.network === network) === index) continue;
    throw wrong(source, `chains.${index}.network`, `expected each network once, found ${network} again`);
  }
  return networks.map((network) => {
    const index = chains.findIndex((one) => one.network === network);
    if (index >= 0) return { network, rpc: chains[index]!.rpc, member: `chains.${index}.rpc` };
    throw wrong(source, "chains", `expected a node of ${network}, on which a seller is paid, found none`);
  });
}

/** All tokens that sellers take, in the order of the sellers. Throws one line. */
export function tokensIn(sections: TokenSource, source: string): readonly TokenConfig[] {
  const { tokens, treasury, money, sellers } = sections;
  for (const [index, token] of tokens.entries()) {
    if (tokens.findIndex((other) => isSameToken(other, token)) === index) continue;
    throw wrong(source, `tokens.${index}`, `expected each token once, found ${tokenName(token)} again`);
  }
  const taken = new Map(
    sellers.flatMap((seller) => seller.tokens.map((token) => [tokenName(token), token] as const)),
  );
  return [...taken.values()].map((token) => {
    const index = tokens.findIndex((one) => isSameToken(one, token));
    if (index < 0 && taken.size > 1) {
      throw wrong(
        source,
        "tokens",
        `expected symbol, decimals and limits of each of the sellers' ${taken.size} tokens in [[tokens]], ` +
          `found none for ${tokenName(token)}`,
      );
    }
    const { symbol, decimals } = tokens[index] ?? money;
    const limits = limitsOf(tokens[index] ?? {}, treasury);
    checkLimits(limits, index < 0 ? "treasury" : `tokens.${index}`, source);
    const { depositAtomic, perDayAtomic, newcomersPerDayAtomic } = limits;
    const usual = Math.max(depositAtomic, Math.floor(perDayAtomic / NEWCOMERS_SHARE));
    return { ...token, symbol, decimals, ...limits, newcomersPerDayAtomic: newcomersPerDayAtomic ?? usual };
  });
}

/** Of the fleet's day, for devices that were never seen to buy. */
const NEWCOMERS_SHARE = 10;

/** A token's own limits, and the usual ones in the place of those that it does not name. */
function limitsOf(
  own: { readonly [Name in keyof LimitsSection]?: LimitsSection[Name] | undefined },
  usual: LimitsSection,
): LimitsSection {
  return {
    depositAtomic: own.depositAtomic ?? usual.depositAtomic,
    depositDays: own.depositDays ?? usual.depositDays,
    perChannelAtomic: own.perChannelAtomic ?? usual.perChannelAtomic,
    perDevicePerDayAtomic: own.perDevicePerDayAtomic ?? usual.perDevicePerDayAtomic,
    perDayAtomic: own.perDayAtomic ?? usual.perDayAtomic,
    fleetAtomic: own.fleetAtomic ?? usual.fleetAtomic,
    newcomersPerDayAtomic: own.newcomersPerDayAtomic ?? usual.newcomersPerDayAtomic,
    lowBalanceAtomic: own.lowBalanceAtomic ?? usual.lowBalanceAtomic,
  };
}

function checkLimits(limits: LimitsSection, section: string, source: string): void {
  const { depositAtomic, perChannelAtomic, perDevicePerDayAtomic, perDayAtomic, fleetAtomic } = limits;
  const bounds = [
    ["depositAtomic", depositAtomic, "perChannelAtomic", perChannelAtomic],
    ["depositAtomic", depositAtomic, "perDevicePerDayAtomic", perDevicePerDayAtomic],
    ["perDevicePerDayAtomic", perDevicePerDayAtomic, "perDayAtomic", perDayAtomic],
    ["perChannelAtomic", perChannelAtomic, "fleetAtomic", fleetAtomic],
    ["perDayAtomic", perDayAtomic, "fleetAtomic", fleetAtomic],
  ] as const;
  for (const [member, atomic, bound, boundAtomic] of bounds) {
    if (atomic <= boundAtomic) continue;
    const expected = `expected at most ${section}.${bound} (${boundAtomic}), found ${atomic}`;
    throw wrong(source, `${section}.${member}`, expected);
  }
}

function wrong(source: string, member: string, expected: string): Watt402Error {
  return new Watt402Error("config-invalid", `config ${source}: ${member}: ${expected}`);
}
