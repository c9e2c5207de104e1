// The written specification says what the code does: its tables are the code's, its examples decode.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { WIRE_REFUSALS } from "#core/refusal";
import { hmacSha256 } from "#node/hmac";
import { fromHex } from "#payment/bytes";
import {
  decodeGrant,
  decodePay,
  encodeGrant,
  encodePay,
  GRANT_BYTES,
  PAY_BYTES,
  PAY_EXACT_BYTES,
  TAG_BYTES,
} from "#protocol/frames";
import {
  type PaymentMessage,
  type PaymentRequiredMessage,
  readHello,
  readOffer,
  readPayment,
  readPaymentRequired,
  readRequest,
  readResponse,
} from "#protocol/messages";
import { isSealedFrame, openJson } from "#protocol/tag";
import { LEAVES } from "#protocol/topics";
import { isPaymentPayload } from "#protocol/x402";

const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");
const SPECIFICATION = read("../../gateway/x402-over-mqtt.md");
const VECTORS = JSON.parse(read("../../device/protocol/vectors.json")) as { tagKey: string };
const tagger = { hmac: hmacSha256, key: fromHex(VECTORS.tagKey) };

/** Cells of the table whose heading begins with this word, without the headings. */
function table(heading: string): string[][] {
  const lines = SPECIFICATION.split("\n");
  const start = lines.findIndex(
    (line, at) => line.startsWith(`| ${heading} |`) && lines[at + 1]!.startsWith("|---"),
  );
  if (start < 0) throw new Error(`expected a table "${heading}", found none`);
  const rows: string[][] = [];
  for (let at = start + 2; lines[at]?.startsWith("|"); at += 1) {
    rows.push(
      lines[at]!.split("|")
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll("`", "")),
    );
  }
  return rows;
}

/** The examples under this label. */
function examples(label: string): string[] {
  const found = [...SPECIFICATION.matchAll(/^(.+)\n```(?:json|hex)\n(.+)\n```$/gm)];
  return found
    .filter(([, said]) => said!.replaceAll("`", "").split(" ")[0] === label)
    .map(([, , text]) => text!);
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

test("its headings are those of x402's transport template, in order", () => {
  const headings = SPECIFICATION.split("\n").filter((line) => /^#{1,2} /.test(line));
  expect(headings.filter((line) => line !== "## Security considerations")).toEqual([
    "# Transport: MQTT",
    "## Summary",
    "## Payment Required Signaling",
    "## Payment Payload Transmission",
    "## Settlement Response Delivery",
    "## Error Handling",
    "## References",
  ]);
});

test("its leaves are the code's: names, directions, retained or not, sizes", () => {
  const written = table("leaf").map(([leaf, direction, retained, bytes]) => [
    leaf,
    direction,
    retained,
    Number(bytes),
  ]);
  const ours = Object.entries(LEAVES).map(([leaf, { direction, retained, bytesMax }]) => [
    leaf,
    direction,
    retained ? "yes" : "no",
    bytesMax,
  ]);
  expect(written).toEqual(ours);
});

test("its status codes are the code's, with what a device does about each", () => {
  const written = table("status").map(([status, code, reaction]) => ({
    status: Number(status),
    code,
    reaction,
  }));
  expect(written).toEqual(WIRE_REFUSALS);
});

test.each([
  ["bytes of PAY", PAY_BYTES],
  ["bytes of exact PAY", PAY_EXACT_BYTES],
  ["bytes of GRANT", GRANT_BYTES],
])("its table of the %s has no gap and ends at the frame's length, with the tag", (heading, length) => {
  let at = 0;
  for (const [, offset, width] of table(heading)) {
    expect(Number(offset)).toBe(at);
    at += Number(width);
  }
  expect(at).toBe(length);
  expect(table(heading).at(-1)).toEqual(["tag", String(length - TAG_BYTES), String(TAG_BYTES), ""]);
});

test("every field stands where its table says", () => {
  const signature = Uint8Array.from({ length: 65 }, (_, index) =>
    index < 32 ? 0xaa : index < 64 ? 0xbb : 27,
  );
  const values: Record<string, string> = {
    "channel tag": "01020304",
    maxClaimable: "111213141516",
    register: "212223242526",
    "valid before": "31323334",
    charged: "414243444546",
    granted: "515253545556",
    price: "61626364",
    "valid until": "71727374",
    flags: "01",
    status: "07",
    r: "aa".repeat(32),
    s: "bb".repeat(32),
    v: "1b",
  };
  const number = (name: string) => Number.parseInt(values[name]!, 16);
  const pay = {
    again: true,
    channelTag: number("channel tag"),
    maxClaimable: number("maxClaimable"),
    register: number("register"),
    signature,
  };
  const frames: [string, Uint8Array][] = [
    ["bytes of PAY", encodePay({ ...pay, validBeforeSeconds: 0 })],
    ["bytes of exact PAY", encodePay({ ...pay, validBeforeSeconds: number("valid before") })],
    [
      "bytes of GRANT",
      encodeGrant({
        refusal: "overloaded",
        channelTag: number("channel tag"),
        charged: number("charged"),
        granted: number("granted"),
        pricePerMillionUnits: number("price"),
        validUntilSeconds: number("valid until"),
      }),
    ],
  ];
  for (const [heading, frame] of frames) {
    for (const [name, offset, width, content] of table(heading).slice(0, -1)) {
      const found = Buffer.from(frame.slice(Number(offset), Number(offset) + Number(width))).toString("hex");
      expect(found, `${heading}: ${name}`).toBe(name === "type" ? content!.slice(2) : values[name!]);
    }
  }
});

test("its frames carry right tags and decode", () => {
  const [pay, grant] = [examples("PAY"), examples("GRANT")];
  expect([pay, grant].map((found) => found.length)).toEqual([1, 1]);
  expect(isSealedFrame(tagger, "pay", fromHex(pay[0]!))).toBe(true);
  expect(decodePay(fromHex(pay[0]!)).error).toBeNull();
  expect(isSealedFrame(tagger, "grant", fromHex(grant[0]!))).toBe(true);
  expect(decodeGrant(fromHex(grant[0]!)).error).toBeNull();
});

test.each([
  ["hello", readHello],
  ["offer", readOffer],
] as const)("its sealed %s opens and has every member, and no other", (leaf, readMessage) => {
  const [sealed, ...more] = examples(leaf);
  expect(more).toEqual([]);
  const json = openJson(tagger, leaf, bytesOf(sealed!));
  expect(json).not.toBeNull();
  expect(readMessage(json!).error).toBeNull();
  expect(sealed!.length).toBeLessThanOrEqual(LEAVES[leaf].bytesMax);
});

test.each([
  ["request", readRequest, 1],
  ["payment-required", readPaymentRequired, 1],
  ["payment", readPayment, 1],
  ["response", readResponse, 3],
] as const)("its examples of %s have every member, and no other", (label, readMessage, count) => {
  const found = examples(label);
  expect(found).toHaveLength(count);
  for (const text of found) expect(readMessage(text).error).toBeNull();
});

test("its payment is an x402 payload for one of the requirements that it answers", () => {
  const { payment } = readPayment(examples("payment")[0]!).message as PaymentMessage;
  const { paymentRequired } = readPaymentRequired(examples("payment-required")[0]!)
    .message as PaymentRequiredMessage;
  expect(isPaymentPayload(payment)).toBe(true);
  expect((paymentRequired as { accepts: unknown[] }).accepts).toContainEqual(
    (payment as { accepted: unknown }).accepted,
  );
});
