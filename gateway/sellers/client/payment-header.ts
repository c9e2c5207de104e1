/**
 * A payment as the header that x402 carries it in, with what stays the same from payment to payment written once.
 *
 * Promise: the header is base64 of the JSON that the official client makes of that payload; what is kept is a text for
 * each channel that is held elsewhere, and goes with it.
 */
import type { PaymentPayload } from "#protocol/x402";

/** Of one channel at its present terms: the payload's text up to the counter. */
interface Written {
  readonly accepted: object;
  readonly resource: string | undefined;
  readonly head: string;
}

/** By a channel's configuration: as long as a channel's record is passed on, that is the same object. */
const written = new WeakMap<object, Written>();

/** The value of PAYMENT-SIGNATURE, for any payload. */
export function paymentHeader(payment: PaymentPayload): string {
  return Buffer.from(JSON.stringify(payment)).toString("base64");
}

/**
 * The same for a payload of our own: purchase/payload.ts decides its members, their order and their alphabet, and gives
 * the same objects for what has not changed.
 */
export function ownPaymentHeader(payment: PaymentPayload): string {
  const { type, channelConfig, voucher } = payment.payload;
  if (type !== "voucher") return paymentHeader(payment);
  const { maxClaimableAmount, signature } = voucher as Record<"maxClaimableAmount" | "signature", string>;
  const head = headOf(payment, channelConfig as object);
  return Buffer.from(`${head}${maxClaimableAmount}","signature":"${signature}"}}}`).toString("base64");
}

const COUNTER = '"maxClaimableAmount":"';

function headOf(payment: PaymentPayload, channelConfig: object): string {
  const { accepted } = payment;
  const resource = payment.resource?.url;
  const known = written.get(channelConfig);
  if (known !== undefined && known.accepted === accepted && known.resource === resource) return known.head;
  const text = JSON.stringify(payment);
  const head = text.slice(0, text.lastIndexOf(COUNTER) + COUNTER.length);
  written.set(channelConfig, { accepted, resource, head });
  return head;
}
