/**
 * The ways a seller may be paid: a scheme and what moves the token, and who pays for the gas of a first approval.
 *
 * Promise: the order of the ways is the seller's preference, scheme before transfer method, and none is offered that the
 * official server packages do not have.
 */
import { Watt402Error } from "#payment/watt402-error";
import type { Scheme } from "../accounts/accounts.ts";

export const SCHEMES = ["batch-settlement", "exact", "upto"] as const satisfies readonly Scheme[];
export const TRANSFER_METHODS = ["eip3009", "permit2"] as const;
export const GAS_SPONSORINGS = ["eip2612", "erc20-approval"] as const;

/** x402's `assetTransferMethod`. */
export type TransferMethod = (typeof TRANSFER_METHODS)[number];
/** How a payer who never approved Permit2, and may have no ether, comes to an approval. */
export type GasSponsoring = (typeof GAS_SPONSORINGS)[number];

export interface PaymentWay {
  readonly scheme: Scheme;
  readonly transferMethod: TransferMethod;
}

/** Throws with code config-invalid where a wish could not be met. */
export function paymentWays(
  schemes: readonly Scheme[],
  transferMethods: readonly TransferMethod[],
  gasSponsoring: readonly GasSponsoring[],
): readonly PaymentWay[] {
  const byPermit2 = transferMethods.includes("permit2");
  if (schemes.includes("upto") && !byPermit2)
    throw new Watt402Error("config-invalid", "scheme upto: expected the transfer method permit2, found none");
  if (gasSponsoring.length > 0 && !byPermit2)
    throw new Watt402Error(
      "config-invalid",
      "gas sponsoring: expected the transfer method permit2, found none",
    );
  return schemes.flatMap((scheme) =>
    transferMethods
      .filter((transferMethod) => scheme !== "upto" || transferMethod === "permit2")
      .map((transferMethod) => ({ scheme, transferMethod })),
  );
}
