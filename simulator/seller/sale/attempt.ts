/**
 * One payment taken once through the official x402 resource server: verified, then settled.
 *
 * Promise: a payment that could not be settled leaves no reservation behind; one whose transaction was sent and is not yet
 * confirmed is neither paid nor refused: the buyer presents it again.
 */
import type { x402ResourceServer } from "@x402/core/server";
import type { PaymentPayload, PaymentRequirements, SettleResponse } from "@x402/core/types";
import { SettleError } from "@x402/core/types";
import type { StoredAnswer } from "../ports.ts";

/** The SDK's word for a settlement whose outcome is not known yet. */
const SETTLEMENT_PENDING = "settlement_pending";

export type ResourceServer = Pick<
  x402ResourceServer,
  "findMatchingRequirements" | "verifyPayment" | "settlePayment" | "createPaymentCancellationDispatcher"
>;

export type SaleOutcome =
  /** `isRepetition`: this very payment was, or is being, sold to another request. */
  | { readonly kind: "sold"; readonly stored: StoredAnswer; readonly isRepetition: boolean }
  /** A refund was asked for and sent: nothing sold. */
  | { readonly kind: "acknowledged"; readonly body: unknown; readonly receipt: SettleResponse }
  /** Not paid; `payment` (when given) lets the official server add its corrective state. */
  | { readonly kind: "unpaid"; readonly reason: string; readonly payment: PaymentPayload | undefined }
  | { readonly kind: "unsettled"; readonly receipt: SettleResponse }
  /** The buyer's own identifier cannot be taken: it names another payment, or is none. */
  | { readonly kind: "identifier-taken" | "identifier-invalid"; readonly reason: string }
  /** Nothing is known to be wrong with the payment: present the same one again. */
  | { readonly kind: "unavailable"; readonly reason: string };

/** A payment once through the official server; `acknowledgement` when it was no purchase but a refund. */
export type Attempt =
  | Extract<SaleOutcome, { kind: "unpaid" | "unsettled" | "unavailable" }>
  | {
      readonly kind: "settled";
      readonly receipt: SettleResponse;
      readonly acknowledgement: { readonly body?: unknown } | undefined;
    };

/** @param amountAtomic what is charged, where that may be less than was signed */
export async function verifyAndSettle(
  resourceServer: ResourceServer,
  payment: PaymentPayload,
  requirements: PaymentRequirements,
  amountAtomic?: string,
): Promise<Attempt> {
  const verified = await resourceServer.verifyPayment(payment, requirements);
  if (!verified.isValid) {
    return { kind: "unpaid", reason: verified.invalidReason ?? "payment refused", payment };
  }
  const receipt = await settle(resourceServer, payment, requirements, amountAtomic);
  if (receipt.errorReason === SETTLEMENT_PENDING) {
    const reason = `transaction ${receipt.transaction} was sent and is not confirmed; present the same payment again`;
    return { kind: "unavailable", reason };
  }
  if (!receipt.success) return { kind: "unsettled", receipt };
  return { kind: "settled", receipt, acknowledgement: verified.skipHandler };
}

async function settle(
  resourceServer: ResourceServer,
  payment: PaymentPayload,
  requirements: PaymentRequirements,
  amountAtomic: string | undefined,
): Promise<SettleResponse> {
  const cancellation = resourceServer.createPaymentCancellationDispatcher(payment, requirements);
  try {
    const overrides = amountAtomic === undefined ? undefined : { amount: amountAtomic };
    return await resourceServer.settlePayment(payment, requirements, undefined, undefined, overrides);
  } catch (error) {
    // Else the channel stays reserved, and every further payment on it busy, until the reservation expires.
    await cancellation.cancel({ reason: "handler_threw", error });
    if (!(error instanceof SettleError)) throw error;
    const { errorReason, errorMessage, transaction, network } = error;
    return {
      success: false,
      transaction,
      network,
      ...(errorReason === undefined ? {} : { errorReason }),
      ...(errorMessage === undefined ? {} : { errorMessage }),
    };
  }
}
