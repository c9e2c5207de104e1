/**
 * The part of a device's configuration that says what it may sign: the policy of each token that it may pay with.
 *
 * Promise: every token has its own limits and budget, and is named once; what the first one does not share with the
 * others (unit, what the lamp does unpaid) is said once, for all of them.
 */
import { z } from "zod";
import type { Policy } from "#core/policy";
import { COUNTER_MAX } from "#core/units";
import { TOKENS_MAX } from "#host/several-tokens";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { TOKEN_ALONE, type WalletRulesOf } from "#payment/offer/offer";
import { PERMIT2_ADDRESS } from "#payment/permit2/permit";
import { Watt402Error } from "#payment/watt402-error";
import { isSameToken, tokenName } from "#protocol/payment-token";
import type { MarketRules } from "../market/market-rules.ts";
import { address, choice, integer, list, pattern, table } from "./config-shape.ts";
import { PERMIT2, permit2RulesOf, TRANSFER_METHODS } from "./permit2-config.ts";

/** Largest money of one purchase for which the energy bought is still computed exactly. */
const QUANTUM_MAX = 9_007_199_254;

/** What Circle's Gateway wants of a transfer is seven days and some time to verify it. */
const VERIFYING_SECONDS = 8 * 86_400;
const VALIDITY_MAX_SECONDS = 366 * 86_400;

/** That may sign for sellers beside their payees. */
const KEYS_MAX = 32;

/** Beside the first. */
const MORE_TOKENS_MAX = TOKENS_MAX - 1;

const PER_TOKEN = {
  schemes: list(choice(["batch-settlement", "exact", "upto"]), 1).default(["batch-settlement"]),
  transfer_methods: TRANSFER_METHODS,
  network: pattern(/^eip155:[1-9][0-9]{0,14}$/, 'a CAIP-2 network like "eip155:8453"'),
  asset: address,
  payees: list(address, 0),
  price_ceiling_per_million_units: integer(1, 4_294_967_295),
  quantum_max_atomic: integer(1, QUANTUM_MAX),
  daily_budget_atomic: integer(1, COUNTER_MAX),
  permit2: PERMIT2,
  verifying_contracts: list(address, 0).default([]),
  verifying_validity_max_seconds: integer(1, VALIDITY_MAX_SECONDS).default(VERIFYING_SECONDS),
};

type TokenTable = z.output<z.ZodObject<typeof PER_TOKEN>>;

const UPTO_METHODS = {
  path: ["transfer_methods"],
  error: '"permit2" beside the scheme upto',
};

function movesUpto({ schemes, transfer_methods }: Pick<TokenTable, "schemes" | "transfer_methods">): boolean {
  return !schemes.includes("upto") || transfer_methods.includes("permit2");
}

/** Of sellers that sign their terms. */
const TERMS = table({
  required: z.boolean({ error: "true or false" }).default(false),
  keys: list(address, 0)
    .max(KEYS_MAX, { error: `a list of at most ${KEYS_MAX}` })
    .default([]),
  receipt_every_seconds: integer(0, 86_400).default(3_600),
  sign_meter_documents: z.boolean({ error: "true or false" }).default(false),
});

export const POLICY = table({
  ...PER_TOKEN,
  terms: TERMS.optional(),
  unpaid: choice(["off", "dim", "on"]).default("off"),
  unpaid_level_percent: integer(0, 100).default(20),
  tokens: list(table(PER_TOKEN).refine(movesUpto, UPTO_METHODS), 0)
    .max(MORE_TOKENS_MAX, { error: `a list of at most ${MORE_TOKENS_MAX}` })
    .default([]),
})
  .refine(movesUpto, UPTO_METHODS)
  .superRefine(({ tokens, ...first }, context) => {
    tokens.forEach((token, index) => {
      const before = [first, ...tokens.slice(0, index)];
      if (!before.some((one) => isSameToken(one, token))) return;
      context.addIssue({
        code: "custom",
        path: ["tokens", index, "asset"],
        message: "each token once, with all that it may be spent on",
      });
    });
  });

type PolicyTable = z.output<typeof POLICY>;

/** The policy of each token, the first one first. */
export function policiesIn(policy: PolicyTable, unit: string): readonly Policy[] {
  return [policy, ...policy.tokens].map((token) => policyOf(token, policy, unit));
}

/** What sellers' signed terms have to be; undefined where the owner says nothing of them: then they are not asked for. */
export function marketRulesIn({ terms }: PolicyTable, unit: string): MarketRules | undefined {
  if (terms === undefined) return undefined;
  if (terms.sign_meter_documents && unit !== "mWh") {
    const where = "policy.terms.sign_meter_documents";
    throw new Watt402Error(
      "config-invalid",
      `${where}: expected false beside meter.unit = "${unit}", found true`,
    );
  }
  const { required, keys, receipt_every_seconds, sign_meter_documents } = terms;
  const receiptEveryMs = receipt_every_seconds * 1_000;
  return { isRequired: required, keys, receiptEveryMs, signsMeterDocuments: sign_meter_documents };
}

/** What may be signed from the device's own wallet, by the token that is asked for. */
export function walletRulesIn(policy: PolicyTable): WalletRulesOf {
  const rules = new Map(
    [policy, ...policy.tokens].map((token) => {
      const isNamed = token.verifying_contracts.length > 0;
      const verifierSecondsMax = isNamed ? token.verifying_validity_max_seconds : 0;
      return [tokenName(token), { permit2: permit2RulesOf(token), verifierSecondsMax }] as const;
    }),
  );
  return (token) => rules.get(tokenName(token)) ?? TOKEN_ALONE;
}

function policyOf(token: TokenTable, shared: PolicyTable, unit: string): Policy {
  const { schemes, transfer_methods, asset } = token;
  const exact = schemes.includes("exact") && transfer_methods.includes("eip3009");
  return {
    schemes,
    network: token.network,
    asset,
    // By EIP-3009 the token itself verifies the signature, or a contract that the owner named.
    contracts: [
      ...(schemes.includes("batch-settlement") ? [BATCH_SETTLEMENT_ADDRESS] : []),
      ...(exact ? [asset, ...token.verifying_contracts] : []),
      ...(transfer_methods.includes("permit2") ? [PERMIT2_ADDRESS] : []),
    ],
    payees: token.payees,
    unit,
    priceCeiling: token.price_ceiling_per_million_units,
    quantumMaxAtomic: token.quantum_max_atomic,
    dailyBudgetAtomic: token.daily_budget_atomic,
    unpaid:
      shared.unpaid === "dim"
        ? { kind: "dim", levelPercent: shared.unpaid_level_percent }
        : { kind: shared.unpaid },
  };
}
