/**
 * What a run's transactions took of the chain.
 *
 * Promise: deposits are apart; `perPayment` is claims, settlements and exact transfers over payments made.
 */
import type { StopReport } from "../../seller/seller.ts";

export interface Gas {
  readonly deposit: number;
  readonly claim: number;
  readonly settle: number;
  readonly perPayment: number;
}

/** @param made payments of all sellers whose reports these are */
export function gasOf(reports: readonly StopReport[], made: number): Gas {
  const gas = (of: (report: StopReport) => number) => reports.reduce((sum, one) => sum + of(one), 0);
  const claim = gas(({ claims }) => claims.gas);
  const settle = gas(({ settles, exact }) => settles.gas + exact.gas);
  return {
    deposit: gas(({ deposits }) => deposits.gas),
    claim,
    settle,
    perPayment: made === 0 ? 0 : Number(((claim + settle) / made).toFixed(2)),
  };
}
