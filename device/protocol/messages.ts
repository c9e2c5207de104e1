/**
 * The JSON messages between device and gateway, and their strict decoding.
 *
 * Promise: a decoded message has version 1, the members below and no other, within their bounds.
 * Every message but the general transport's and the last will is sealed (tag.ts).
 */
import type { Refusal } from "../core/refusal.ts";
import { isShallow, TOO_DEEP } from "./nesting.ts";
import {
  anything,
  type Check,
  counter,
  decimal,
  flag,
  hex,
  integer,
  members,
  object,
  oneOf,
  orNull,
  readJson,
  text,
} from "./shape.ts";

const VERSION = integer(1, 1);

/** Enrolment, on every connect. */
export interface Hello {
  readonly v: 1;
  /** Compressed secp256k1 key, 0x and 66 hex digits; its address is the device's name. */
  readonly publicKey: string;
  readonly model: string;
  readonly firmware: string;
  readonly meter: string;
  readonly unit: string;
  /** What one purchase should last for: the gateway picks the quantum nearest to it. */
  readonly wantedUnits: number;
  readonly register: number;
  /** CAIP-19 names of the tokens that its policy allows, a space between two; absent: it does not say. */
  readonly pays?: string;
  /** The one seller that it buys from now, 0x and 40 hex digits: whose region it is in. Absent: from any. */
  readonly payee?: string;
}

/** x402 PaymentRequirements as the seller sent them. */
export interface OfferedRequirements {
  readonly scheme: string;
  readonly network: string;
  readonly amount: string;
  readonly asset: string;
  readonly payTo: string;
  readonly maxTimeoutSeconds: number;
  readonly extra: Readonly<Record<string, unknown>>;
}

/** What the chain lacks before Permit2 can move a device's tokens: a payment brings it. */
export interface AskedApproval {
  /** As x402's gas sponsorings have it: a permit of the token, or a transaction of the device's. */
  readonly kind: "eip2612" | "erc20";
  readonly nonce: number;
  /** Of a transaction, wei. */
  readonly maxFeePerGas?: number;
  readonly maxPriorityFeePerGas?: number;
}

/** x402 batch-settlement ChannelConfig. */
export interface ChannelConfig {
  readonly payer: string;
  readonly payerAuthorizer: string;
  readonly receiver: string;
  readonly receiverAuthorizer: string;
  readonly token: string;
  readonly withdrawDelay: number;
  readonly salt: string;
}

export interface OfferMessage {
  readonly v: 1;
  readonly revision: number;
  readonly resource: string;
  readonly requirements: OfferedRequirements;
  /** Null for exact and upto: there is no channel but the device's own wallet. */
  readonly channel: ChannelConfig | null;
  readonly unit: string;
  readonly pricePerMillionUnits: number;
  readonly validUntilSeconds: number;
  readonly balance: number;
  readonly charged: number;
  readonly granted: number;
  /** The seller charges at most what was signed, and mostly less; whole quanta when missing. */
  readonly metered?: boolean;
  /** Of exact and upto: which of the device's accounts with this seller it is; the first, 0, when missing. */
  readonly epoch?: number;
  /** By Permit2: missing where the device has approved it. */
  readonly approval?: AskedApproval;
}

export interface StateMessage {
  readonly v: 1;
  readonly status: "online" | "lost";
  readonly register: number;
  readonly credit: number;
  readonly powerMilliwatts: number;
  readonly levelPercent: number;
  readonly wantedPercent: number;
  readonly starved: boolean;
  readonly refusal: Refusal | null;
  readonly channelId: string | null;
  readonly charged: number;
  readonly maxClaimable: number;
  readonly granted: number;
  readonly epoch: number;
  /** What is wrong with one of the device's parts, and the remedy, in one line of plain characters. */
  readonly trouble?: string;
  /** Of a device that signs ahead: rungs in store. */
  readonly ladderRungs?: number;
  /** Of the same: minutes of full light that these buy at the present price. */
  readonly ladderMinutes?: number;
}

/** Longest `trouble`, characters: with the rest of the state it fits the leaf. */
export const TROUBLE_MAX = 320;

/** The last will: all that can be said in advance. */
export interface LostMessage {
  readonly v: 1;
  readonly status: "lost";
}

export interface ReadingMessage {
  readonly v: 1;
  readonly register: number;
  readonly powerMilliwatts: number;
  /** Unix seconds; 0 while the device does not trust its clock. */
  readonly atSeconds: number;
  /** What else a meter shows; missing where it does not, and where its latest look was not good. */
  readonly voltageMillivolts?: number;
  readonly currentMilliamps?: number;
  readonly frequencyMillihertz?: number;
  /** Of the latest look: only a good one was metered. Missing where the meter reports no quality. */
  readonly quality?: "good" | "suspect" | "stale";
}

