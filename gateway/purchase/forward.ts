/**
 * The general transport: any x402 resource, any scheme, carried for a device over MQTT.
 *
 * Promise: `PaymentRequired`, `PaymentPayload` and `SettleResponse` pass unchanged; the same id with the
 * same payment gets the same answer and is paid once, with another payment it is a conflict; only hosts
 * on the list are called.
 */

import {
  type PaymentRequiredMessage,
  RESPONSE_BODY_MAX,
  type RequestMessage,
  type ResponseMessage,
  readPayment,
  readRequest,
} from "#protocol/messages";
import { LEAVES } from "#protocol/topics";
import { isPaymentPayload, type PaymentPayload } from "#protocol/x402";
import { idIn } from "./message-id.ts";
import type { Devices } from "./ports.ts";

/** What came back from a resource. */
export type Fetched =
  | { readonly kind: "answer"; readonly status: number; readonly body: string; readonly settlement: unknown }
  | { readonly kind: "payment-required"; readonly paymentRequired: unknown }
  | { readonly kind: "unavailable"; readonly reason: string };

/** One HTTP exchange with a resource, with or without a payment. */
export type FetchResource = (request: RequestMessage, payment: PaymentPayload | null) => Promise<Fetched>;

export interface ForwardParts {
  readonly devices: Devices;
  readonly fetch: FetchResource;
  /** Origins that devices may reach, as "https://api.example.org". */
  readonly origins: readonly string[];
}

export interface Forward {
  receive(device: string, leaf: "request" | "payment", payload: Uint8Array): Promise<void>;
  /** Answers a message unread but for its id, because of whom it comes from or how much is under way. */
  refuse(device: string, payload: Uint8Array, refusal: Unread): void;
}

/** Why a message of the general transport is not looked at. */
export type Unread = "unknown-device" | "overloaded";

const UNREAD: Readonly<Record<Unread, { readonly status: number; readonly error: string }>> = {
  "unknown-device": { status: 403, error: "this gateway does not know the device: say hello first" },
  overloaded: { status: 503, error: "too much is under way: send the same again, later" },
};

export interface OpenForward extends Forward {
  /** Forgets the exchanges of devices that another gateway serves from now on. */
  forget(isTheirs: (device: string) => boolean): void;
}

/** Exchanges remembered per device: the answer to a repeated payment comes from here. */
const EXCHANGES_MAX = 8;

/** And of all devices, whether they left or not: beyond, one that was never paid goes, then the oldest. */
export const EXCHANGES_OF_ALL_MAX = 2_000;

/** Devices looked at for an exchange that was never paid. */
const LOOKS_MAX = 64;

interface Exchange {
  readonly request: RequestMessage;
  /** The payment as JSON text, once one came. */
  payment: string | null;
  answer: Promise<ResponseMessage> | null;
  /** It was presented once without anybody knowing what became of it: then no other may take its place. */
  isUnknown: boolean;
}

