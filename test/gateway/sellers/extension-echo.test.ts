// What a 402 declares comes back with the payment, as the official server compares it; an identifier names one payment.

import { x402ResourceServer } from "@x402/core/server";
import {
  declarePaymentIdentifierExtension,
  validatePaymentIdentifierRequirement,
} from "@x402/extensions/payment-identifier";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ExtensionEcho, echoTrouble, presentPayment } from "#gateway/sellers/client/extension-echo";
import { chooseRequirements } from "#gateway/sellers/client/requirements";
import type { Answer, Http } from "#gateway/sellers/client/seller-http";
import type { PaymentToken } from "#protocol/payment-token";
import type { PaymentPayload, PaymentRequired } from "#protocol/x402";
import { NETWORK, requirementsOf, TOKEN } from "../purchase/fixtures.ts";

const URL = "http://seller/energy";
const RESOURCE = { method: "POST", url: URL } as const;
const official = new x402ResourceServer([]);

type Extensions = PaymentRequired["extensions"];

function requiredWith(extensions: Extensions, accepts = [requirementsOf("exact", 100)]): PaymentRequired {
  const required = { x402Version: 2, resource: { url: URL }, accepts } as PaymentRequired;
  return extensions === undefined ? required : { ...required, extensions };
}

function voucherOf(channelId: string, maxClaimableAmount: number): PaymentPayload {
  const voucher = { channelId, maxClaimableAmount: String(maxClaimableAmount), signature: "0x11" };
  const payload = { type: "voucher", channelConfig: {}, voucher };
  return { x402Version: 2, accepted: requirementsOf("exact", 100), payload } as unknown as PaymentPayload;
}

/** A seller that answers in turn; what it was sent. */
function sellerOf(answers: readonly Answer[]) {
  const sent: PaymentPayload[] = [];
  const http: Http = {
    async call(_method, _url, header) {
      sent.push(JSON.parse(Buffer.from(String(header), "base64").toString()) as PaymentPayload);
      return answers[Math.min(sent.length, answers.length) - 1]!;
    },
    close: async () => {},
  };
  return { http, sent };
}

const PAID: Answer = { kind: "paid", status: 200, body: "{}", receipt: null };
const unpaid = (required: PaymentRequired): Answer => ({ kind: "payment-required", required, error: "" });

async function echoed(extensions: Extensions, payment: PaymentPayload, charged: number) {
  const echo = new ExtensionEcho();
  const { http, sent } = sellerOf([PAID]);
  echo.heard(URL, requiredWith(extensions));
  await presentPayment(http, echo, RESOURCE, payment, charged);
  return sent[0]!;
}

test("whatever a seller declares, the official server accepts the echo as unchanged", async () => {
  // The official server looks a name up in an object of its own: "constructor" is found there.
  const name = fc.string({ minLength: 1 }).filter((key) => !(key in {}));
  const extensions = fc.dictionary(name, fc.jsonValue({ maxDepth: 4 }), {
    maxKeys: 4,
  });
  await fc.assert(
    fc.asyncProperty(extensions, async (declared) => {
      fc.pre(echoTrouble(requiredWith(declared)) === "");
      // As it comes over the wire: JSON has no -0 and no undefined.
      const required = JSON.parse(JSON.stringify(requiredWith(declared))) as PaymentRequired;
      const payment = await echoed(required.extensions, voucherOf("0xab", 100), 0);
      expect(official.validateExtensions(required, payment)).toEqual({ valid: true });
    }),
    { numRuns: 500 },
  );
});

test("a required identifier is given: the same when a payment is presented again, another for any other payment", async () => {
  const declared = { "payment-identifier": declarePaymentIdentifierExtension(true) };
  const identifiers = new Set<unknown>();
  const payments = [
    ["0xaa", 100, 0],
    ["0xaa", 200, 100],
    ["0xaa", 200, 137],
    ["0xab", 100, 0],
  ] as const;
  for (const [channelId, maxClaimable, charged] of payments) {
    const first = await echoed(declared, voucherOf(channelId, maxClaimable), charged);
    expect(official.validateExtensions(requiredWith(declared), first)).toEqual({ valid: true });
    expect(validatePaymentIdentifierRequirement(first, true)).toEqual({ valid: true });
    expect((await echoed(declared, voucherOf(channelId, maxClaimable), charged)).extensions).toEqual(
      first.extensions,
    );
    identifiers.add(JSON.stringify(first.extensions));
  }
  expect(identifiers.size).toBe(payments.length);
  const authorization = (nonce: string) =>
    ({ ...voucherOf("0xaa", 1), payload: { signature: "0x", authorization: { nonce } } }) as PaymentPayload;
  const [one, again, two] = await Promise.all(
    ["0x01", "0x01", "0x02"].map((nonce) => echoed(declared, authorization(nonce), 5)),
  );
  expect(validatePaymentIdentifierRequirement(one!, true)).toEqual({ valid: true });
  expect(again!.extensions).toEqual(one!.extensions);
  expect(two!.extensions).not.toEqual(one!.extensions);
});

test("what this gateway adds is not kept: an identifier that the seller wrote itself comes back as it was", async () => {
  const declared = { "payment-identifier": { info: { required: true, id: "chosen-by-the-seller" } } };
  expect((await echoed(declared, voucherOf("0xaa", 100), 0)).extensions).toEqual(declared);
});

