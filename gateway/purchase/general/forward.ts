/**
 * The general transport: any x402 resource, any scheme, carried for a device over MQTT.
 *
 * Promise: `PaymentRequired`, `PaymentPayload` and `SettleResponse` pass unchanged; the same id with the
 * same payment gets the same answer and is paid once, with another payment it is a conflict; only hosts
 * on the list are called.
 */

import { OWN } from "#market/own-resources";
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
import type { Devices } from "../ports.ts";
import { idIn } from "./message-id.ts";
import type { OwnDocuments } from "./own-documents.ts";

/** What came back from a resource. */
export type Fetched =
  | { readonly kind: "answer"; readonly status: number; readonly body: string; readonly settlement: unknown }
  | { readonly kind: "payment-required"; readonly paymentRequired: unknown }
  | { readonly kind: "unavailable"; readonly reason: string };

/** One HTTP exchange with a resource, with or without a payment. */
export type FetchResource = (request: RequestMessage, payment: PaymentPayload | null) => Promise<Fetched>;

interface ForwardParts {
  readonly devices: Devices;
  readonly fetch: FetchResource;
  /** Origins that devices may reach, as "https://api.example.org". */
  readonly origins: readonly string[];
  /** Prices ahead, signed terms and receipts; absent: there are none. */
  readonly documents?: Pick<OwnDocuments, "answer">;
}

export interface Forward {
  receive(device: string, leaf: "request" | "payment", payload: Uint8Array): Promise<void>;
  /** Answers a message of which only the id was read, because of its device or of how much is under way. */
  refuse(device: string, payload: Uint8Array, refusal: Unread): void;
}

/** Why a message of the general transport is not looked at. */
type Unread = "unknown-device" | "overloaded";

const UNREAD: Readonly<Record<Unread, { readonly status: number; readonly error: string }>> = {
  "unknown-device": { status: 403, error: "this gateway does not know the device: say hello first" },
  overloaded: { status: 503, error: "too much is under way: send the same again, later" },
};

/** Exchanges remembered per device: the answer to a repeated payment comes from here. */
const EXCHANGES_MAX = 8;

/** And of all devices, whether they left or not: beyond, one that was never paid goes, then the oldest. */
const EXCHANGES_OF_ALL_MAX = 2_000;

/** Devices looked at for an exchange that was never paid. */
const LOOKS_MAX = 64;

interface Exchange {
  readonly request: RequestMessage;
  /** The payment as JSON text, once one came. */
  payment: string | null;
  answer: Promise<ResponseMessage> | null;
  /** It was presented once and the outcome is unknown: then no other may take its place. */
  isUnknown: boolean;
}

export class GeneralTransport implements Forward {
  readonly #parts: ForwardParts;
  readonly #exchanges = new ExchangeTable();

  constructor(parts: ForwardParts) {
    this.#parts = parts;
  }

  receive(device: string, leaf: "request" | "payment", payload: Uint8Array): Promise<void> {
    const text = new TextDecoder().decode(payload);
    return leaf === "request" ? this.#takeRequest(device, text) : this.#takePayment(device, text);
  }

  refuse(device: string, payload: Uint8Array, refusal: Unread): void {
    const { status, error } = UNREAD[refusal];
    this.#answer(device, { ...failed(idIn(new TextDecoder().decode(payload)), error), status });
  }

  /** Forgets the exchanges of devices that another gateway serves from now on. */
  forget(isTheirs: (device: string) => boolean): void {
    this.#exchanges.forgetDevices(isTheirs);
  }

