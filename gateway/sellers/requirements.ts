/**
 * Choosing among a seller's payment requirements, and reading its counters out of x402 answers.
 *
 * Promise: only what the gateway can pay is chosen: version 2, one of the operator's schemes, networks
 * and tokens, by EIP-3009 with the token's domain named, an amount that a device can pay at once.
 */
import { isCounter, QUANTUM_MAX } from "#core/units";
import type { OfferedRequirements } from "#protocol/messages";
import type { PaymentRequired, SettleResponse } from "#protocol/x402";

export interface Payable {
  /** In order of preference. */
  readonly schemes: readonly ("batch-settlement" | "exact")[];
  readonly network: string;
  /** Token address, any case. */
  readonly asset: string;
}

/** The requirements the operator likes best; null, and why, when none can be paid. */
export function chooseRequirements(
  required: PaymentRequired,
  payable: Payable,
): { readonly requirements: OfferedRequirements | null; readonly reason: string } {
  for (const scheme of payable.schemes) {
    for (const option of required.accepts) {
      const amount = Number(option.amount);
      const method = option.extra?.assetTransferMethod ?? "eip3009";
      const fits =
        option.scheme === scheme &&
        option.network === payable.network &&
        option.asset.toLowerCase() === payable.asset.toLowerCase() &&
        method === "eip3009" &&
        typeof option.extra?.name === "string" &&
        typeof option.extra.version === "string" &&
        /^[1-9][0-9]{0,14}$/.test(option.amount) &&
        amount <= QUANTUM_MAX;
      if (fits) return { requirements: { ...option, extra: option.extra ?? {} }, reason: "" };
    }
  }
  const offered = required.accepts.map(
    ({ scheme, network, asset, amount }) => `${scheme} ${network} ${asset} ${amount}`,
  );
  return {
    requirements: null,
    reason:
      `expected ${payable.schemes.join(" or ")} on ${payable.network} in token ${payable.asset} by EIP-3009, ` +
      `the seller offers ${offered.join("; ") || "nothing"}`,
  };
}

/** What a corrective 402 says was charged on a channel; null when it says nothing. */
export function chargedInRequired(required: PaymentRequired): number | null {
  for (const { extra } of required.accepts) {
    const charged = decimalIn(extra?.channelState, "chargedCumulativeAmount");
    if (charged !== null) return charged;
  }
  return null;
}

/** What a receipt says was charged on its channel in all; null when it says nothing. */
export function chargedInReceipt(receipt: SettleResponse | null): number | null {
  return decimalIn(receipt?.extra?.channelState, "chargedCumulativeAmount");
}

function decimalIn(holder: unknown, member: string): number | null {
  if (typeof holder !== "object" || holder === null) return null;
  const text = (holder as Record<string, unknown>)[member];
  return typeof text === "string" && /^[0-9]{1,15}$/.test(text) && isCounter(Number(text))
    ? Number(text)
    : null;
}