test("a seller that declares something new is answered with it once, and never in a circle", async () => {
  const echo = new ExtensionEcho();
  const [first, second, third] = ["a", "b", "c"].map((info) => requiredWith({ bazaar: { info } }));
  echo.heard(URL, first!);
  const { http, sent } = sellerOf([unpaid(second!), unpaid(third!), PAID]);
  expect(await presentPayment(http, echo, RESOURCE, voucherOf("0xaa", 100), 0)).toMatchObject({
    required: third,
  });
  expect(sent.map(({ extensions }) => extensions)).toEqual([first!.extensions, second!.extensions]);
  const same = sellerOf([unpaid(second!), PAID]);
  await presentPayment(same.http, echo, RESOURCE, voucherOf("0xaa", 100), 0);
  expect(same.sent).toHaveLength(1);
});

test("extensions too long for a header are named, and nothing is bought on such terms", () => {
  const required = requiredWith({ bazaar: { info: "x".repeat(6_000) } });
  const payable = { schemes: ["exact"] as const, tokens: [{ network: NETWORK, asset: TOKEN }] };
  expect(chooseRequirements(required, payable)).toEqual({
    requirements: null,
    reason: "expected extensions of at most 6000 characters, found 6022",
    isUnpayable: true,
  });
});

const ENTRY = fc.record({
  scheme: fc.constantFrom("exact", "batch-settlement", "upto", "auth-capture"),
  network: fc.constantFrom(NETWORK, "eip155:8453", "base-sepolia", "solana:mainnet"),
  asset: fc.constantFrom(TOKEN, TOKEN.toUpperCase().replace("0X", "0x"), `0x${"99".repeat(20)}`),
  amount: fc.constantFrom("99", "100", "101", "0", "-1", "1e3", "9007199254740993", "2.5", ""),
  extra: fc.record(
    {
      name: fc.constantFrom("USD Coin", "GatewayWalletBatched"),
      version: fc.constantFrom("1", "2"),
      assetTransferMethod: fc.constantFrom("eip3009", "permit2"),
      verifyingContract: fc.constantFrom(TOKEN, `0x${"99".repeat(20)}`, `0x${"77".repeat(20)}`, 7, null),
    },
    { requiredKeys: [] },
  ),
});

const OTHER = `0x${"99".repeat(20)}`;
/** What an operator may allow, in any order of preference: two tokens of a chain, and one address on two chains. */
const ALLOWED = [
  { network: NETWORK, asset: TOKEN },
  { network: NETWORK, asset: OTHER },
  { network: "eip155:8453", asset: TOKEN },
];

test("of forty entries the cheapest that policy allows is taken, by the preferred scheme and token, and none for another contract", () => {
  const schemes = ["batch-settlement", "exact"] as const;
  const policies = fc.shuffledSubarray(ALLOWED, { minLength: 1 });
  fc.assert(
    fc.property(fc.array(ENTRY, { maxLength: 40 }), policies, (entries, tokens) => {
      const accepts = entries.map((entry) => ({ ...requirementsOf("exact", 1), ...entry }));
      const required = requiredWith(undefined, accepts as PaymentRequired["accepts"]);
      const { requirements } = chooseRequirements(required, { schemes, tokens });
      const isOf = (token: PaymentToken, { network, asset }: PaymentToken) =>
        network === token.network && asset.toLowerCase() === token.asset;
      const allowed = entries.filter(
        ({ asset, amount, extra }) =>
          /^(99|100|101)$/.test(amount) &&
          extra.name !== undefined &&
          extra.version !== undefined &&
          extra.assetTransferMethod !== "permit2" &&
          (extra.verifyingContract === undefined || extra.verifyingContract === asset.toLowerCase()),
      );
      const wanted = schemes.flatMap((scheme) => tokens.map((token) => ({ scheme, token })));
      const groups = wanted.map(({ scheme, token }) =>
        allowed.filter((entry) => entry.scheme === scheme && isOf(token, entry)),
      );
      const taken = groups.findIndex((group) => group.length > 0);
      if (taken < 0) {
        expect(requirements).toBeNull();
        return;
      }
      // Amounts of two tokens are never compared: a dearer one in the token that is preferred goes first.
      const lowest = Math.min(...groups[taken]!.map(({ amount }) => Number(amount)));
      const { scheme, token } = wanted[taken]!;
      expect(requirements).toMatchObject({ scheme, network: token.network, amount: String(lowest) });
      expect(requirements!.asset.toLowerCase()).toBe(token.asset);
    }),
    { numRuns: 100_000 },
  );
});

test.each([
  [{ network: "base" }, "on base (a name of x402 version 1; expected CAIP-2, as eip155:8453)"],
  [{ amount: "1000000000000000000" }, "amount 1000000000000000000 above 9007199254"],
  [{ amount: "9007199254740993" }, "amount 9007199254740993 above 9007199254"],
  [{ scheme: "auth-capture" }, "found auth-capture by eip3009"],
])("what cannot be paid is named: %j", (patch, told) => {
  const accepts = [{ ...requirementsOf("exact", 1), ...patch }] as PaymentRequired["accepts"];
  const payable = { schemes: ["exact"] as const, tokens: [{ network: NETWORK, asset: TOKEN }] };
  const { requirements, reason } = chooseRequirements(requiredWith(undefined, accepts), payable);
  expect(requirements).toBeNull();
  expect(reason).toContain(told);
});
