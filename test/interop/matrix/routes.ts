// The eleven EVM routes of upstream's matrix: a scheme, what moves the token, and who pays for the payer's approval.

import {
  declareEip2612GasSponsoringExtension,
  declareErc20ApprovalGasSponsoringExtension,
} from "@x402/extensions";
import type { GasSponsoring, TransferMethod } from "#simulator/seller/sale/payment-ways";

export interface Route {
  readonly name: string;
  readonly scheme: "batch-settlement" | "exact" | "upto";
  readonly transferMethod: TransferMethod;
  readonly sponsoring: GasSponsoring | null;
}

const SPONSORINGS = [null, "eip2612", "erc20-approval"] as const;

export const ROUTES: readonly Route[] = (["batch-settlement", "exact", "upto"] as const).flatMap((scheme) => [
  ...(scheme === "upto"
    ? []
    : [{ name: `${scheme} eip3009`, scheme, transferMethod: "eip3009", sponsoring: null } as const]),
  ...SPONSORINGS.map((sponsoring): Route => {
    const suffix = sponsoring === null ? "" : ` ${sponsoring}`;
    return { name: `${scheme} permit2${suffix}`, scheme, transferMethod: "permit2", sponsoring };
  }),
]);

/** What a purchase costs at most, and what an upto seller charges of it; atomic units. */
export const PRICE_ATOMIC = 100;
export const USED_ATOMIC = 37;

/** What a purchase by a route is charged. */
export const chargedAtomic = ({ scheme }: Route): number => (scheme === "upto" ? USED_ATOMIC : PRICE_ATOMIC);

/** What a stock server declares in its 402 for a route. */
export function stockExtensions({ sponsoring }: Route): Record<string, unknown> {
  if (sponsoring === null) return {};
  return sponsoring === "eip2612"
    ? declareEip2612GasSponsoringExtension()
    : declareErc20ApprovalGasSponsoringExtension();
}
