import { createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
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
import { openJson, peekJson, sealJson, type Tagger } from "#protocol/tag";
import { isDeviceName, isLeaf, LEAVES, type Leaf, readTopic, topicOf } from "#protocol/topics";
import vectors from "../../../device/protocol/vectors.json";

const tagger: Tagger = {
  key: new Uint8Array(32).fill(9),
  hmac: (key, message) => createHmac("sha256", key).update(message).digest(),
};
const DEVICE = "0123456789abcdef0123456789abcdef01234567";

const READERS = {
  hello: readHello,
  offer: readOffer,
  state: readState,
  reading: readReading,
  request: readRequest,
  "payment-required": readPaymentRequired,
  payment: readPayment,
  response: readResponse,
  lost: readLost,
};

function vectorOf(leaf: Leaf): Record<string, unknown> {
  return vectors.json.find((vector) => vector.leaf === leaf)!.message as Record<string, unknown>;
}

const SAMPLES: Record<keyof typeof READERS, Record<string, unknown>> = {
  hello: vectorOf("hello"),
  offer: vectorOf("offer"),
  state: vectorOf("state"),
  reading: vectorOf("reading"),
  request: { v: 1, id: "a", method: "GET", url: "http://x/" },
  "payment-required": { v: 1, id: "a", paymentRequired: { x402Version: 2 } },
  payment: { v: 1, id: "a", payment: null },
  response: { v: 1, id: "a", status: 200, body: "" },
  lost: { v: 1, status: "lost" },
};

const names = Object.keys(READERS) as (keyof typeof READERS)[];
const error = (name: keyof typeof READERS, changes: object) =>
  READERS[name](JSON.stringify({ ...SAMPLES[name], ...changes })).error;

describe("topics", () => {
  it("come back as device and leaf, and nothing else does", () => {
    for (const leaf of Object.keys(LEAVES) as Leaf[]) {
      expect(readTopic(topicOf(DEVICE, leaf))).toEqual({ device: DEVICE, leaf });
    }
    const wrong = ["", "x402/1/", `x402/2/${DEVICE}/pay`, `x402/1/${DEVICE}`, `x402/1/${DEVICE}/`];
    const near = [
      `x402/1/${DEVICE}/pay/`,
      `x402/1/${DEVICE}/Pay`,
      `/x402/1/${DEVICE}/pay`,
      `x402/1/${DEVICE}0/pay`,
    ];
    const wild = [
      "x402/1/+/pay",
      `x402/1/${"+".repeat(40)}/pay`,
      `x402/1/${DEVICE}/#`,
      `x402/1/${DEVICE}/constructor`,
    ];
    for (const topic of [...wrong, ...near, ...wild, topicOf(DEVICE.toUpperCase(), "pay")]) {
      expect(readTopic(topic)).toBeNull();
    }
  });

  it("are read from any text without throwing, and only their own spelling is taken", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((tail) => `x402/1/${DEVICE}${tail}`),
        ),
        (text) => {
          const read = readTopic(text);
          if (read !== null) expect(topicOf(read.device, read.leaf)).toBe(text);
        },
      ),
    );
    expect(isDeviceName(DEVICE)).toBe(true);
    expect(isLeaf("toString")).toBe(false);
  });
});

describe("sealed JSON", () => {
  it("opens to the same object, whatever characters it holds, in plain ASCII", () => {
    const letters = fc.string({ unit: "binary" });
    fc.assert(
      fc.property(fc.dictionary(letters, letters, { minKeys: 1 }), (message) => {
        const sealed = sealJson(tagger, "hello", message);
        expect(sealed.every((byte) => byte < 127)).toBe(true);
        const text = openJson(tagger, "hello", sealed);
        expect(JSON.parse(text!)).toEqual(JSON.parse(JSON.stringify(message)));
        expect(peekJson(sealed)).toBe(text);
        expect(openJson(tagger, "offer", sealed)).toBeNull();
      }),
    );
  });

  it("with any one bit flipped, cut or lengthened does not open", () => {
    const sealed = sealJson(tagger, "reading", SAMPLES.reading);
    for (let bit = 0; bit < 8 * sealed.length; bit++) {
      const flipped = sealed.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(openJson(tagger, "reading", flipped)).toBeNull();
    }
    for (let length = 0; length < sealed.length; length++) {
      expect(openJson(tagger, "reading", sealed.slice(0, length))).toBeNull();
    }
    expect(openJson(tagger, "reading", Uint8Array.from([...sealed, 32]))).toBeNull();
  });

  it("made of arbitrary bytes neither opens nor throws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(openJson(tagger, "hello", bytes)).toBeNull();
        peekJson(bytes);
      }),
    );
  });
});

