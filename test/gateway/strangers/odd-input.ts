// What a stranger may send: JSON that is deep, wide or odd, good messages that were changed, and bytes of any kind;
// and every decoder that such a thing comes to, of the gateway, the seller and the device.

import { GeneralTransport } from "#gateway/purchase/general/forward";
import { idIn } from "#gateway/purchase/general/message-id";
import { proveHello } from "#gateway/purchase/session";
import { openMessage } from "#node/checked-inbox";
import { hmacSha256 } from "#node/key/native-hmac";
import { fromHex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { decodeGrant, decodePay } from "#protocol/frames";
import {
  readHello,
  readLost,
  readOffer,
  readPayment,
  readPaymentRequired,
  readReading,
  readRequest,
  readResponse,
  readState,
} from "#protocol/messages";
import { parseJson } from "#protocol/nesting";
import { sealJson } from "#protocol/tag";
import {
  isPaymentPayload,
  isSettleResponse,
  readPaymentRequiredHeader,
  readPaymentResponseHeader,
} from "#protocol/x402";
import { type Draw, seededRandom } from "#simulator/city/random";
import { HeaderReader } from "#simulator/seller/scheme/header-reader";

const ADDRESS = `0x${"c0".repeat(20)}`;
const CONFIG = {
  payer: ADDRESS,
  payerAuthorizer: ADDRESS,
  receiver: ADDRESS,
  receiverAuthorizer: ADDRESS,
  token: ADDRESS,
  withdrawDelay: 900,
  salt: `0x${"01".repeat(32)}`,
};
const ACCEPTED = {
  scheme: "batch-settlement",
  network: "eip155:1",
  amount: "100",
  asset: ADDRESS,
  payTo: ADDRESS,
  maxTimeoutSeconds: 60,
  extra: { name: "USD", version: "1" },
};
const VOUCHER = { channelId: CONFIG.salt, maxClaimableAmount: "100", signature: `0x${"02".repeat(65)}` };
const PAYMENT = {
  x402Version: 2,
  accepted: ACCEPTED,
  payload: { type: "voucher", channelConfig: CONFIG, voucher: VOUCHER },
};

/** Good ones, of which most of what is sent is made. */
const MESSAGES = [
  { v: 1, id: "a", method: "GET", url: "https://api.example.org/x", body: "{}" },
  { v: 1, id: "a", payment: PAYMENT },
  {
    v: 1,
    id: "a",
    paymentRequired: { x402Version: 2, resource: { url: "https://a.org" }, accepts: [ACCEPTED] },
  },
  { v: 1, id: "a", status: 200, body: "b", settlement: { success: true, transaction: "", network: "a:1" } },
  { v: 1, register: 1, powerMilliwatts: 2, atSeconds: 3, quality: "good" },
  { v: 1, status: "lost" },
  {
    v: 1,
    publicKey: `0x02${"11".repeat(32)}`,
    model: "m",
    firmware: "f",
    meter: "m",
    unit: "mWh",
    wantedUnits: 1,
    register: 0,
  },
  {
    v: 1,
    revision: 1,
    resource: "r",
    requirements: ACCEPTED,
    channel: CONFIG,
    unit: "mWh",
    pricePerMillionUnits: 1,
    validUntilSeconds: 0,
    balance: 0,
    charged: 0,
    granted: 0,
  },
  PAYMENT,
  { x402Version: 2, error: "e", resource: { url: "https://a.org" }, accepts: [ACCEPTED] },
  { success: false, errorReason: "r", transaction: "", network: "eip155:1" },
].map((message) => JSON.stringify(message));

/** In the place of some member: what a parser takes and a rule may not expect. */
const ODD = [
  "null",
  "[]",
  "{}",
  "-0",
  "1e999",
  "1e-999",
  "0.1",
  "9007199254740993",
  '""',
  '"\\u0000"',
  '"\\ud800"',
  '{"toString":null,"valueOf":null}',
  '{"__proto__":{"x":1}}',
  '{"constructor":{"prototype":1}}',
  '{"length":1e9}',
  '{"toJSON":1}',
  '{"then":1}',
  `"${"x".repeat(5_000)}"`,
  `[${"0,".repeat(2_000)}0]`,
  `{${Array.from({ length: 500 }, (_, i) => `"m${i}":{}`).join()}}`,
  "[".repeat(31) + "]".repeat(31),
  "[".repeat(33) + "]".repeat(33),
  "[".repeat(7_600) + "]".repeat(7_600),
  `${'{"a":'.repeat(3_000)}1${"}".repeat(3_000)}`,
  "[".repeat(8_000),
];

/** The next of an endless row of bytes that a stranger may send. */
export function oddInput(draw: Draw): Buffer {
  const whole = (below: number) => Math.floor(draw() * below);
  const message = MESSAGES[whole(MESSAGES.length)]!;
  // Few are long, or the row would be slow.
  const odd = ODD[draw() < 0.03 ? whole(ODD.length) : whole(17)]!;
  const kind = draw();
  if (kind < 0.4) {
    const places = [...message.matchAll(/:(?="|\d|\{|\[|true|false)/g)];
    const at = places[whole(places.length)]!.index + 1;
    const [rest] = /^(?:"[^"]*"|[\w.-]+|\{[^{}]*\}|\[[^[\]]*\])?/.exec(message.slice(at))!;
    return Buffer.from(message.slice(0, at) + odd + message.slice(at + rest.length));
  }
  const bytes = Buffer.from(kind < 0.9 ? message : odd);
  if (kind < 0.8) {
    for (let changes = 1 + whole(3); changes > 0; changes -= 1) bytes[whole(bytes.length)] = whole(256);
    return kind < 0.7 ? bytes : bytes.subarray(0, whole(bytes.length));
  }
  if (kind < 0.95) return bytes;
  return Buffer.from(Array.from({ length: whole(120) }, () => whole(256)));
}

const KEY = openKey(fromHex(`0x${"00".repeat(31)}01`));
const TAGGER = { hmac: hmacSha256, key: new Uint8Array(32).fill(7) };
const seller = new HeaderReader();
const base64 = (bytes: Buffer) => bytes.toString("base64");
const forwarded = new GeneralTransport({
  devices: { publish: () => undefined },
  fetch: async () => ({ kind: "unavailable", reason: "" }),
  origins: ["https://api.example.org"],
});

function parsed(bytes: Buffer): unknown {
  try {
    return parseJson(bytes.toString());
  } catch {
    return undefined;
  }
}

/** Each takes any bytes and never throws; `error` is a text of bounded length. */
export const DECODERS: Readonly<Record<string, (bytes: Buffer) => { error: string | null } | unknown>> = {
  hello: (bytes) => readHello(bytes.toString()),
  "hello, sealed": (bytes) => proveHello({ key: KEY, hmac: hmacSha256 }, "ab".repeat(20), bytes, undefined),
  state: (bytes) => readState(bytes.toString()),
  "last will": (bytes) => readLost(bytes.toString()),
  reading: (bytes) => readReading(bytes.toString()),
  request: (bytes) => readRequest(bytes.toString()),
  payment: (bytes) => readPayment(bytes.toString()),
  "payment-required": (bytes) => readPaymentRequired(bytes.toString()),
  response: (bytes) => readResponse(bytes.toString()),
  offer: (bytes) => readOffer(bytes.toString()),
  "id of a malformed message": (bytes) => idIn(bytes.toString()),
  "PAY frame": (bytes) => decodePay(bytes),
  "GRANT frame": (bytes) => decodeGrant(bytes),
  "general request": (bytes) => forwarded.receive("ab".repeat(20), "request", bytes),
  "general payment": (bytes) => forwarded.receive("ab".repeat(20), "payment", bytes),
  "offer heard by a device": (bytes) => {
    const message = parsed(bytes);
    if (typeof message !== "object" || message === null) return null;
    const opened = openMessage(TAGGER, ADDRESS, "offer", sealJson(TAGGER, "offer", message));
    return opened.kind === "malformed" ? opened : null;
  },
  "PAYMENT-SIGNATURE at the seller": (bytes) => seller.read(base64(bytes)),
  "payment payload": (bytes) => isPaymentPayload(parsed(bytes)),
  "PAYMENT-REQUIRED": (bytes) => readPaymentRequiredHeader(base64(bytes)),
  "PAYMENT-RESPONSE": (bytes) => readPaymentResponseHeader(base64(bytes)),
  "settle response": (bytes) => isSettleResponse(parsed(bytes)),
};

/** Longest text of a refusal, characters. */
const ERROR_MAX = 260;

/** Sends so many to one decoder; throws naming what it could not take. */
export async function attack(name: string, inputs: number, reported?: (done: number) => void): Promise<void> {
  const draw = seededRandom(20_402 + name.length);
  const decode = DECODERS[name]!;
  for (let done = 0; done < inputs; done += 1) {
    const bytes = oddInput(draw);
    try {
      const found = await decode(bytes);
      const { error } = (typeof found === "object" && found !== null ? found : {}) as { error?: unknown };
      if (typeof error === "string" && error.length > ERROR_MAX) throw new Error(`a text of ${error.length}`);
    } catch (cause) {
      throw new Error(`${name}, input ${done} (base64): ${base64(bytes).slice(0, 400)}`, { cause });
    }
    if (done % 1_000_000 === 999_999) reported?.(done + 1);
  }
}
