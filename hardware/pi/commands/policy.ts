/** `watt402-device policy`: what this device will sign and what it refuses, in words. */
import type { Policy } from "#core/policy";
import { unitsForQuantum } from "#core/units";
import { policiesOf } from "#host/several-tokens";
import type { DeviceConfig } from "#node/config/device-config";
import type { MarketRules } from "#node/market/market-rules";
import type { WalletRules } from "#payment/offer/offer";
import type { Permit2Rules } from "#payment/permit2/permit2-offer";

/** What the schemes put at stake when the key is stolen. */
const STAKES: Readonly<Record<string, string>> = {
  "batch-settlement":
    "Vouchers of a channel: each is worth something to that channel's seller alone, and no more than the deposit.",
  exact: "Transfers from the device's own wallet: a holder of the key can take everything in that wallet.",
  upto: "The same, each of as much as the seller charges, and no more than was signed.",
};

export function policyInWords({ settings, unit, walletRules, marketRules }: DeviceConfig): string {
  const policies = policiesOf(settings);
  const [first] = policies;
  return [
    ...(policies.length === 1
      ? []
      : [
          `This light pays with any of ${policies.length} tokens, each with limits and a day's budget of its own; ` +
            "the gateway's offer says with which.",
        ]),
    ...policies.flatMap((policy) => tokenInWords(policy, unit, walletRules(policy))),
    ...(marketRules === undefined ? [] : termsInWords(marketRules)),
    `Without credit its lamp is ${unpaidInWords(first!)}.`,
    "Whatever else is asked of it, by whomever, it refuses, and says so in its state.",
  ].join("\n");
}

function tokenInWords(policy: Policy, unit: string, rules: WalletRules): string[] {
  const { quantumMaxAtomic, priceCeiling, dailyBudgetAtomic } = policy;
  const { permit2, verifierSecondsMax } = rules;
  return [
    `This light pays in the token ${policy.asset} on ${policy.network}, amounts in its smallest unit.`,
    policy.payees.length === 0
      ? "It pays any seller whose offer the gateway sends; list policy.payees to allow some only."
      : `It pays these sellers and no other: ${policy.payees.join(", ")}.`,
    `It signs at most ${quantumMaxAtomic} for one purchase, and ${dailyBudgetAtomic} in one UTC day.`,
    `It buys at ${priceCeiling} per million ${unit} or less: at that price ${quantumMaxAtomic} buy ` +
      `${unitsForQuantum(quantumMaxAtomic, priceCeiling)} ${unit}.`,
    `What it signs for: ${policy.contracts.join(", ")}.`,
    ...policy.schemes.map((scheme) => `${scheme}: ${STAKES[scheme]}`),
    ...(verifierSecondsMax === 0
      ? []
      : [`What another contract than the token verifies is good for ${verifierSecondsMax} s at most.`]),
    ...(permit2 === null ? [] : permit2InWords(permit2)),
  ];
}

function termsInWords({ isRequired, keys, receiptEveryMs, signsMeterDocuments }: MarketRules): string[] {
  const signers = keys.length === 0 ? "their payee" : `their payee or one of ${keys.join(", ")}`;
  return [
    `Terms that a seller has signed (by ${signers}) bind it: an offer beside them is refused, and one that grants less is left.`,
    ...(isRequired ? ["It buys from no seller that signs none."] : []),
    ...(receiptEveryMs === 0
      ? []
      : [
          `Every ${receiptEveryMs / 1_000} s it signs what it was charged and granted, when it knows the same.`,
        ]),
    ...(signsMeterDocuments
      ? ["What its meter showed then it signs as OCMF, which certifies neither of them."]
      : []),
  ];
}

function permit2InWords(rules: Permit2Rules): string[] {
  const { spenders, facilitators, validityMaxSeconds, approvals, approveAtLeastAtomic } = rules;
  const approved =
    approveAtLeastAtomic === 0 ? "what the payment needs" : `what it needs, at least ${approveAtLeastAtomic}`;
  return [
    `Under Permit2 it lets these move its tokens, for ${validityMaxSeconds} s at most: ${spenders.join(", ")}.`,
    ...(facilitators.length === 0 ? [] : [`By upto these alone charge: ${facilitators.join(", ")}.`]),
    approvals.length === 0
      ? "It does not approve Permit2 by itself."
      : `It approves Permit2 by ${approvals.join(" or ")} for ${approved}.`,
  ];
}

function unpaidInWords({ unpaid }: Policy): string {
  if (unpaid.kind === "dim") return `dimmed to ${unpaid.levelPercent} % at most`;
  return unpaid.kind === "on" ? "lit as planned all the same" : "dark";
}
