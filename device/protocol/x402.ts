/**
 * x402 version 2 as it travels over HTTP: types and header codec of the official package, with bounds.
 *
 * Promise: a header decoded here is base64 of a valid version 2 object of at most 16 KiB, or an error
 * text says why not; nothing is guessed from a broken one.
 */

import { decodePaymentRequiredHeader, decodePaymentResponseHeader } from "@x402/core/http";
import { isPaymentPayloadV2, isPaymentRequiredV2, PaymentRequiredV2Schema } from "@x402/core/schemas";
import type { PaymentPayload, PaymentRequired, PaymentRequirements, SettleResponse } from "@x402/core/types";
import { isShallow, TOO_DEEP } from "./nesting.ts";

export type { PaymentPayload, PaymentRequired, PaymentRequirements, SettleResponse };

/** Headers of x402 over HTTP (specification, transport "http"). */
export const PAYMENT_REQUIRED_HEADER = "payment-required";
export const PAYMENT_SIGNATURE_HEADER = "payment-signature";
export const PAYMENT_RESPONSE_HEADER = "payment-response";

/** Longest header value accepted, characters. */
export const HEADER_MAX = 16384;

type HeaderRead<Value> =
  | { readonly value: Value; readonly error: null }
  | { readonly value: null; readonly error: string };

/** One that has an entry nobody can read beside others is read without it; names of networks are left as they are. */
export function readPaymentRequiredHeader(header: string): HeaderRead<PaymentRequired> {
  return readHeader(header, PAYMENT_REQUIRED_HEADER, decodePaymentRequiredHeader, readableTerms);
}

/** Terms with the entries of `accepts` that can be read; why there is none, empty for what are no terms at all. */
function readableTerms(value: unknown): PaymentRequired | string {
  if (isPaymentRequired(value)) return value;
  if (typeof value !== "object" || value === null || !("accepts" in value)) return "";
  const required = value as PaymentRequired;
  if (!Array.isArray(required.accepts)) return "";
  const accepts = required.accepts.filter((entry) =>
    isPaymentRequired({ ...required, accepts: [withCaip2(entry)] }),
  );
  if (accepts.length > 0) return { ...required, accepts };
  const issue = PaymentRequiredV2Schema.safeParse(required).error?.issues[0];
  if (issue?.path[0] !== "accepts" || issue.path.length < 2) return "";
  return `${issue.path.join(".").slice(0, 80)}: expected as in x402 version 2: ${issue.message.slice(0, 120)}`;
}

/** An entry as it would be under a name of this version: version 1's are for who chooses, and who says what was found. */
function withCaip2(entry: unknown): unknown {
  if (typeof entry !== "object" || entry === null || !("network" in entry)) return entry;
  const { network } = entry;
  return typeof network === "string" && !network.includes(":") ? { ...entry, network: "eip155:1" } : entry;
}

/** Is a decoded PAYMENT-RESPONSE one of version 2? */
export function isSettleResponse(value: unknown): value is SettleResponse {
  if (typeof value !== "object" || value === null) return false;
  const { success, transaction, network, errorReason } = value as Record<string, unknown>;
  if (errorReason !== undefined && typeof errorReason !== "string") return false;
  return typeof success === "boolean" && typeof transaction === "string" && typeof network === "string";
}

export function readPaymentResponseHeader(header: string): HeaderRead<SettleResponse> {
  return readHeader(header, PAYMENT_RESPONSE_HEADER, decodePaymentResponseHeader, (value) =>
    isSettleResponse(value) ? value : "",
  );
}

/** True for a version 2 payment payload, as devices send it over the general transport. */
export function isPaymentPayload(value: unknown): value is PaymentPayload {
  return typeof value === "object" && value !== null && isPaymentPayloadV2(value as PaymentPayload);
}

/** True for version 2 payment terms, as the general transport carries them. */
export function isPaymentRequired(value: unknown): value is PaymentRequired {
  return typeof value === "object" && value !== null && isPaymentRequiredV2(value as PaymentRequired);
}

/** The text in a header's base64, of which the official decoder makes the same. */
function textOf(header: string): string {
  return new TextDecoder().decode(Uint8Array.from(atob(header), (letter) => letter.charCodeAt(0)));
}

function readHeader<Value>(
  header: string,
  name: string,
  decode: (header: string) => unknown,
  take: (value: unknown) => Value | string,
): HeaderRead<Value> {
  if (header.length > HEADER_MAX) {
    return {
      value: null,
      error: `${name}: expected at most ${HEADER_MAX} characters, found ${header.length}`,
    };
  }
  try {
    if (!isShallow(textOf(header))) return { value: null, error: `${name}: ${TOO_DEEP}` };
    const taken = take(decode(header));
    if (typeof taken !== "string") return { value: taken, error: null };
    if (taken !== "") return { value: null, error: `${name}: ${taken}` };
  } catch {
    // Not base64, or not JSON: reported below like any other wrong content.
  }
  return {
    value: null,
    error: `${name}: expected base64 of an x402 version 2 object, found "${header.slice(0, 40)}"`,
  };
}