/** The general transport: x402's own flow, one resource at a time, identified by `id`. */
export interface RequestMessage {
  readonly v: 1;
  readonly id: string;
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly url: string;
  readonly body?: string;
}
export interface PaymentRequiredMessage {
  readonly v: 1;
  readonly id: string;
  readonly paymentRequired: unknown;
}
export interface PaymentMessage {
  readonly v: 1;
  readonly id: string;
  readonly payment: unknown;
}
export interface ResponseMessage {
  readonly v: 1;
  readonly id: string;
  readonly status: number;
  readonly body: string;
  /** x402 SettleResponse, when something was paid. */
  readonly settlement?: unknown;
  /** Why the gateway did not forward the request. */
  readonly error?: string;
}

/** Longest body of a general response, characters: with its quotes escaped it still fits the leaf. */
export const RESPONSE_BODY_MAX = 49152;

const ADDRESS = hex(40);
const ID = text(64);
const SIGNED = integer(-281474976710655, 281474976710655);

const HELLO = object(
  {
    v: VERSION,
    publicKey: hex(66),
    model: text(64),
    firmware: text(32),
    meter: text(64),
    unit: text(16),
    wantedUnits: integer(1, 281474976710655),
    register: counter,
  },
  { pays: text(512), payee: ADDRESS },
);

const REQUIREMENTS = object({
  scheme: oneOf(["batch-settlement", "exact", "upto"]),
  network: text(64),
  amount: decimal,
  asset: ADDRESS,
  payTo: ADDRESS,
  maxTimeoutSeconds: integer(1, 4294967295),
  extra: members,
});

const CHANNEL = object({
  payer: ADDRESS,
  payerAuthorizer: ADDRESS,
  receiver: ADDRESS,
  receiverAuthorizer: ADDRESS,
  token: ADDRESS,
  withdrawDelay: integer(0, 4294967295),
  salt: hex(64),
});

const APPROVAL = object(
  { kind: oneOf(["eip2612", "erc20"]), nonce: counter },
  { maxFeePerGas: counter, maxPriorityFeePerGas: counter },
);

const OFFER = object(
  {
    v: VERSION,
    revision: integer(1, 9007199254740991),
    resource: text(512),
    requirements: REQUIREMENTS,
    channel: orNull(CHANNEL),
    unit: text(16),
    pricePerMillionUnits: integer(1, 4294967295),
    validUntilSeconds: integer(0, 4294967295),
    balance: counter,
    charged: counter,
    granted: counter,
  },
  { metered: flag, epoch: counter, approval: APPROVAL },
);

const STATE = object(
  {
    v: VERSION,
    status: oneOf(["online", "lost"]),
    register: counter,
    credit: SIGNED,
    powerMilliwatts: counter,
    levelPercent: integer(0, 100),
    wantedPercent: integer(0, 100),
    starved: flag,
    refusal: orNull(text(40)),
    channelId: orNull(hex(64)),
    charged: counter,
    maxClaimable: counter,
    granted: counter,
    epoch: counter,
  },
  { trouble: text(TROUBLE_MAX), ladderRungs: counter, ladderMinutes: counter },
);

const LOST = object({ v: VERSION, status: oneOf(["lost"]) });

const READING = object(
  { v: VERSION, register: counter, powerMilliwatts: counter, atSeconds: counter },
  {
    voltageMillivolts: counter,
    currentMilliamps: counter,
    frequencyMillihertz: counter,
    quality: oneOf(["good", "suspect", "stale"]),
  },
);

const REQUEST = object(
  { v: VERSION, id: ID, method: oneOf(["GET", "POST", "PUT", "DELETE"]), url: text(2048) },
  { body: text(8192) },
);
const PAYMENT_REQUIRED = object({ v: VERSION, id: ID, paymentRequired: anything });
const PAYMENT = object({ v: VERSION, id: ID, payment: anything });
const RESPONSE = object(
  { v: VERSION, id: ID, status: integer(0, 599), body: text(RESPONSE_BODY_MAX) },
  { settlement: anything, error: text(256) },
);

/** A decoded message, or in a few words what is wrong with it. */
export type Read<Message> =
  | { readonly message: Message; readonly error: null }
  | { readonly message: null; readonly error: string };

export function readHello(json: string): Read<Hello> {
  return read(json, HELLO);
}
/** Its reader bounds how deep it nests: boards take it only from their own gateway. */
export function readOffer(json: string): Read<OfferMessage> {
  return readBounded(json, OFFER);
}
export function readState(json: string): Read<StateMessage> {
  return read(json, STATE);
}
export function readLost(json: string): Read<LostMessage> {
  return read(json, LOST);
}
export function readReading(json: string): Read<ReadingMessage> {
  return read(json, READING);
}
export function readRequest(json: string): Read<RequestMessage> {
  return read(json, REQUEST);
}
export function readPaymentRequired(json: string): Read<PaymentRequiredMessage> {
  return read(json, PAYMENT_REQUIRED);
}
export function readPayment(json: string): Read<PaymentMessage> {
  return read(json, PAYMENT);
}
export function readResponse(json: string): Read<ResponseMessage> {
  return read(json, RESPONSE);
}

function read<Message>(json: string, check: Check): Read<Message> {
  return isShallow(json) ? readBounded(json, check) : { message: null, error: TOO_DEEP };
}

function readBounded<Message>(json: string, check: Check): Read<Message> {
  const { value, error } = readJson(json, check);
  if (error !== null) return { message: null, error };
  return { message: value as Message, error: null };
}
