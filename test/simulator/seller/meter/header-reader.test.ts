// A header is read as a parser of the whole would read it, whatever was read before.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HeaderReader } from "#simulator/seller/scheme/header-reader";
import { presentedVoucher } from "#simulator/seller/scheme/presented-voucher";

const digits = (length: number) =>
  fc
    .uint8Array({ minLength: length, maxLength: length })
    .map((bytes) => `0x${Buffer.from(bytes).toString("hex")}`);
const voucher = fc.record({
  channelId: digits(32),
  maxClaimableAmount: fc.integer({ min: 0 }).map(String),
  signature: digits(65),
});
const config = fc.record({
  payer: digits(20),
  payerAuthorizer: digits(20),
  receiver: digits(20),
  receiverAuthorizer: digits(20),
  token: digits(20),
  withdrawDelay: fc.integer({ min: 900, max: 2_592_000 }),
  salt: digits(32),
});
const accepted = {
  scheme: "batch-settlement",
  network: "eip155:31337",
  amount: "100",
  extra: { name: "USD" },
};

type Voucher = typeof voucher extends fc.Arbitrary<infer Shape> ? Shape : never;
type Config = typeof config extends fc.Arbitrary<infer Shape> ? Shape : never;

/** Ways to write a payment; in some the first voucher of the text is not the payment's. */
const FORMS: readonly ((channelConfig: Config, one: Voucher, other: Voucher) => string)[] = [
  (channelConfig, one) => json({ payload: { type: "voucher", channelConfig, voucher: one }, accepted }),
  (channelConfig, one) => json({ accepted, payload: { voucher: one, type: "voucher", channelConfig } }),
  (channelConfig, one) =>
    JSON.stringify(
      { x402Version: 2, accepted, payload: { type: "voucher", channelConfig, voucher: one } },
      null,
      1,
    ),
  (channelConfig, one, other) =>
    json({
      extensions: { voucher: other },
      accepted,
      payload: { type: "voucher", channelConfig, voucher: one },
    }),
  (channelConfig, one, other) =>
    json({
      payload: { type: "voucher", channelConfig, voucher: one },
      accepted,
      extensions: { voucher: other },
    }),
  (channelConfig, one, other) =>
    json({
      extensions: { voucher: other },
      accepted,
      payload: { type: "voucher", channelConfig, voucher: one },
    }).replace('"voucher":{"channelId"', '"vouche\\u0072":{"channelId"'),
  (channelConfig, one, other) =>
    `{"x402Version":2,"accepted":${JSON.stringify(accepted)},"payload":{"type":"voucher","channelConfig":${JSON.stringify(
      channelConfig,
    )},"voucher":${JSON.stringify(other)},"voucher":${JSON.stringify(one)}}}`,
  (channelConfig, one) => json({ payload: { type: "deposit", channelConfig, voucher: one }, accepted }),
  (channelConfig, one) => json({ payload: { type: "voucher", channelConfig, voucher: one } }),
  (_, one) => `"voucher":${JSON.stringify(one)}`,
  () => '"voucher":',
  () => "",
];

function json(payment: object): string {
  return JSON.stringify({ x402Version: 2, ...payment });
}

describe("a payment header", () => {
  test("is read as its whole JSON says, at first and again with another voucher", () => {
    const reader = new HeaderReader();
    let read = 0;
    fc.assert(
      fc.property(
        fc.nat(FORMS.length - 1),
        config,
        voucher,
        voucher,
        voucher,
        (form, ...[terms, other, ...rungs]) => {
          for (const rung of rungs) {
            const text = FORMS[form]!(terms, rung, other);
            const found = reader.read(Buffer.from(text).toString("base64"));
            expect(found).toEqual(parsed(text));
            if (found !== undefined) read += 1;
          }
        },
      ),
      { numRuns: 500 },
    );
    expect(read).toBeGreaterThan(200);
  });

  test("of no base64, or in capital digits, is read or left alike", () => {
    const reader = new HeaderReader();
    expect(reader.read("not base64 of anything")).toBeUndefined();
    const [terms, rung] = fc.sample(fc.tuple(config, voucher), 1)[0]!;
    const capital = { ...rung, signature: `0x${rung.signature.slice(2).toUpperCase()}` };
    const text = FORMS[0]!(terms, capital, rung);
    expect(reader.read(Buffer.from(text).toString("base64"))).toEqual(parsed(text));
  });
});

function parsed(text: string): unknown {
  try {
    return presentedVoucher(JSON.parse(text));
  } catch {
    return undefined;
  }
}
