/**
 * The extensions that a seller's 402 declares, echoed with the payment (x402 version 2, "Extensions"), without the
 * offers that it has signed: x402 asks for none of them back, and they would be the most of a payment's header.
 *
 * Promise: the echo is what the seller declared last for that resource, unchanged. Where it declares a
 * payment-identifier, the identifier is derived from what was signed: a payment that is presented again has the same
 * one, and no two payments share one.
 */
import { createHash } from "node:crypto";
import type { PaymentPayload, PaymentRequired } from "#protocol/x402";
import { ownPaymentHeader, paymentHeader } from "./payment-header.ts";
import type { Answer, Http } from "./seller-http.ts";

type Extensions = NonNullable<PaymentRequired["extensions"]>;

/** Longest echo, characters of JSON: beside a payment it has to fit into a header of 16 KiB in base64. */
const ECHO_MAX = 6_000;
/** Resources of one seller whose extensions are remembered: more than its menu holds. */
const RESOURCES_MAX = 256;
const IDENTIFIER = "payment-identifier";
const OFFERS = "offer-receipt";

export class ExtensionEcho {
  /** By URL; in JSON too, to be compared. */
  readonly #declared = new Map<string, { readonly text: string; readonly value: Extensions }>();

  /** Takes what a 402 declares. @returns whether that is something else than before */
  heard(url: string, required: PaymentRequired): boolean {
    const extensions = echoed(required);
    const text = textOf(extensions);
    const before = this.#declared.get(url)?.text ?? "";
    if (text === before) return false;
    if (this.#declared.size >= RESOURCES_MAX) this.#declared.clear();
    if (text === "" || text.length > ECHO_MAX) this.#declared.delete(url);
    else this.#declared.set(url, { text, value: extensions! });
    return text.length <= ECHO_MAX;
  }

  /**
   * PAYMENT-SIGNATURE for a payment, with the echo beside it.
   * @param charged cumulative, atomic units: what the payment was signed on
   */
  header(url: string, payment: PaymentPayload, charged: number): string {
    const declared = this.#declared.get(url);
    if (declared === undefined) {
      return payment.extensions === undefined ? ownPaymentHeader(payment) : paymentHeader(payment);
    }
    const extensions = { ...declared.value };
    // What the payment brings of its own stands beside what was declared, and changes nothing of it.
    for (const [name, own] of Object.entries(payment.extensions ?? {})) {
      const asked = extensions[name];
      const info = isObject(asked) && isObject(asked.info) ? asked.info : {};
      const added = isObject(own) && isObject(own.info) ? own.info : {};
      extensions[name] = { ...(isObject(asked) ? asked : {}), info: { ...added, ...info } };
    }
    const asked = extensions[IDENTIFIER];
    if (isObject(asked) && isObject(asked.info) && !("id" in asked.info)) {
      extensions[IDENTIFIER] = { ...asked, info: { ...asked.info, id: identifierOf(payment, charged) } };
    }
    return paymentHeader({ ...payment, extensions });
  }
}

/**
 * Presents a payment; once more when the seller answers that it now declares other extensions.
 * @param charged cumulative, atomic units: what the payment was signed on
 */
export async function presentPayment(
  http: Http,
  echo: ExtensionEcho,
  resource: { readonly method: "GET" | "POST"; readonly url: string },
  payment: PaymentPayload,
  charged: number,
): Promise<Answer> {
  const { method, url } = resource;
  const answer = await http.call(method, url, echo.header(url, payment, charged));
  if (answer.kind !== "payment-required" || !echo.heard(url, answer.required)) return answer;
  return http.call(method, url, echo.header(url, payment, charged));
}

/** Why a seller's extensions cannot be echoed; empty when they can. */
export function echoTrouble(required: PaymentRequired): string {
  const { length } = textOf(echoed(required));
  return length > ECHO_MAX ? `expected extensions of at most ${ECHO_MAX} characters, found ${length}` : "";
}

function echoed({ extensions }: PaymentRequired): Extensions | undefined {
  if (extensions === undefined || !(OFFERS in extensions)) return extensions;
  const { [OFFERS]: _offers, ...others } = extensions;
  return others;
}

function textOf(extensions: Extensions | undefined): string {
  return extensions === undefined || Object.keys(extensions).length === 0 ? "" : JSON.stringify(extensions);
}

/** 64 hex digits: of the whole channel, its cumulative amount and what it was signed on; by exact of the nonce. */
function identifierOf({ payload }: PaymentPayload, charged: number): string {
  const { voucher, authorization = payload.permit2Authorization } = payload;
  const signed = isObject(voucher)
    ? `${voucher.channelId}:${voucher.maxClaimableAmount}:${charged}`
    : String(isObject(authorization) ? authorization.nonce : "");
  return createHash("sha256").update(signed).digest("hex");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
