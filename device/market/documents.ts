/**
 * Documents of a sale in a file: terms with their offers, receipts of use, configurations of channels.
 *
 * Promise: a file is read whole or refused with the place of what is wrong; several files are one evidence, and a document
 * that stands in two of them counts once.
 */
import { z } from "zod";
import { at, Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import type { Evidence, OfferedTerms } from "./judge.ts";
import { contradictionIn, readSignedOffer, type SignedOffer } from "./signed-offer.ts";
import { readTerms, type Terms, termsHash } from "./terms-of-sale.ts";
import { readSignedReceipt, type SignedReceipt } from "./usage-receipt.ts";

/** Of a file, characters: a year of one device's hourly receipts is 7 MB. */
export const DOCUMENTS_CHARACTERS_MAX = 64 * 1024 * 1024;

const address = z.string().regex(/^0x[0-9a-fA-F]{40}$/);
const CHANNEL = z.strictObject({
  payer: address,
  payerAuthorizer: address,
  receiver: address,
  receiverAuthorizer: address,
  token: address,
  withdrawDelay: z.int().min(0),
  salt: z.string().regex(/^0x[0-9a-fA-F]{64}$/),
});

const FILE = z.strictObject({
  terms: z.array(z.strictObject({ terms: z.unknown(), offer: z.unknown() })).default([]),
  receipts: z.array(z.unknown()).default([]),
  channels: z.array(CHANNEL).default([]),
});

/** What a seller has signed, as it is kept: under a name that only its content can have. */
export interface StoredDocument {
  readonly kind: "terms" | "receipt";
  readonly name: string;
  /** Empty for terms. */
  readonly channelId: string;
  /** Of a receipt what was charged by then, atomic units; 0 for terms. */
  readonly charged: number;
  /** A receipt that its device has signed, too: it takes the place of the same one without. */
  readonly isCountersigned: boolean;
  /** JSON. */
  readonly text: string;
}

/** An offer that contradicts its terms is kept beside one that does not: it is what convicts. */
export function termsDocument(offered: OfferedTerms): StoredDocument {
  const { offer, terms } = offered;
  const hash = termsHash(terms);
  const name = contradictionIn(offer, terms) === null ? hash : `${hash} ${offer.payload.amount}`;
  const text = JSON.stringify(offered);
  return { kind: "terms", name, channelId: "", charged: 0, isCountersigned: false, text };
}

export function receiptDocument(signed: SignedReceipt): StoredDocument {
  const { channelId, charged, granted, toSeconds } = signed.receipt;
  const name = `${channelId} ${toSeconds} ${charged} ${granted}`;
  const isCountersigned = signed.device !== null;
  return { kind: "receipt", name, channelId, charged, isCountersigned, text: JSON.stringify(signed) };
}

/** Who signs receipts of use. */
export interface ReceiptSource {
  /**
   * What was sold on a channel until now, under the seller's signature, which is checked; `offered` are its terms, or null
   * and why.
   * @param register of the device's meter, units
   */
  receipt(
    channelId: string,
    payTo: string,
    register: number,
  ): Promise<
    | { readonly kind: "none"; readonly reason: string }
    | {
        readonly kind: "signed";
        readonly signed: SignedReceipt;
        readonly offered: OfferedTerms | null;
        readonly reason: string;
      }
  >;
}

/** A channel whose seller owes a receipt of use. */
export interface ReceiptDue {
  readonly channelId: string;
  readonly device: string;
  /** By the name that its buyer has for it. */
  readonly seller: string;
  readonly payTo: string;
  /** The highest that a payment on it stated, units. */
  readonly register: number;
}

export type Documents = Pick<Evidence, "offered" | "receipts" | "channels">;

/** What is written to a file, and read back by `readDocuments`. */
export function documentsText({ offered, receipts, channels }: Documents): string {
  return `${JSON.stringify({ terms: offered, receipts, channels }, null, 1)}\n`;
}

/** @param name of the file, for the error; throws one line with code file-invalid */
export function readDocuments(text: string, name: string): Documents {
  const read = FILE.safeParse(jsonIn(text, name));
  if (!read.success) {
    const { path, message } = read.error.issues[0]!;
    throw invalid(`${name}: ${path.join(".").slice(0, 80) || "the file"}: ${message.slice(0, 200)}`);
  }
  const { terms, receipts, channels } = read.data;
  return {
    offered: terms.map((one, index) => offeredIn(one, `${name}: terms.${index}`)),
    receipts: receipts.map((one, index) => {
      const receipt = readSignedReceipt(one);
      if (receipt !== null) return receipt;
      throw invalid(`${name}: receipts.${index}: expected receipt, seller and device, found something else`);
    }),
    channels,
  };
}

/** One evidence of several files. */
export function joinDocuments(files: readonly Documents[]): Documents {
  return {
    offered: unlike<OfferedTerms>(files.flatMap(({ offered }) => offered)),
    receipts: unlike<SignedReceipt>(files.flatMap(({ receipts }) => receipts)),
    channels: unlike(files.flatMap(({ channels }) => channels)),
  };
}

function offeredIn({ terms: document, offer: signed }: { terms?: unknown; offer?: unknown }, where: string) {
  const { terms, reason } = readTerms(document);
  const offer: SignedOffer | null = readSignedOffer(signed);
  if (terms === null) throw invalid(`${where}: ${reason}`);
  if (offer === null) throw invalid(`${where}: expected an offer signed by EIP-712, found something else`);
  return { terms: terms satisfies Terms, offer };
}

function unlike<Item>(items: readonly Item[]): Item[] {
  return [...new Map(items.map((item) => [JSON.stringify(item), item])).values()];
}

function jsonIn(text: string, name: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw at(name, error, "file-invalid");
  }
}

function invalid(message: string): Watt402Error {
  return new Watt402Error("file-invalid", message);
}
