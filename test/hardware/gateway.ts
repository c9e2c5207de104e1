/**
 * A small honest gateway on a real broker: answers hello with an offer and every right PAY with a grant,
 * and keeps the counters by which a test sees what the device really signed.
 */

import { channelTagOf } from "#core/rungs";
import { hmacSha256 } from "#node/key/native-hmac";
import { fromHex } from "#payment/bytes";
import { BATCH_SETTLEMENT_ADDRESS, channelIdOf } from "#payment/channel";
import { addressOf, type Key, recoverAddress } from "#payment/key";
import { provenLogin } from "#payment/login";
import { tagKeyBetween } from "#payment/tag-key";
import { voucherDigest } from "#payment/voucher";
import { decodePay, encodeGrant } from "#protocol/frames";
import type { ChannelConfig, OfferMessage } from "#protocol/messages";
import {
  type ReadingMessage,
  readHello,
  readReading,
  readState,
  type StateMessage,
} from "#protocol/messages";
import { isSealedFrame, openJson, peekJson, sealFrame, sealJson, type Tagger } from "#protocol/tag";
import { topicOf } from "#protocol/topics";
import { startBroker, type TestBroker } from "../device/node/broker.ts";

export const ASSET = `0x${"aa".repeat(20)}`;
export const SELLER = `0x${"bb".repeat(20)}`;
export const NETWORK = "eip155:31337";
const CHAIN_ID = 31337;
const QUANTUM_ATOMIC = 100;
const BALANCE = 1_000_000;

/** 100 atomic units buy 20 mWh: 1.2 s of a 60 W lamp. */
export const PRICE = 5_000_000;
const UNITS_PER_QUANTUM = 20;

export interface TestGateway {
  readonly broker: TestBroker;
  /** Cumulative amounts of the vouchers that checked, in their order of arrival. */
  readonly vouchers: number[];
  /** The register that each hello and each right PAY carried, in their order of arrival. */
  readonly registers: number[];
  /** What arrived and was not right, in words. */
  readonly wrong: string[];
  charged: number;
  granted: number;
  lastReading(): ReadingMessage | null;
  lastState(): StateMessage | { readonly status: "lost" } | null;
  close(): Promise<void>;
}

/** @param unitsPerQuantum what 100 atomic units buy, mWh */
export async function startGateway(
  key: Key,
  unitsPerQuantum: number = UNITS_PER_QUANTUM,
): Promise<TestGateway> {
  const price = Math.round((QUANTUM_ATOMIC * 1e6) / unitsPerQuantum);
  const broker = await startBroker({
    admits: (device, password) =>
      provenLogin(password, `0x${device}`, key.address, Date.now() / 1000) === `0x${device}`,
  });
  let device = "";
  let tagger: Tagger = { hmac: hmacSha256, key: new Uint8Array(32) };
  let revision = Date.now();
  let state: Uint8Array | null = null;
  let reading: Uint8Array | null = null;
  const gateway: TestGateway = {
    broker,
    vouchers: [],
    registers: [],
    wrong: [],
    charged: 0,
    granted: 0,
    lastReading: () =>
      reading === null ? null : readReading(openJson(tagger, "reading", reading) ?? "").message,
    lastState: () => (state === null ? null : stateOf(tagger, state)),
    close: () => broker.close(),
  };

  const enrol = (payload: Uint8Array) => {
    const hello = readHello(peekJson(payload) ?? "");
    if (hello.message === null) return gateway.wrong.push(`hello: ${hello.error}`);
    const publicKey = fromHex(hello.message.publicKey);
    device = addressOf(publicKey);
    tagger = { hmac: hmacSha256, key: tagKeyBetween(key, publicKey) };
    if (openJson(tagger, "hello", payload) === null) return gateway.wrong.push("hello: wrong tag");
    gateway.registers.push(hello.message.register);
    const { charged, granted } = gateway;
    const offer = offerTo(device, ++revision, charged, granted, price);
    return broker.send(topicOf(device.slice(2), "offer"), sealJson(tagger, "offer", offer), true);
  };

  const takePay = (payload: Uint8Array) => {
    if (!isSealedFrame(tagger, "pay", payload)) return gateway.wrong.push("pay: wrong tag");
    const { frame, error } = decodePay(payload);
    if (frame === null) return gateway.wrong.push(`pay: ${error}`);
    const channelId = channelIdOf(channelOf(device), CHAIN_ID);
    const signer = recoverAddress(voucherDigest(channelId, frame.maxClaimable, CHAIN_ID), frame.signature);
    if (signer !== device) return gateway.wrong.push(`pay: signed by ${signer}`);
    gateway.vouchers.push(frame.maxClaimable);
    gateway.registers.push(frame.register);
    if (frame.maxClaimable === gateway.charged + QUANTUM_ATOMIC) {
      gateway.charged = frame.maxClaimable;
      gateway.granted += unitsPerQuantum;
    }
    const grant = encodeGrant({
      refusal: null,
      channelTag: channelTagOf(channelId),
      charged: gateway.charged,
      granted: gateway.granted,
      pricePerMillionUnits: price,
      validUntilSeconds: 0,
    });
    return broker.send(topicOf(device.slice(2), "grant"), sealFrame(tagger, "grant", grant));
  };

  broker.aedes.on("publish", ({ topic, payload }) => {
    const bytes = Buffer.from(payload);
    if (topic.endsWith("/hello")) enrol(bytes);
    else if (topic.endsWith("/pay")) takePay(bytes);
    else if (topic.endsWith("/state")) state = bytes;
    else if (topic.endsWith("/reading")) reading = bytes;
  });
  return gateway;
}

function stateOf(tagger: Tagger, payload: Uint8Array): StateMessage | { readonly status: "lost" } | null {
  // The last will was written before anything else could be said, and is not sealed.
  if (Buffer.from(payload).toString() === '{"v":1,"status":"lost"}') return { status: "lost" };
  return readState(openJson(tagger, "state", payload) ?? "").message;
}

function channelOf(device: string): ChannelConfig {
  return {
    payer: `0x${"cc".repeat(20)}`,
    payerAuthorizer: device,
    receiver: SELLER,
    receiverAuthorizer: SELLER,
    token: ASSET,
    withdrawDelay: 86_400,
    salt: `0x${"01".repeat(32)}`,
  };
}

function offerTo(
  device: string,
  revision: number,
  charged: number,
  granted: number,
  pricePerMillionUnits: number,
): OfferMessage {
  return {
    v: 1,
    revision,
    resource: "http://seller.test/energy",
    requirements: {
      scheme: "batch-settlement",
      network: NETWORK,
      amount: String(QUANTUM_ATOMIC),
      asset: ASSET,
      payTo: SELLER,
      maxTimeoutSeconds: 3600,
      extra: { contract: BATCH_SETTLEMENT_ADDRESS },
    },
    channel: channelOf(device),
    unit: "mWh",
    pricePerMillionUnits,
    validUntilSeconds: 0,
    balance: BALANCE,
    charged,
    granted,
  };
}
