/**
 * What a gateway answers by itself over the general transport: prices ahead, terms that sellers have signed, and receipts of
 * use, which a device asks for and countersigns.
 *
 * Promise: a receipt is stored as countersigned only under the signature of the device whose channel it is of, and only where it is
 * one that the seller has signed and this gateway has stored; nothing of it touches a payment.
 */
import { type ReceiptSource, receiptDocument, type StoredDocument, termsDocument } from "#market/documents";
import { PRICES_URL, RECEIPT_URL, TERMS_URL } from "#market/own-resources";
import { cutTo, type PriceSeries } from "#market/price-series";
import { readSignedReceipt, receiptSigner } from "#market/usage-receipt";
import type { RequestMessage, ResponseMessage } from "#protocol/messages";
import { parseJson } from "#protocol/nesting";
import { counter, object } from "#protocol/shape";
import type { ChannelRecord, Read } from "../ports.ts";

const TERMS_HASH = /^0x[0-9a-f]{64}$/;
/** 23 characters a step fit a response. */
const PRICE_STEPS_MAX = 2_000;

interface OwnDocumentsParts {
  readonly ledger: {
    document(kind: StoredDocument["kind"], name: string): Read<string | null>;
    saveDocument(document: StoredDocument): Promise<void>;
  };
  /** That the device buys on; null before its first offer. */
  readonly channelOf: (device: string) => ChannelRecord | null;
  readonly sourceOf: (seller: string) => ReceiptSource | null;
  /** What is known ahead of the prices at the device's seller; null where nothing is. */
  readonly pricesFor: (device: string) => { readonly series: PriceSeries } | null;
}

const ASKED = object({ register: counter });

export class OwnDocuments {
  readonly #parts: OwnDocumentsParts;

  constructor(parts: OwnDocumentsParts) {
    this.#parts = parts;
  }

  /** @param device 40 lower-case hex digits */
  async answer(device: string, { id, method, url, body }: RequestMessage): Promise<ResponseMessage> {
    const hash = url.startsWith(TERMS_URL) ? url.slice(TERMS_URL.length) : "";
    if (url === PRICES_URL && method === "GET") return this.#prices(id, device);
    if (TERMS_HASH.test(hash) && method === "GET") return this.#terms(id, hash);
    if (url === RECEIPT_URL && method === "POST") return this.#askReceipt(id, device, jsonIn(body));
    if (url === RECEIPT_URL && method === "PUT") return this.#takeReceipt(id, device, jsonIn(body));
    const expected = `GET ${PRICES_URL} or ${TERMS_URL}<hash>, POST or PUT ${RECEIPT_URL}`;
    return failed(id, 404, `expected ${expected}, found ${method} ${url.slice(0, 80)}`);
  }

  #prices(id: string, device: string): ResponseMessage {
    const known = this.#parts.pricesFor(device);
    if (known === null) return failed(id, 404, "the seller publishes no prices ahead, or none is known yet");
    return found(id, JSON.stringify(cutTo(PRICE_STEPS_MAX, known.series)));
  }

  async #terms(id: string, hash: string): Promise<ResponseMessage> {
    const text = await this.#parts.ledger.document("terms", hash);
    return text === null ? failed(id, 404, "these terms are not known here") : found(id, text);
  }

  async #askReceipt(id: string, device: string, asked: unknown): Promise<ResponseMessage> {
    const { ledger, channelOf, sourceOf } = this.#parts;
    const error = ASKED(asked, "body");
    if (error !== null)
      return failed(id, 400, `expected a register, in units of the device's meter: ${error}`);
    const { register } = asked as { readonly register: number };
    const channel = channelOf(device);
    const source = channel === null ? null : sourceOf(channel.seller);
    if (channel?.config == null || source === null)
      return failed(id, 404, "expected a channel with a seller that signs receipts, found none");
    const answer = await source.receipt(channel.id, channel.requirements.payTo, register);
    if (answer.kind === "none") return failed(id, 502, answer.reason);
    if (answer.offered !== null) await ledger.saveDocument(termsDocument(answer.offered));
    await ledger.saveDocument(receiptDocument(answer.signed));
    return found(id, JSON.stringify(answer.signed));
  }

  async #takeReceipt(id: string, device: string, shown: unknown): Promise<ResponseMessage> {
    const { ledger } = this.#parts;
    const signed = readSignedReceipt(shown);
    if (
      signed === null ||
      signed.device === null ||
      receiptSigner(signed.receipt, signed.device) !== `0x${device}`
    )
      return failed(id, 400, "expected a receipt of use under this device's signature");
    const document = receiptDocument(signed);
    const known = await ledger.document("receipt", document.name);
    const stored = known === null ? null : readSignedReceipt(jsonIn(known));
    // The name has its counters; the register and the terms are in what the seller has signed.
    if (stored === null || stored.seller !== signed.seller)
      return failed(id, 409, "expected a receipt that its seller has signed here, found another");
    if (stored.device === null) await ledger.saveDocument(document);
    return found(id, "{}");
  }
}

function found(id: string, body: string): ResponseMessage {
  return { v: 1, id, status: 200, body };
}

function failed(id: string, status: number, error: string): ResponseMessage {
  return { v: 1, id, status, body: "", error: error.slice(0, 256) };
}

function jsonIn(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : parseJson(text);
  } catch {
    return undefined;
  }
}