  async #takeRequest(device: string, text: string): Promise<void> {
    const { message: request, error } = readRequest(text);
    if (request === null) return this.#answer(device, failed(idIn(text), `request: ${error}`));
    const { origins, documents } = this.#parts;
    if (documents !== undefined && request.url.startsWith(OWN))
      return this.#answer(device, await documents.answer(device, request));
    if (!origins.includes(originOf(request.url))) {
      const listed = origins.join(", ") || "none";
      const url = request.url.slice(0, 80);
      const reason = `expected a resource of the listed origins (${listed}), found ${url}`;
      return this.#answer(device, failed(request.id, reason));
    }
    if (!this.#exchanges.remember(device, request)) {
      return this.#answer(device, conflict(request.id, "this id named another request"));
    }
    const fetched = await this.#parts.fetch(request, null);
    if (fetched.kind !== "payment-required") return this.#answer(device, responseOf(request.id, fetched));
    const { paymentRequired } = fetched;
    this.#publish(device, "payment-required", { v: 1, id: request.id, paymentRequired });
  }

  async #takePayment(device: string, text: string): Promise<void> {
    const { message, error } = readPayment(text);
    if (message === null) return this.#answer(device, failed(idIn(text), `payment: ${error}`));
    const { id, payment } = message;
    const exchange = this.#exchanges.find(device, id);
    if (!exchange) {
      return this.#answer(device, failed(id, "no request with this id is remembered; send it first"));
    }
    if (!isPaymentPayload(payment)) {
      const reason = "expected an x402 version 2 PaymentPayload, found something else";
      return this.#answer(device, failed(id, reason));
    }
    const paid = JSON.stringify(payment);
    if (exchange.payment !== null && exchange.payment !== paid) {
      return this.#answer(device, conflict(id, "this id was paid with another payment"));
    }
    exchange.payment = paid;
    exchange.answer ??= this.#pay(exchange, payment);
    return this.#answer(device, await exchange.answer);
  }

  async #pay(exchange: Exchange, payment: PaymentPayload): Promise<ResponseMessage> {
    const fetched = await this.#parts.fetch(exchange.request, payment);
    // It is unknown whether it was paid, or the settlement failed: the same payment may be presented again.
    if (fetched.kind === "unavailable" || (fetched.kind === "answer" && fetched.status === 402)) {
      exchange.answer = null;
      exchange.isUnknown = true;
    }
    if (fetched.kind !== "payment-required") return responseOf(exchange.request.id, fetched);
    if (!exchange.isUnknown) exchange.payment = null;
    exchange.answer = null;
    return { v: 1, id: exchange.request.id, status: 402, body: JSON.stringify(fetched.paymentRequired) };
  }

  #answer(device: string, response: ResponseMessage): void {
    this.#publish(device, "response", response);
  }

  /** What is too long for its leaf is answered by its length, never dropped: the device may have paid for it. */
  #publish(
    device: string,
    leaf: "payment-required" | "response",
    message: ResponseMessage | PaymentRequiredMessage,
  ): void {
    const { devices } = this.#parts;
    const bytes = new TextEncoder().encode(JSON.stringify(message));
    const bytesMax = LEAVES[leaf].bytesMax;
    if (bytes.length <= bytesMax && !isLongBody(message)) {
      devices.publish(device, leaf, bytes, false);
      return;
    }
    const settlement = "settlement" in message ? { settlement: message.settlement } : {};
    const error = `expected a ${leaf} of at most ${bytesMax} bytes, the resource sent ${bytes.length}`;
    const short = { ...failed(message.id, error), status: 502, ...settlement };
    devices.publish(device, "response", new TextEncoder().encode(JSON.stringify(short)), false);
  }
}

/** The exchanges that are remembered: of each device the latest, of all devices at most EXCHANGES_OF_ALL_MAX. */
class ExchangeTable {
  /** By device, the one heard last at the end; then by id. */
  readonly #devices = new Map<string, Map<string, Exchange>>();
  #size = 0;

  find(device: string, id: string): Exchange | undefined {
    return this.#devices.get(device)?.get(id);
  }

  /** False when the id was used for another request. */
  remember(device: string, request: RequestMessage): boolean {
    if (this.#size >= EXCHANGES_OF_ALL_MAX && !this.find(device, request.id)) this.#forgetOne();
    const known = this.#devices.get(device) ?? new Map<string, Exchange>();
    this.#devices.delete(device);
    this.#devices.set(device, known);
    const before = known.get(request.id);
    if (before !== undefined) return isSameRequest(before.request, request);
    const oldest = known.size >= EXCHANGES_MAX ? known.keys().next().value : undefined;
    if (oldest === undefined) this.#size += 1;
    else known.delete(oldest);
    known.set(request.id, { request, payment: null, answer: null, isUnknown: false });
    return true;
  }

  forgetDevices(isTheirs: (device: string) => boolean): void {
    for (const [device, known] of [...this.#devices].filter(([name]) => isTheirs(name))) {
      this.#size -= known.size;
      this.#devices.delete(device);
    }
  }

  /** Makes room for one: of the devices heard longest ago one that was never paid, else the oldest. */
  #forgetOne(): void {
    let looks = 0;
    for (const [device, known] of this.#devices) {
      const unpaid = [...known].find(([, { payment }]) => payment === null);
      if (unpaid !== undefined) {
        this.#forget(device, known, unpaid[0]);
        return;
      }
      looks += 1;
      if (looks >= LOOKS_MAX) break;
    }
    const [device, known] = this.#devices.entries().next().value!;
    this.#forget(device, known, known.keys().next().value!);
  }

  #forget(device: string, known: Map<string, Exchange>, id: string): void {
    if (known.delete(id)) this.#size -= 1;
    if (known.size === 0) this.#devices.delete(device);
  }
}

function conflict(id: string, reason: string): ResponseMessage {
  return { ...failed(id, `conflict: ${reason}`), status: 409 };
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
