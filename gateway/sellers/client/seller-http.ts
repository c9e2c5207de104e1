/**
 * HTTP towards one seller: keep-alive, bounded in connections, time and size, to the named origins alone;
 * redirects are answers, not orders.
 *
 * Promise: a call resolves with an answer of at most 64 KiB or with a reason; it never throws for what
 * the other side or the network does; no name leads it to a private address, unless the operator says so.
 */

import { rootCertificates } from "node:tls";
import { Agent } from "undici";
import { parseJson } from "#protocol/nesting";
import {
  HEADER_MAX,
  isSettleResponse,
  PAYMENT_REQUIRED_HEADER,
  PAYMENT_RESPONSE_HEADER,
  PAYMENT_SIGNATURE_HEADER,
  type PaymentPayload,
  type PaymentRequired,
  readPaymentRequiredHeader,
  readPaymentResponseHeader,
  type SettleResponse,
} from "#protocol/x402";
import { Deadlines, type Reply, sendRequest } from "./http-request.ts";
import { paymentHeader } from "./payment-header.ts";
import { publicLookup } from "./public-address.ts";

export type Answer =
  | {
      readonly kind: "paid";
      readonly status: number;
      /** Content type, as the seller names it. */
      readonly type?: string;
      readonly body: string;
      readonly receipt: SettleResponse | null;
    }
  | { readonly kind: "payment-required"; readonly required: PaymentRequired; readonly error: string }
  /** `receipt`: the SettleResponse of a settlement that failed, when there is one. */
  | {
      readonly kind: "refused";
      readonly status: number;
      readonly body: string;
      readonly receipt: SettleResponse | null;
    }
  /** `isUnknown`: a payment may have reached the seller, and its answer does not say what became of it. */
  | { readonly kind: "unavailable"; readonly reason: string; readonly isUnknown?: true };

export interface HttpOptions {
  readonly connections: number;
  /** Whole request, milliseconds: a deposit waits for a block. */
  readonly timeoutMs: number;
  /** Where calls may go, as "https://api.example.org". */
  readonly origins: readonly string[];
  /** Their names may lead to private addresses. */
  readonly allowPrivate: boolean;
  /** PEM, beside the usual certificate authorities; null: these alone. */
  readonly authorities: string | null;
}

export interface Http {
  /** @param payment a payload, or the header it makes */
  call(
    method: "GET" | "POST" | "PUT" | "DELETE",
    url: string,
    payment: PaymentPayload | string | null,
    body?: string,
  ): Promise<Answer>;
  close(): Promise<void>;
}

const BODY_MAX_BYTES = 65_536;
/** A seller's own words in a reason, characters. */
const REASON_MAX = 200;
const HEADERS_MAX_BYTES = 32_768;
const CONNECT_TIMEOUT_MS = 5_000;
/** Between two pieces of a body; all of them are within `timeoutMs`. */
const BODY_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_MS = 30_000;

export function openHttp(options: HttpOptions): Http {
  const ca = options.authorities === null ? {} : { ca: [...rootCertificates, options.authorities] };
  const agent = new Agent({
    connections: options.connections,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    headersTimeout: options.timeoutMs,
    bodyTimeout: BODY_TIMEOUT_MS,
    maxHeaderSize: HEADERS_MAX_BYTES,
    maxResponseSize: BODY_MAX_BYTES,
    connect: {
      timeout: CONNECT_TIMEOUT_MS,
      ...(options.allowPrivate ? {} : { lookup: publicLookup() }),
      ...ca,
    },
  });
  const origins = new Set(options.origins.map((origin) => new URL(origin).origin));
  const deadlines = new Deadlines(options.timeoutMs);
  return {
    async call(method, url, payment, body) {
      const { origin, pathname, search } = new URL(url);
      if (!origins.has(origin)) {
        const reason = `${method} ${url}: expected a resource of ${[...origins].join(" or ")}, found one of ${origin}`;
        return { kind: "unavailable", reason };
      }
      const headers = ["accept", "application/json"];
      if (payment !== null) {
        headers.push(
          PAYMENT_SIGNATURE_HEADER,
          typeof payment === "string" ? payment : paymentHeader(payment),
        );
      }
      if (body !== undefined) headers.push("content-type", "application/json");
      const path = pathname + search;
      try {
        const request = { origin, path, method, headers, body: body ?? null };
        const reply = await sendRequest(agent, request, deadlines);
        return answerIn(reply.status, reply.headers, reply.body, payment !== null);
      } catch (error) {
        const unavailable = { kind: "unavailable", reason: `${method} ${url}: ${reasonOf(error)}` } as const;
        const isSent = payment !== null && !NOT_SENT.has(codeOf(error));
        return isSent ? { ...unavailable, isUnknown: true } : unavailable;
      }
    },
    close: () => agent.close(),
  };
}

