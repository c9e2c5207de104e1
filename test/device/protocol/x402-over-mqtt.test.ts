// The written specification says what the code does: its tables are the code's, its examples decode.

import { readFileSync } from "node:fs";
import { type Hex, hashTypedData, recoverMessageAddress } from "viem";
import { expect, test } from "vitest";
import { reactionTo, statusOfRefusal, WIRE_REFUSALS } from "#core/refusal";
import * as connack from "#gateway/broker/auth/connack";
import { hmacSha256 } from "#node/key/native-hmac";
import { fromHex } from "#payment/bytes";
import { BATCH_SETTLEMENT_ADDRESS, DEPOSIT_COLLECTOR_ADDRESS } from "#payment/channel";
import { encodeApproval } from "#protocol/approval-frame";
import {
  decodeGrant,
  decodePay,
  encodeGrant,
  encodePay,
  GRANT_BYTES,
  PAY_APPROVED_BYTES,
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
import { NESTING_MAX } from "#protocol/nesting";
import { isSealedFrame, openJson } from "#protocol/tag";
import { LEAVES } from "#protocol/topics";
import { isPaymentPayload } from "#protocol/x402";
import VECTORS from "../../../device/protocol/vectors.json";

const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");
const SPECIFICATION = read("../../../device/protocol/x402-over-mqtt.md");
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
  expect(written).toEqual(
    WIRE_REFUSALS.map((code) => ({ status: statusOfRefusal(code), code, reaction: reactionTo(code) })),
  );
});

test.each([
  ["bytes of PAY", PAY_BYTES],
  ["bytes of exact PAY", PAY_EXACT_BYTES],
  ["bytes of approved PAY", PAY_APPROVED_BYTES],
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
    kind: "02",
    approved: "818283848586",
    "approval nonce": "919293949596",
    "max fee": "0a0b0c0d0e0f",
    "priority fee": "010203040506",
    "approval r": "cc".repeat(32),
    "approval s": "dd".repeat(32),
    "approval v": "1c",
  };
  const number = (name: string) => Number.parseInt(values[name]!, 16);
  const pay = {
    again: true,
    channelTag: number("channel tag"),
    maxClaimable: number("maxClaimable"),
    register: number("register"),
    signature,
  };
  const approval = encodeApproval({
    kind: "erc20",
    approvedAtomic: number("approved"),
    nonce: number("approval nonce"),
    maxFeePerGas: number("max fee"),
    maxPriorityFeePerGas: number("priority fee"),
    signature: Uint8Array.from({ length: 65 }, (_, index) => (index < 32 ? 0xcc : index < 64 ? 0xdd : 28)),
  });
  const validBeforeSeconds = number("valid before");
  const approved = { ...pay, validBeforeSeconds, signature: Uint8Array.from([...signature, ...approval]) };
  const frames: [string, Uint8Array][] = [
    ["bytes of approved PAY", encodePay(approved)],
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

test("its codes of CONNACK are those that the brokers give, all of them", () => {
  const given = Object.values(connack).filter((code) => typeof code === "number");
  expect(table("CONNACK").map(([code]) => Number(code))).toEqual(given.sort());
});

test("it names every member of the vectors, and none that is not there", () => {
  const named = table("member of vectors.json").flatMap(([members]) => members!.split(", "));
  expect(named.sort()).toEqual(Object.keys(VECTORS).sort());
});

test("its login is the one whose signature the vectors hold, and its contracts and bounds are the code's", () => {
  const [, text] = /```text\n([\s\S]*?)\n {2}```/.exec(SPECIFICATION) ?? [];
  const lines = text!.split("\n").map((line) => line.trim());
  const { device, gateway, login } = VECTORS;
  expect(lines).toEqual([
    "watt402 login",
    `device ${device.address}`,
    `gateway ${gateway.address}`,
    `time ${login.wallSeconds}`,
  ]);
  const signed = recoverMessageAddress({
    message: lines.join("\n"),
    signature: login.token.split(".")[1] as Hex,
  });
  expect(SPECIFICATION).toContain(BATCH_SETTLEMENT_ADDRESS);
  expect(SPECIFICATION).toContain(DEPOSIT_COLLECTOR_ADDRESS);
  expect(SPECIFICATION).toContain(`nests at most ${NESTING_MAX} deep`);
  return expect(signed.then((address) => address.toLowerCase())).resolves.toBe(device.address);
});

test("its EIP-712 types are those that any implementation gets the vectors' digests from", () => {
  const written = new Map(table("EIP-712").map(([what, type]) => [what, type!]));
  const struct = (what: string) => {
    const [, name, members] = /^(\w+)\((.*)\)$/.exec(written.get(what)!)!;
    const fields = members!.split(",").map((member) => {
      const [type, field] = member.split(" ");
      return { type: type!, name: field! };
    });
    return { primaryType: name!, types: { [name!]: fields } };
  };
  const [name, version] = written.get("domain of batch-settlement")!.split(", ");
  const domain = {
    name: name!,
    version: version!,
    chainId: VECTORS.chainId,
    verifyingContract: BATCH_SETTLEMENT_ADDRESS,
  };
  const { channel, voucher, exact } = VECTORS;
  expect(hashTypedData({ domain, ...struct("channel"), message: channel.config })).toBe(channel.id);
  const { channelId, maxClaimable } = voucher;
  const rung = { channelId, maxClaimableAmount: maxClaimable };
  expect(hashTypedData({ domain, ...struct("voucher"), message: rung })).toBe(voucher.digest);
  const { address, ...token } = exact.token;
  const { validBeforeSeconds, ...authorization } = exact.authorization;
  const transfer = hashTypedData({
    domain: { ...token, verifyingContract: address as Hex },
    ...struct("authorization"),
    message: { ...authorization, validAfter: 0, validBefore: validBeforeSeconds },
  });
  expect(transfer).toBe(exact.digest);

  const { permit2 } = VECTORS;
  const under = written.get("domain of Permit2")!.split(", ");
  const named = {
    name: under[0]!,
    chainId: VECTORS.chainId,
    verifyingContract: under[3]!.split(" ")[0] as Hex,
  };
  for (const found of [permit2.exact, permit2.upto]) {
    const {
      witness,
      token: permitted,
      amountAtomic: amount,
      nonce,
      deadlineSeconds: deadline,
    } = found.permit;
    const permit = hashTypedData({
      domain: named,
      primaryType: "PermitWitnessTransferFrom",
      types: {
        ...struct("permit").types,
        ...struct("tokens of a permit").types,
        ...struct(`witness of ${witness.kind}`).types,
      },
      message: {
        permitted: { token: permitted, amount },
        spender: found.spender,
        nonce: BigInt(nonce),
        deadline,
        witness: { ...witness, validAfter: 0 },
      },
    });
    expect(permit).toBe(found.digest);
    expect(SPECIFICATION).toContain(found.spender);
  }
  const { amountAtomic: value, deadlineSeconds: deadline, ...approval } = permit2.eip2612.permit;
  const approved = hashTypedData({
    domain: { ...token, verifyingContract: address as Hex },
    ...struct("approval"),
    message: { ...approval, value, deadline, spender: named.verifyingContract },
  });
  expect(approved).toBe(permit2.eip2612.digest);
});
