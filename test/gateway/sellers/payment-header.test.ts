// The header that a payment travels in is the official client's, byte for byte, whatever is kept between payments.

import { encodePaymentSignatureHeader } from "@x402/core/http";
import fc from "fast-check";
import { expect, test } from "vitest";
import { authorizationPayload, voucherPayload } from "#gateway/purchase/payload";
import type { ChannelRecord, DepositRecord } from "#gateway/purchase/ports";
import { ownPaymentHeader, paymentHeader } from "#gateway/sellers/client/payment-header";
import type { Pay } from "#protocol/frames";

const hex = (digits: number) => fc.stringMatching(new RegExp(`^0x[0-9a-f]{${digits}}$`));

const channels: fc.Arbitrary<ChannelRecord> = fc.record({
  id: hex(64),
  device: fc.constant("ab".repeat(20)),
  seller: fc.constant("grid"),
  resource: fc.webUrl({ withQueryParameters: true }),
  requirements: fc.record({
    scheme: fc.constant("batch-settlement" as const),
    network: fc.constant("eip155:31337"),
    amount: fc.constant("100"),
    asset: hex(40),
    payTo: hex(40),
    maxTimeoutSeconds: fc.nat(1_000),
    extra: fc.record({ name: fc.string(), version: fc.string({ unit: "binary" }) }),
  }),
  config: fc.record({
    payer: hex(40),
    payerAuthorizer: hex(40),
    receiver: hex(40),
    receiverAuthorizer: hex(40),
    token: hex(40),
    withdrawDelay: fc.nat(100_000),
    salt: hex(64),
  }),
  balance: fc.nat(),
  promised: fc.nat(),
  charged: fc.constant(0),
  signed: fc.constant(0),
  granted: fc.constant(0),
  revision: fc.nat(),
});

const payOf = (maxClaimable: number, fill: number): Pay => ({
  again: false,
  channelTag: 0,
  maxClaimable,
  register: 0,
  validBeforeSeconds: 0,
  signature: new Uint8Array(65).fill(fill),
});

test("vouchers one after the other, of any channel, at changing amounts and terms, are written as the official client writes them", () => {
  const step = fc.record({
    amount: fc.constantFrom(100, 100, 100, 50),
    fill: fc.nat(255),
    change: fc.constantFrom("none", "none", "resource", "requirements"),
  });
  fc.assert(
    fc.property(channels, fc.array(step, { minLength: 1, maxLength: 8 }), (first, steps) => {
      let channel = first;
      for (const { amount, fill, change } of steps) {
        if (change === "resource") channel = { ...channel, resource: `${channel.resource}x` };
        if (change === "requirements") {
          const { requirements } = channel;
          channel = { ...channel, requirements: { ...requirements, maxTimeoutSeconds: fill } };
        }
        const payload = voucherPayload(channel, payOf(channel.charged + amount, fill), null);
        expect(ownPaymentHeader(payload)).toBe(encodePaymentSignatureHeader(payload));
        channel = { ...channel, charged: channel.charged + amount };
      }
    }),
  );
});

test("deposits and authorizations are written so, too", () => {
  fc.assert(
    fc.property(channels, fc.nat(255), (channel, fill) => {
      const deposit: DepositRecord = {
        channelId: channel.id,
        index: 3,
        amountAtomic: 1_000,
        validBeforeSeconds: 1_800_000_000,
        signature: `0x${"12".repeat(65)}`,
        state: "intended",
        isNewcomer: false,
        token: "",
        atSeconds: 1,
      };
      const pay = payOf(100, fill);
      for (const payload of [voucherPayload(channel, pay, deposit), authorizationPayload(channel, pay)]) {
        expect(ownPaymentHeader(payload)).toBe(encodePaymentSignatureHeader(payload));
        expect(paymentHeader(payload)).toBe(encodePaymentSignatureHeader(payload));
      }
    }),
  );
});

test("a payload of somebody else is written as it is, whatever it holds", () => {
  const payload = {
    x402Version: 2,
    accepted: {} as never,
    payload: {
      type: "voucher",
      channelConfig: {},
      voucher: { signature: '"}', maxClaimableAmount: "1" },
      more: "ü",
    },
  };
  expect(paymentHeader(payload)).toBe(encodePaymentSignatureHeader(payload));
});
