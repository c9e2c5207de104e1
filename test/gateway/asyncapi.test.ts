// The AsyncAPI document: well formed by the official parser, and its schemas accept what the strict decoding does.

import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
import { Ajv } from "ajv";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type Read,
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
import { LEAVES, type Leaf, topicOf } from "#protocol/topics";
import { deviceName, stateOf } from "./http/fixtures.ts";

const SOURCE = readFileSync("gateway/asyncapi.json", "utf8");
type Message = Readonly<Record<string, unknown>>;
interface Schema {
  readonly properties: Readonly<Record<string, unknown>>;
}
const document = JSON.parse(SOURCE) as {
  channels: Record<string, { address: string; description: string }>;
  operations: Record<
    string,
    { action: string; channel: { $ref: string }; bindings: { mqtt: { retain: boolean } } }
  >;
  components: { schemas: Record<string, Schema> };
};

const address = `0x${"5e".repeat(20)}`;
const requirements = {
  scheme: "exact",
  network: "eip155:8453",
  amount: "100",
  asset: address,
  payTo: address,
  maxTimeoutSeconds: 60,
  extra: { name: "USDC" },
};
const channel = {
  payer: address,
  payerAuthorizer: address,
  receiver: address,
  receiverAuthorizer: address,
  token: address,
  withdrawDelay: 900,
  salt: `0x${"0".repeat(64)}`,
};
const offer = {
  v: 1,
  revision: 1,
  resource: "https://e.example.org",
  requirements,
  channel,
  unit: "mWh",
  pricePerMillionUnits: 200_000,
  validUntilSeconds: 0,
  balance: 1,
  charged: 0,
  granted: 0,
};
const hello = {
  v: 1,
  publicKey: `0x02${"11".repeat(32)}`,
  model: "LED",
  firmware: "1",
  meter: "SDM",
  unit: "mWh",
  wantedUnits: 500,
  register: 0,
};

/** A good message of each kind, and its strict decoding. */
const KINDS: Readonly<Record<string, { good: Message; read: (json: string) => Read<unknown> }>> = {
  Hello: { good: hello, read: readHello },
  Offer: { good: { ...offer, epoch: 1 }, read: readOffer },
  State: {
    good: { ...stateOf({ channelId: `0x${"ab".repeat(32)}`, refusal: "unfunded" }) },
    read: readState,
  },
  Lost: { good: { v: 1, status: "lost" }, read: readLost },
  Reading: {
    good: {
      v: 1,
      register: 1,
      powerMilliwatts: 2,
      atSeconds: 3,
      voltageMillivolts: 4,
      currentMilliamps: 5,
      frequencyMillihertz: 6,
      quality: "good",
    },
    read: readReading,
  },
  Request: {
    good: { v: 1, id: "a", method: "GET", url: "https://e.example.org", body: "b" },
    read: readRequest,
  },
  PaymentRequired: { good: { v: 1, id: "a", paymentRequired: {} }, read: readPaymentRequired },
  Payment: { good: { v: 1, id: "a", payment: { x402Version: 2 } }, read: readPayment },
  Response: {
    good: { v: 1, id: "a", status: 200, body: "", settlement: {}, error: "e" },
    read: readResponse,
  },
};

const TAG = "ab".repeat(16);
const ajv = new Ajv({ strict: false });

function accepts(name: string): (message: Message) => boolean {
  const schema = document.components.schemas[name]!;
  const validate = ajv.compile(schema);
  const isSealed = "tag" in schema.properties;
  return (message) => validate(isSealed ? { ...message, tag: TAG } : message);
}

test("the official parser finds nothing to complain of", async () => {
  const { diagnostics, document: parsed } = await new Parser().parse(SOURCE);
  expect(
    diagnostics.filter(({ severity }) => severity <= 1).map(({ message, path }) => [message, path]),
  ).toEqual([]);
  expect(parsed!.allChannels().length).toBe(Object.keys(LEAVES).length);
});

test("every leaf has its channel, direction, retention and size", () => {
  for (const [leaf, { direction, retained, bytesMax }] of Object.entries(LEAVES)) {
    const [key, found] = Object.entries(document.channels).find(
      ([, { address }]) =>
        address.replace("{device}", deviceName(1)) === topicOf(deviceName(1), leaf as Leaf),
    )!;
    expect(found.description).toContain(`at most ${bytesMax} bytes`);
    const operation = Object.values(document.operations).find(
      ({ channel: { $ref } }) => $ref === `#/channels/${key}`,
    )!;
    expect([leaf, operation.action]).toEqual([leaf, direction === "up" ? "receive" : "send"]);
    expect([leaf, operation.bindings.mqtt.retain]).toEqual([leaf, retained]);
  }
});

const strange = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    "",
    "lost",
    "online",
    "0x",
    "POST",
    {},
    [],
    0,
    1,
    100,
    101,
    599,
    600,
    -1,
  ),
  fc.constantFrom<unknown>(281_474_976_710_655, 281_474_976_710_656, 4_294_967_295, 4_294_967_296, 0.5),
  fc.constantFrom<unknown>(
    "281474976710655",
    "281474976710656",
    "99999999999999",
    "000000000000000",
    "x".repeat(65),
  ),
  fc.constantFrom<unknown>(address, channel.salt, `${address}0`, "x".repeat(513), requirements, channel),
  fc.string({ unit: "grapheme-ascii", maxLength: 70 }),
  fc.maxSafeInteger(),
);

/** One member, of the message or of an object in it, replaced, removed or added. */
function changed(good: Message): fc.Arbitrary<Message> {
  const places = Object.entries(good).flatMap(([name, value]) =>
    typeof value === "object" && value !== null && Object.keys(value).length > 2
      ? [[name], ...Object.keys(value).map((inner) => [name, inner])]
      : [[name]],
  );
  return fc
    .record({
      place: fc.constantFrom(...places, ["unknown"], ["constructor"]),
      value: fc.option(strange, { nil: undefined }),
    })
    .map(({ place: [outer, inner], value }) => {
      if (inner === undefined) return { ...good, [outer!]: value };
      return { ...good, [outer!]: { ...(good[outer!] as Message), [inner]: value } };
    })
    .map((message) => JSON.parse(JSON.stringify(message)) as Message);
}

test.each(Object.entries(KINDS))(
  "the schema of %s says yes and no exactly where the decoding does",
  (name, { good, read }) => {
    const isGood = accepts(name);
    expect(isGood(good)).toBe(true);
    expect(read(JSON.stringify(good)).error).toBeNull();
    let refused = 0;
    fc.assert(
      fc.property(changed(good), (message) => {
        const byDecoding = read(JSON.stringify(message)).error === null;
        if (!byDecoding) refused += 1;
        expect([message, isGood(message)]).toEqual([message, byDecoding]);
      }),
      { numRuns: 500 },
    );
    expect(refused).toBeGreaterThan(50);
  },
);
