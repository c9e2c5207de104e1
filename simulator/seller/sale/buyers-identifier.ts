// The `payment-identifier` that a buyer may put beside its payment: a name under which a payment that is presented again
// is known, and which no other payment may take.

import type { PaymentPayload } from "@x402/core/types";
import { cut } from "#node/config/shown";

const KEY = "payment-identifier";
/** As the extension's specification has it. */
const IDENTIFIER = /^[A-Za-z0-9_-]{16,128}$/;
/** Of one that is refused, characters in the answer. */
const SHOWN_MAX = 40;

type BuyersIdentifier =
  | { readonly kind: "none" }
  /** `reference`: never that of a nonce or an amount. */
  | { readonly kind: "given"; readonly reference: string }
  | { readonly kind: "invalid"; readonly reason: string };

export function buyersIdentifier({ extensions }: PaymentPayload): BuyersIdentifier {
  const id = (extensions?.[KEY] as { info?: { id?: unknown } } | null | undefined)?.info?.id;
  if (id === undefined) return { kind: "none" };
  if (typeof id === "string" && IDENTIFIER.test(id)) return { kind: "given", reference: `id:${id}` };
  const found = typeof id === "string" ? `"${cut(id, SHOWN_MAX)}"` : typeof id;
  return {
    kind: "invalid",
    reason: `payment-identifier: expected 16 to 128 letters, digits, - or _, found ${found}`,
  };
}