export function openForward(parts: ForwardParts): OpenForward {
  const exchanges = new Map<string, Map<string, Exchange>>();
  let remembered = 0;

  async function takeRequest(device: string, text: string): Promise<void> {
    const { message: request, error } = readRequest(text);
    if (request === null) return answer(device, failed(idIn(text), `request: ${error}`));
    if (!parts.origins.includes(originOf(request.url))) {
      const listed = parts.origins.join(", ") || "none";
      return answer(
        device,
        failed(
          request.id,
          `expected a resource of the listed origins (${listed}), found ${request.url.slice(0, 80)}`,
        ),
      );
    }
    if (!remember(device, request)) {
      return answer(device, {
        ...failed(request.id, "conflict: this id named another request"),
        status: 409,
      });
    }
    const fetched = await parts.fetch(request, null);
    if (fetched.kind !== "payment-required") return answer(device, responseOf(request.id, fetched));
    publish(device, "payment-required", {
      v: 1,
      id: request.id,
      paymentRequired: fetched.paymentRequired,
    });
  }

  async function takePayment(device: string, text: string): Promise<void> {
    const { message, error } = readPayment(text);
    if (message === null) return answer(device, failed(idIn(text), `payment: ${error}`));
    const { id, payment } = message;
    const exchange = exchanges.get(device)?.get(id);
    if (!exchange) return answer(device, failed(id, "no request with this id is remembered; send it first"));
    if (!isPaymentPayload(payment)) {
      return answer(device, failed(id, "expected an x402 version 2 PaymentPayload, found something else"));
    }
    const paid = JSON.stringify(payment);
    if (exchange.payment !== null && exchange.payment !== paid) {
      return answer(device, {
        ...failed(id, "conflict: this id was paid with another payment"),
        status: 409,
      });
    }
    exchange.payment = paid;
    exchange.answer ??= pay(exchange, payment);
    return answer(device, await exchange.answer);
  }

  async function pay(exchange: Exchange, payment: PaymentPayload): Promise<ResponseMessage> {
    const fetched = await parts.fetch(exchange.request, payment);
    // Nobody knows whether it was paid, or the settlement failed: the same payment may be presented again.
    if (fetched.kind === "unavailable" || (fetched.kind === "answer" && fetched.status === 402)) {
      exchange.answer = null;
      exchange.isUnknown = true;
    }
    if (fetched.kind !== "payment-required") return responseOf(exchange.request.id, fetched);
    if (!exchange.isUnknown) exchange.payment = null;
    exchange.answer = null;
    return { v: 1, id: exchange.request.id, status: 402, body: JSON.stringify(fetched.paymentRequired) };
  }

  /** Makes room for one exchange: of the devices heard longest ago one that nobody paid for, else the oldest. */
  function forgetOne(): void {
    let looks = 0;
    for (const [device, known] of exchanges) {
      const unpaid = [...known].find(([, { payment }]) => payment === null);
      if (unpaid !== undefined) {
        forget(device, known, unpaid[0]);
        return;
      }
      looks += 1;
      if (looks >= LOOKS_MAX) break;
    }
    const [device, known] = exchanges.entries().next().value!;
    forget(device, known, known.keys().next().value!);
  }

  function forget(device: string, known: Map<string, Exchange>, id: string): void {
    if (known.delete(id)) remembered -= 1;
    if (known.size === 0) exchanges.delete(device);
  }

  /** False when the id was used for another request. */
  function remember(device: string, request: RequestMessage): boolean {
    if (remembered >= EXCHANGES_OF_ALL_MAX && !exchanges.get(device)?.has(request.id)) forgetOne();
    const known = exchanges.get(device) ?? new Map<string, Exchange>();
    // The device heard last is at the end.
    exchanges.delete(device);
    exchanges.set(device, known);
    const before = known.get(request.id);
    if (before !== undefined) return isSameRequest(before.request, request);
    const oldest = known.size >= EXCHANGES_MAX ? known.keys().next().value : undefined;
    if (oldest === undefined) remembered += 1;
    else known.delete(oldest);
    known.set(request.id, { request, payment: null, answer: null, isUnknown: false });
    return true;
  }

  function answer(device: string, response: ResponseMessage): void {
    publish(device, "response", response);
  }

  /** What is too long for its leaf is told, never dropped: the device may have paid for it. */
  function publish(
    device: string,
    leaf: "payment-required" | "response",
    message: ResponseMessage | PaymentRequiredMessage,
  ): void {
    const bytes = new TextEncoder().encode(JSON.stringify(message));
    const bytesMax = LEAVES[leaf].bytesMax;
    if (bytes.length <= bytesMax && !isLongBody(message)) {
      parts.devices.publish(device, leaf, bytes, false);
      return;
    }
    const settlement = "settlement" in message ? { settlement: message.settlement } : {};
    const error = `expected a ${leaf} of at most ${bytesMax} bytes, the resource sent ${bytes.length}`;
    const short = { ...failed(message.id, error), status: 502, ...settlement };
    parts.devices.publish(device, "response", new TextEncoder().encode(JSON.stringify(short)), false);
  }

  return {
    receive(device, leaf, payload) {
      const text = new TextDecoder().decode(payload);
      return leaf === "request" ? takeRequest(device, text) : takePayment(device, text);
    },
    refuse(device, payload, refusal) {
      const { status, error } = UNREAD[refusal];
      answer(device, { ...failed(idIn(new TextDecoder().decode(payload)), error), status });
    },
    forget(isTheirs) {
      for (const [device, known] of [...exchanges].filter(([name]) => isTheirs(name))) {
        remembered -= known.size;
        exchanges.delete(device);
      }
    },
  };
}

function responseOf(id: string, fetched: Exclude<Fetched, { kind: "payment-required" }>): ResponseMessage {
  if (fetched.kind === "unavailable") return { ...failed(id, fetched.reason), status: 504 };
  const { status, body, settlement } = fetched;
  return { v: 1, id, status, body, ...(settlement === null ? {} : { settlement }) };
}

function isSameRequest(left: RequestMessage, right: RequestMessage): boolean {
  return left.method === right.method && left.url === right.url && left.body === right.body;
}

function isLongBody(message: ResponseMessage | PaymentRequiredMessage): boolean {
  return "body" in message && message.body.length > RESPONSE_BODY_MAX;
}

function failed(id: string, error: string): ResponseMessage {
  return { v: 1, id, status: 400, body: "", error: error.slice(0, 256) };
}

function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : "";
}
