import {
  encodePaymentRequiredHeader,
  encodePaymentResponseHeader,
  encodePaymentSignatureHeader,
} from "@x402/core/http";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  HEADER_MAX,
  isPaymentPayload,
  type PaymentPayload,
  type PaymentRequired,
  readPaymentRequiredHeader,
  readPaymentResponseHeader,
} from "#protocol/x402";

const requirements = {
  scheme: "exact",
  network: "eip155:31337" as const,
  amount: "100",
  asset: `0x${"aa".repeat(20)}`,
  payTo: `0x${"bb".repeat(20)}`,
  maxTimeoutSeconds: 60,
  extra: { name: "USD Coin", version: "2" },
};
const required: PaymentRequired = {
  x402Version: 2,
  resource: { url: "http://seller.example/v1/energy", description: "energy", mimeType: "application/json" },
  accepts: [requirements],
};
const payload: PaymentPayload = {
  x402Version: 2,
  resource: required.resource,
  accepted: requirements,
  payload: { signature: "0x00" },
};
const settled = { success: true, transaction: "0x01", network: "eip155:31337" as const, payer: "0x02" };

const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64");

describe("x402 headers", () => {
  it("come back as the official package wrote them", () => {
    expect(readPaymentRequiredHeader(encodePaymentRequiredHeader(required))).toEqual({
      value: required,
      error: null,
    });
    expect(readPaymentResponseHeader(encodePaymentResponseHeader(settled))).toEqual({
      value: settled,
      error: null,
    });
    const header = encodePaymentSignatureHeader(payload);
    expect(JSON.parse(Buffer.from(header, "base64").toString())).toEqual(payload);
  });

  it("of another version, half an object or none at all are refused by name", () => {
    const wrong = [{}, [], null, 5, "x", { ...required, x402Version: 1 }, { ...required, accepts: "x" }];
    for (const value of wrong) {
      expect(readPaymentRequiredHeader(base64(value)).error).toMatch(/^payment-required: expected base64 of/);
    }
    for (const value of [{}, null, [], { ...settled, success: "yes" }, { success: true }]) {
      expect(readPaymentResponseHeader(base64(value)).error).toMatch(/^payment-response: expected base64 of/);
    }
  });

  it("beyond their bound are refused unread", () => {
    const error = readPaymentRequiredHeader("A".repeat(HEADER_MAX + 1)).error;
    expect(error).toBe("payment-required: expected at most 16384 characters, found 16385");
  });

  it("of garbage never throw, and the error stays short", () => {
    const garbage = fc.oneof(
      fc.string(),
      fc.base64String({ maxLength: 400 }),
      fc.json().map((json) => Buffer.from(json).toString("base64")),
    );
    fc.assert(
      fc.property(garbage, (header) => {
        for (const read of [readPaymentRequiredHeader(header), readPaymentResponseHeader(header)]) {
          expect(read.value === null).toBe(read.error !== null);
          expect((read.error ?? "").length).toBeLessThan(160);
        }
      }),
    );
  });
});

describe("payment payloads from devices", () => {
  it("are version 2 or refused", () => {
    expect(isPaymentPayload(payload)).toBe(true);
    for (const value of [
      null,
      undefined,
      1,
      "x",
      [],
      {},
      { ...payload, x402Version: 1 },
      { ...payload, accepted: 1 },
    ]) {
      expect(isPaymentPayload(value)).toBe(false);
    }
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(typeof isPaymentPayload(value)).toBe("boolean");
      }),
    );
  });
});
