/**
 * HTTP towards sellers: keep-alive, bounded in connections, time and size; redirects are answers, not orders.
 *
 * Promise: a call resolves with an answer of at most 64 KiB or with a reason; it never throws for what
 * the other side or the network does.
 */
import { Agent, request } from "undici";
import {
  encodePaymentHeader,
  PAYMENT_REQUIRED_HEADER,
  PAYMENT_RESPONSE_HEADER,
  PAYMENT_SIGNATURE_HEADER,
  type PaymentPayload,
  type PaymentRequired,
  readPaymentRequiredHeader,
  readPaymentResponseHeader,
  type SettleResponse,
} from "#protocol/x402";

export type Answer =
  | {
      readonly kind: "paid";
      readonly status: number;
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
  | { readonly kind: "unavailable"; readonly reason: string };

export interface HttpLimits {
  readonly connections: number;
  /** Whole exchange, milliseconds: a deposit waits for a block. */
  readonly timeoutMs: number;
}

export interface Http {
  call(
    method: "GET" | "POST" | "PUT" | "DELETE",
    url: string,
    payment: PaymentPayload | null,
    body?: string,
  ): Promise<Answer>;
  close(): Promise<void>;
}

const BODY_MAX_BYTES = 65_536;
const CONNECT_TIMEOUT_MS = 5_000;

export function openHttp(limits: HttpLimits): Http {
  const agent = new Agent({
    connections: limits.connections,
    pipelining: 1,
    keepAliveTimeout: 30_000,
    connectTimeout: CONNECT_TIMEOUT_MS,
    maxHeaderSize: 32_768,
    maxResponseSize: BODY_MAX_BYTES,
  });
  return {
    async call(method, url, payment, body) {
      const headers: Record<string, string> = { accept: "application/json" };
      if (payment !== null) headers[PAYMENT_SIGNATURE_HEADER] = encodePaymentHeader(payment);
      if (body !== undefined) headers["content-type"] = "application/json";
      try {
        const response = await request(url, {
          dispatcher: agent,
          method,
          headers,
          body: body ?? null,
          signal: AbortSignal.timeout(limits.timeoutMs),
        });
        return judge(response.statusCode, response.headers, await response.body.text(), payment !== null);
      } catch (error) {
        return { kind: "unavailable", reason: `${method} ${url}: ${reasonOf(error)}` };
      }
    },
    close: () => agent.close(),
  };
}

function judge(
  status: number,
  headers: Record<string, string | string[] | undefined>,
  body: string,
  carriedPayment: boolean,
): Answer {
  if (status === 402) {
    const header = headers[PAYMENT_REQUIRED_HEADER];
    if (typeof header !== "string")
      return { kind: "refused", status, body, receipt: receiptIn(headers).value };
    const { value, error } = readPaymentRequiredHeader(header);
    if (value === null) return { kind: "unavailable", reason: error };
    return { kind: "payment-required", required: value, error: value.error ?? "" };
  }
  if (status >= 200 && status < 300) {
    const { value, error } = receiptIn(headers);
    if (error !== null) return { kind: "unavailable", reason: error };
    return { kind: "paid", status, body, receipt: value };
  }
  if (status >= 500 || status === 429 || status === 408) {
    return {
      kind: "unavailable",
      reason: `HTTP ${status}${carriedPayment ? " to a payment" : ""}: ${body.slice(0, 200)}`,
    };
  }
  return { kind: "refused", status, body, receipt: null };
}

function receiptIn(
  headers: Record<string, string | string[] | undefined>,
): { readonly value: SettleResponse | null; readonly error: null } | { value: null; error: string } {
  const header = headers[PAYMENT_RESPONSE_HEADER];
  return typeof header === "string" ? readPaymentResponseHeader(header) : { value: null, error: null };
}

/** Why a seller refused, in its own words. */
export function refusalIn(answer: Extract<Answer, { kind: "refused" }>): string {
  const reason = answer.receipt?.errorReason ?? answer.body.slice(0, 120);
  return `HTTP ${answer.status} ${reason}`;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as { code?: string }).code;
  return code && !error.message.includes(code) ? `${code} ${error.message}` : error.message;
}
