/**
 * Which token a money metric is of.
 *
 * Promise: as many series as sellers take tokens, and no figure adds amounts of two.
 */
import type { PaymentToken } from "#protocol/payment-token";

export const TOKEN_LABELS = ["network", "asset"] as const;

/** CAIP-2, and the contract in lower case: a token has one series, however its address is written. */
export function labelsOf({
  network,
  asset,
}: PaymentToken): Readonly<Record<(typeof TOKEN_LABELS)[number], string>> {
  return { network, asset: asset.toLowerCase() };
}