function answerIn(status: number, headers: Reply["headers"], body: string, carriedPayment: boolean): Answer {
  const isGood = status >= 200 && status < 300;
  if (!isGood && receiptIn(headers).value?.success === true) {
    // Money moved and nothing was given for it, or it will be at the next attempt: this answer decides nothing.
    return undecided(`HTTP ${status} with a PAYMENT-RESPONSE of success`);
  }
  if (isPending(receiptIn(headers).value)) return undecided(`HTTP ${status} ${PENDING}`);
  if (status === 402) {
    const header = headers[PAYMENT_REQUIRED_HEADER];
    if (typeof header !== "string")
      return { kind: "refused", status, body, receipt: receiptIn(headers).value };
    const { value, error } = readPaymentRequiredHeader(header);
    if (value === null) return { kind: "unavailable", reason: error };
    if (carriedPayment && isPendingText(value.error)) return undecided(`HTTP ${status} ${PENDING}`);
    return { kind: "payment-required", required: value, error: (value.error ?? "").slice(0, REASON_MAX) };
  }
  if (isGood) {
    const { value, error } = receiptIn(headers);
    if (error !== null) return carriedPayment ? undecided(error) : { kind: "unavailable", reason: error };
    if (value?.success === false) {
      const reason = `HTTP ${status} with a PAYMENT-RESPONSE of failure: ${(value.errorReason ?? "no reason").slice(0, REASON_MAX)}`;
      return undecided(reason);
    }
    return { kind: "paid", status, type: String(headers["content-type"] ?? "none"), body, receipt: value };
  }
  if (status >= 500 || status === 429 || status === 408) {
    const reason = `HTTP ${status}${carriedPayment ? " to a payment" : ""}: ${body.slice(0, REASON_MAX)}`;
    return carriedPayment && !NOT_HANDLED.has(status) ? undecided(reason) : { kind: "unavailable", reason };
  }
  return { kind: "refused", status, body, receipt: null };
}

/** x402's word for a settlement that was sent to the chain and is not mined yet. */
const PENDING = "settlement_pending";

function isPending(receipt: SettleResponse | null): boolean {
  return receipt?.success === false && isPendingText(receipt.errorReason);
}

function isPendingText(text: string | undefined): boolean {
  return text?.includes(PENDING) === true;
}

/** Refused before anything was done with it. */
const NOT_HANDLED = new Set([429, 503]);

/** Errors by which no request left: whatever else ends an exchange may have come after the payment did. */
const NOT_SENT: ReadonlySet<string> = new Set([
  ...["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "UND_ERR_CONNECT_TIMEOUT"],
  ...["CERT_HAS_EXPIRED", "DEPTH_ZERO_SELF_SIGNED_CERT", "SELF_SIGNED_CERT_IN_CHAIN"],
  ...["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "ERR_TLS_CERT_ALTNAME_INVALID"],
]);

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code ?? "");
}

function undecided(reason: string): Answer {
  return { kind: "unavailable", reason, isUnknown: true };
}

function receiptIn(
  headers: Reply["headers"],
): { readonly value: SettleResponse | null; readonly error: null } | { value: null; error: string } {
  const header = headers[PAYMENT_RESPONSE_HEADER];
  if (typeof header !== "string") return { value: null, error: null };
  const value = header.length <= HEADER_MAX && BASE64.test(header) ? decoded(header) : null;
  // Whatever is wrong with it, the official decoder's reader says it.
  return isSettleResponse(value) ? { value, error: null } : readPaymentResponseHeader(header);
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

function decoded(header: string): unknown {
  try {
    return parseJson(Buffer.from(header, "base64").toString());
  } catch {
    return null;
  }
}

/** Redirected, not found, or not authorized: the configured URL is not the seller's. */
const ELSEWHERE = new Set([300, 301, 302, 303, 304, 307, 308, 401, 403, 404, 405, 410]);

/** Does the answer come from another than the seller that the configuration means? */
export function isElsewhere({ status }: Extract<Answer, { kind: "refused" }>): boolean {
  return ELSEWHERE.has(status);
}

/** Why a seller refused, in its own words. */
export function refusalIn(answer: Extract<Answer, { kind: "refused" }>): string {
  const reason = (answer.receipt?.errorReason ?? answer.body).slice(0, REASON_MAX);
  return `HTTP ${answer.status} ${reason}`;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as { code?: string }).code;
  return code && !error.message.includes(code) ? `${code} ${error.message}` : error.message;
}