describe("messages", () => {
  it.each(names)("%s comes back as it went", (name) => {
    expect(READERS[name](JSON.stringify(SAMPLES[name]))).toEqual({ message: SAMPLES[name], error: null });
  });

  it.each(names)(
    "%s refuses another version, an unknown member, a missing one, and what is no object",
    (name) => {
      expect(error(name, { v: 2 })).toMatch(/^message\.v: expected an integer in 1\.\.1, found 2/);
      expect(error(name, { surprise: 1 })).toBe("message.surprise: no such member is known");
      for (const key of Object.keys(SAMPLES[name])) {
        if (name === "lost" && key === "v") continue;
        expect(error(name, { [key]: undefined })).toBe(`message.${key}: expected, found nothing`);
      }
      for (const json of ["null", "[]", "1", '"x"', "", "{", "{'v':1}"]) {
        expect(READERS[name](json).error).toEqual(expect.any(String));
      }
    },
  );

  it.each(names)("%s refuses members that every object inherits", (name) => {
    for (const member of [
      "constructor",
      "toString",
      "valueOf",
      "hasOwnProperty",
      "__proto__",
      "__defineGetter__",
    ]) {
      const json = JSON.stringify(SAMPLES[name]).replace("{", `{"${member}":1,`);
      expect(READERS[name](json)).toEqual({
        message: null,
        error: `message.${member}: no such member is known`,
      });
    }
  });

  it.each([
    ["hello", { publicKey: "0x12" }, "message.publicKey: expected 0x and 66 hex digits"],
    ["hello", { model: "x".repeat(65) }, "message.model: expected a string of at most 64 characters"],
    ["hello", { wantedUnits: 0 }, "message.wantedUnits: expected an integer in 1.."],
    [
      "hello",
      { register: 2 ** 48 },
      "message.register: expected an integer in 0..2^48-1, found 281474976710656",
    ],
    ["offer", { resource: "x".repeat(513) }, "message.resource: expected a string of at most 512"],
    ["offer", { pricePerMillionUnits: 0 }, "message.pricePerMillionUnits: expected an integer in 1.."],
    ["offer", { balance: -1 }, "message.balance: expected an integer"],
    ["offer", { revision: 1.5 }, "message.revision: expected an integer"],
    ["offer", { channel: [] }, "message.channel: expected an object, found an array"],
    ["state", { starved: 1 }, "message.starved: expected true or false, found 1"],
    ["state", { levelPercent: 101 }, "message.levelPercent: expected an integer in 0..100, found 101"],
    ["state", { status: "away" }, 'message.status: expected one of online, lost, found "away"'],
    ["reading", { atSeconds: "0" }, "message.atSeconds: expected an integer"],
    ["reading", { voltageMillivolts: -1 }, "message.voltageMillivolts: expected an integer"],
    ["reading", { quality: "fine" }, 'message.quality: expected one of good, suspect, stale, found "fine"'],
    ["request", { method: "PATCH" }, "message.method: expected one of GET, POST, PUT, DELETE"],
    ["request", { body: "x".repeat(8_193) }, "message.body: expected a string of at most 8192"],
    ["response", { status: 600 }, "message.status: expected an integer in 0..599"],
  ] as const)("%s with %o is refused by path", (name, changes, text) => {
    expect(error(name, changes)).toContain(text);
  });

  it("refuses an offer whose requirements or channel break their form, by path", () => {
    const { requirements, channel } = SAMPLES.offer as { requirements: object; channel: object };
    const within = (changes: object) => error("offer", { requirements: { ...requirements, ...changes } });
    for (const extra of [null, 5, [], "x"]) {
      expect(within({ extra })).toMatch(/^message\.requirements\.extra: expected an object/);
    }
    for (const amount of ["", "-1", "1e3", "1.5", 100, "281474976710656", "0x10", " 1"]) {
      expect(within({ amount })).toMatch(/^message\.requirements\.amount: expected a decimal string/);
    }
    expect(within({ scheme: "auth-capture" })).toMatch(/^message\.requirements\.scheme: expected one of/);
    expect(error("offer", { approval: { kind: "eip2612", nonce: 3 } })).toBeNull();
    expect(error("offer", { approval: { kind: "eip2612" } })).toMatch(/^message\.approval\.nonce/);
    expect(error("offer", { approval: { kind: "allowance", nonce: 3 } })).toMatch(/^message\.approval\.kind/);
    expect(error("offer", { channel: { ...channel, salt: "0x00" } })).toMatch(/^message\.channel\.salt/);
    expect(error("offer", { channel: null })).toBeNull();
  });

  it("is read from any JSON without throwing, and errors stay short", () => {
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.oneof(fc.json(), fc.string()), (name, json) => {
        const found = READERS[name](json).error;
        expect(found).toEqual(expect.any(String));
        expect(found!.length).toBeLessThan(250);
      }),
    );
  });
});
