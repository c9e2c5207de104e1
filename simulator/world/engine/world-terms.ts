/**
 * Who sells what for which token in every world: the fixed part of a seller's terms.
 *
 * Promise: constant; a world's chance begins behind it.
 */
import type { PaymentRequirements } from "@x402/core/types";
import type { Policy } from "#core/policy";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { keyOf } from "./keys.ts";

export const NETWORK = "eip155:31337";
export const CHAIN_ID = 31_337;
export const TOKEN = `0x${"aa".repeat(20)}` as const;
export const RECEIVER = keyOf("seller").address;
/** Seconds between a payer's wish to withdraw and the withdrawal. */
export const WITHDRAW_DELAY_SECONDS = 3600;
/** Quanta on sale, atomic units. */
export const MENU = [100, 200, 500, 1000, 2000, 5000, 10_000] as const;
const MIN_DEPOSIT_ATOMIC = 10_000;

/** The payment requirements for one quantum; null when it is not on the menu. */
export function requirementsFor(quantumAtomic: number): PaymentRequirements | null {
  if (!MENU.some((quantum) => quantum === quantumAtomic)) return null;
  return {
    scheme: "batch-settlement",
    network: NETWORK,
    amount: String(quantumAtomic),
    asset: TOKEN,
    payTo: RECEIVER,
    maxTimeoutSeconds: 300,
    extra: {
      name: "World Dollar",
      version: "1",
      receiverAuthorizer: RECEIVER,
      withdrawDelay: WITHDRAW_DELAY_SECONDS,
      minDeposit: String(MIN_DEPOSIT_ATOMIC),
    },
  };
}

/** What a world's owners write into their lights: this seller, this token, and limits of their own. */
export function policyWithin(
  limits: Pick<Policy, "unit" | "priceCeiling" | "quantumMaxAtomic" | "dailyBudgetAtomic">,
): Policy {
  return {
    schemes: ["batch-settlement"],
    network: NETWORK,
    asset: TOKEN,
    contracts: [BATCH_SETTLEMENT_ADDRESS],
    payees: [RECEIVER],
    ...limits,
    unpaid: { kind: "off" },
  };
}
