/**
 * A purchase that is paid for by a transfer of its own: exact, and upto.
 *
 * Promise: exact is charged what was signed, upto what was used and never more than was signed; a transfer that came to
 * this seller is charged once, also when its settlement was interrupted before it was stored.
 */
import type { PaymentPayload, PaymentRequirements, SettleResponse } from "@x402/core/types";
import type { AccountStore, Chain } from "../ports.ts";
import { type Attempt, type ResourceServer, type SaleOutcome, verifyAndSettle } from "./attempt.ts";
import type { TransferIdentity } from "./payment-identity.ts";

export interface TransferParts {
  readonly resourceServer: ResourceServer;
  readonly store: Pick<AccountStore, "chargeTransfer">;
  readonly chain: Pick<Chain, "authorizationUsed" | "paymentByAuthorization">;
  /** Whether the signature of a payment by EIP-3009 or Permit2 is its payer's. */
  readonly authorizationIsSigned: (
    payment: PaymentPayload,
    requirements: PaymentRequirements,
  ) => Promise<boolean>;
}

/** What a buyer asks for beside paying. */
export interface Asked {
  /** Of an upto payment, what is charged of it; all that was signed when absent. */
  readonly usedAtomic?: number | undefined;
  /** The reference that its identifier is kept under. */
  readonly identifier?: string;
}

export async function sellTransfer(
  parts: TransferParts,
  payment: PaymentPayload,
  requirements: PaymentRequirements,
  identity: TransferIdentity,
  { usedAtomic, identifier }: Asked,
): Promise<SaleOutcome> {
  const { scheme, account: payer, reference, signature } = identity;
  const signedAtomic = Number(requirements.amount);
  const chargedAtomic = scheme === "upto" ? Math.min(usedAtomic ?? signedAtomic, signedAtomic) : signedAtomic;
  const override = scheme === "upto" ? String(chargedAtomic) : undefined;
  const attempt = await verifyAndSettle(parts.resourceServer, payment, requirements, override);
  // Used up, and unknown to the store: if that very transfer came to us, it was settled and the answer lost
  // before it could be stored.
  const paid =
    attempt.kind === "settled"
      ? { receipt: attempt.receipt, amountAtomic: chargedAtomic }
      : await paidBefore(parts, payment, requirements, identity);
  if (paid === undefined) return attempt as Exclude<Attempt, { kind: "settled" }>;
  const stored = await parts.store.chargeTransfer({
    scheme,
    payer,
    reference,
    signature,
    amountAtomic: paid.amountAtomic,
    // Not every facilitator says what it settled; the payment is known again by it.
    receipt: { ...paid.receipt, amount: String(paid.amountAtomic) },
    identifier,
  });
  return { kind: "sold", stored, isRepetition: false };
}

async function paidBefore(
  parts: TransferParts,
  payment: PaymentPayload,
  requirements: PaymentRequirements,
  { scheme, authorization, account: payer, signature }: TransferIdentity,
): Promise<{ receipt: SettleResponse; amountAtomic: number } | undefined> {
  const { chain } = parts;
  if (!(await parts.authorizationIsSigned(payment, requirements))) return undefined;
  if (!(await chain.authorizationUsed(authorization))) return undefined;
  const amount = BigInt(requirements.amount);
  const found = await chain.paymentByAuthorization(authorization, signature, (paid) =>
    scheme === "upto" ? paid <= amount : paid === amount,
  );
  if (found === undefined) return undefined;
  const { transaction, amountAtomic } = found;
  const receipt = { success: true, transaction, network: requirements.network, payer } as const;
  return { receipt, amountAtomic: Number(amountAtomic) };
}
