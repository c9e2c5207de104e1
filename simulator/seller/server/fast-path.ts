// The one request that comes every minute from every device, POST of a resource with a plain voucher, answered on
// node:http before the framework is asked: there it has nothing to route, to validate or to serialise. Whatever
// is not exactly that request, or is not sold by the voucher service, goes to the framework untouched.

import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { PaymentRequirements } from "@x402/core/types";
import { countFailure, detach } from "#core/detach";
import type { SettleResponse } from "../ports.ts";
import { HeaderReader } from "../scheme/header-reader.ts";
import type { VoucherOutcome, VoucherService } from "../scheme/voucher-service.ts";
import type { Terms } from "../terms/terms.ts";
import { CROSS_ORIGIN_HEADERS } from "./http-manners.ts";

interface FastPathParts {
  readonly voucherService: VoucherService;
  readonly terms: Terms;
  /** Whether payments are still taken. */
  readonly isOpen: () => boolean;
  readonly log: (line: string) => void;
}

/** Of what went wrong with a payment, characters in the log. */
const FAILURE_MAX = 200;

/** A listener that answers paid requests and leaves all others to `framework`. */
export function fastPath(parts: FastPathParts, framework: RequestListener): RequestListener {
  const offersByUrl = new Map<string, readonly PaymentRequirements[]>();
  const { terms } = parts;
  for (const { path, data } of terms.goods.resources) {
    // What brings more than counters is the framework's.
    if (data !== undefined) continue;
    for (const quantum of terms.menu)
      offersByUrl.set(`${path}?quantum=${quantum}`, terms.offers(quantum) ?? []);
  }
  const reader = new HeaderReader();
  const selling = (request: IncomingMessage): Promise<VoucherOutcome | undefined> | undefined => {
    const { method, headers } = request;
    const payment = headers["payment-signature"];
    if (method !== "POST" || typeof payment !== "string" || hasBody(request) || !parts.isOpen())
      return undefined;
    const offers = offersByUrl.get(request.url ?? "");
    const voucher = offers === undefined ? undefined : reader.read(payment);
    return voucher === undefined ? undefined : parts.voucherService.sell(voucher, offers!);
  };
  /** Whether it was charged is unknown here: the client presents it again, and what was sold is answered then. */
  const failed = (response: ServerResponse, error: unknown) => {
    parts.log(`a payment could not be answered: ${String(error).slice(0, FAILURE_MAX)}`);
    if (response.headersSent) response.destroy();
    else response.writeHead(503, { "retry-after": "1" }).end('{"error":"the payment could not be answered"}');
  };
  return (request, response) => {
    try {
      const sale = selling(request);
      if (sale === undefined) {
        framework(request, response);
        return;
      }
      const answered = sale.then((outcome) => {
        if (outcome?.kind === "sold") answer(request, response, outcome);
        else framework(request, response);
      });
      detach(answered, (error) => failed(response, error));
    } catch (error) {
      countFailure();
      failed(response, error);
    }
  };
}

/** "true" on the answer to a payment that was sold to an earlier request: nothing was charged or granted again. */
export const REPETITION_HEADER = "Idempotent-Replayed";

/** A receipt as the value of PAYMENT-RESPONSE. */
export function receiptHeader(receipt: SettleResponse): string {
  return Buffer.from(JSON.stringify(receipt)).toString("base64");
}

function answer(
  { headers: { origin } }: IncomingMessage,
  response: ServerResponse,
  { stored, isRepetition }: Extract<VoucherOutcome, { kind: "sold" }>,
): void {
  const { answer: sold, receipt } = stored;
  const body = JSON.stringify(sold);
  const headers = [
    "content-type",
    "application/json; charset=utf-8",
    "content-length",
    String(Buffer.byteLength(body)),
    "cache-control",
    "private",
    "PAYMENT-RESPONSE",
    receiptHeader(receipt),
  ];
  if (isRepetition) headers.push(REPETITION_HEADER, "true");
  if (origin !== undefined) headers.push(...Object.entries(CROSS_ORIGIN_HEADERS).flat());
  response.writeHead(200, headers);
  response.end(body);
}

/** A body would have to be read and thrown away: that is the framework's. */
function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers["content-length"];
  return headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0");
}
