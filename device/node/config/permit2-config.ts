/**
 * The part of a device's policy that concerns Permit2.
 *
 * Promise: without `transfer_methods` that name it nothing may be signed under Permit2; an approval is of what a payment
 * needs, unless the file says otherwise, and never unlimited.
 */
import { COUNTER_MAX } from "#core/units";
import { EXACT_PROXY_ADDRESS, UPTO_PROXY_ADDRESS } from "#payment/permit2/permit";
import type { Permit2Rules } from "#payment/permit2/permit2-offer";
import { address, choice, integer, list, table } from "./config-shape.ts";

const GWEI = 1_000_000_000;
/** So that a price fits PAY's 48 bits. */
const GAS_PRICE_MAX_GWEI = 200_000;

export const TRANSFER_METHODS = list(choice(["eip3009", "permit2"]), 1).default(["eip3009"]);

export const PERMIT2 = table({
  facilitators: list(address, 0).default([]),
  validity_max_seconds: integer(1, 86_400).default(600),
  approvals: list(choice(["eip2612", "erc20"]), 0).default(["eip2612"]),
  approve_at_least_atomic: integer(0, COUNTER_MAX).default(0),
  gas_price_max_gwei: integer(0, GAS_PRICE_MAX_GWEI).default(10),
}).prefault({});

interface Permit2Policy {
  readonly schemes: readonly string[];
  readonly transfer_methods: readonly string[];
  readonly permit2: {
    readonly facilitators: readonly string[];
    readonly validity_max_seconds: number;
    readonly approvals: readonly ("eip2612" | "erc20")[];
    readonly approve_at_least_atomic: number;
    readonly gas_price_max_gwei: number;
  };
}

/** Null where nothing may be signed under Permit2. */
export function permit2RulesOf({ schemes, transfer_methods, permit2 }: Permit2Policy): Permit2Rules | null {
  if (!transfer_methods.includes("permit2")) return null;
  return {
    spenders: [
      ...(schemes.includes("exact") ? [EXACT_PROXY_ADDRESS] : []),
      ...(schemes.includes("upto") ? [UPTO_PROXY_ADDRESS] : []),
    ],
    facilitators: permit2.facilitators,
    validityMaxSeconds: permit2.validity_max_seconds,
    approvals: permit2.approvals,
    approveAtLeastAtomic: permit2.approve_at_least_atomic,
    gasPriceMaxWei: permit2.gas_price_max_gwei * GWEI,
  };
}
