/** A seller's signed terms bind it to its quote, or there is no quote; whatever is wrong with them is named. */
import { encodePaymentRequiredHeader } from "@x402/core/http";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { electricitySeller } from "#gateway/sellers/client/electricity-seller";
import { termsHashIn } from "#market/signed-offer";
import { type Terms, termsHash } from "#market/terms-of-sale";
import type { PaymentRequired } from "#protocol/x402";
import { CHANNEL, offerOf, SELLER, STRANGER, signedBy, termsOf } from "../../device/market/sale.ts";
import { openStandIn, type StandIn } from "./stand-in.ts";

const OPTION = {
  scheme: "batch-settlement",
  network: "eip155:84532",
  asset: `0x${"aa".repeat(20)}`,
  payTo: SELLER.address,
  amount: "100",
  maxTimeoutSeconds: 60,
  extra: { name: "USD Coin", version: "2" },
} as unknown as PaymentRequired["accepts"][number];
const PRICE = 200_000;

let standIn: StandIn;
/** What the seller answers: its 402's offers, its documents by path, its tariff. */
let offers: readonly unknown[] = [];
let documents: Record<string, unknown> = {};
beforeAll(async () => {
  standIn = await openStandIn((request, response) => {
    const path = request.url!.split("?")[0]!.replace(/^\/energy/, "");
    const found = documents[path];
    if (path !== "/v1/energy") {
      response.writeHead(found === undefined ? 404 : 200, { "content-type": "application/json" });
      return response.end(JSON.stringify(found ?? {}));
    }
    const extensions = { "offer-receipt": { info: { offers }, schema: {} } };
    const required = { x402Version: 2, resource: { url: standIn.url }, accepts: [OPTION], extensions };
    const header = encodePaymentRequiredHeader(required as never);
    return response.writeHead(402, { "payment-required": header }).end("{}");
  });
});
afterAll(() => standIn.close());

const payable = { schemes: ["batch-settlement"] as const, tokens: [OPTION] };
const open = (keys: readonly string[] = []) =>
  electricitySeller(standIn.http, standIn.url, payable, undefined, keys);

const bound = (changes: Partial<Terms> = {}) =>
  termsOf({ api: standIn.url, price: [[1_800_000_000, PRICE]], ...changes });
const offered = (terms: Terms, changes: object = {}, key = SELLER) =>
  offerOf(terms, { amount: "100", ...changes }, key);

function serve(one: ReturnType<typeof offered>): void {
  offers = [one.offer];
  documents[`/v1/terms/${termsHash(one.terms)}`] = one;
}

beforeEach(() => {
  offers = [];
  documents = {
    "/v1/tariff": {
      unit: "mWh",
      pricePerMillionUnits: PRICE,
      validUntilSeconds: 1_800_086_400,
      menu: [10, 100],
    },
  };
});

async function quoted(keys: readonly string[] = []) {
  const seller = open(keys);
  await seller.tariff();
  return seller.quote(100);
}

describe("a quote", () => {
  it("carries the terms that its seller has signed, named in the resource that is paid for", async () => {
    serve(offered(bound()));
    const { quote } = await quoted();
    expect(quote!.offered!.terms).toEqual(bound());
    expect(termsHashIn(quote!.resource)).toBe(termsHash(bound()));
  });

  it("of a seller that signs nothing, or offers without terms of ours, is as it always was", async () => {
    expect((await quoted()).quote).toMatchObject({ resource: `${standIn.url}/v1/energy?quantum=100` });
    offers = [offered(bound(), { resourceUrl: `${standIn.url}/v1/energy` }).offer, { format: "jws" }];
    expect((await quoted()).quote).not.toHaveProperty("offered");
  });

  it("is taken by a key that the operator named, and by no other", async () => {
    serve(offered(bound(), {}, STRANGER));
    const { quote, reason } = await quoted();
    expect(quote).toBeNull();
    expect(reason).toContain(`expected an offer signed by ${SELLER.address}`);
    expect((await quoted([STRANGER.address])).quote).toHaveProperty("offered");
    // The document is the payee's own; what is asked now is not.
    serve(offered(bound()));
    offers = [offered(bound(), {}, STRANGER).offer];
    expect((await quoted()).quote).toBeNull();
  });

  it.each<[string, () => void, string]>([
    ["of something else", () => serve(offered(bound(), { amount: "10" })), "an offer of what is asked"],
    [
      "whose document is not handed out",
      () => {
        offers = [offered(bound()).offer];
      },
      "HTTP 404",
    ],
    [
      "whose document is another",
      () => {
        serve(offered(bound()));
        documents[`/v1/terms/${termsHash(bound())}`] = offered(bound({ metered: true }));
      },
      "found other terms",
    ],
    ["of another price", () => serve(offered(bound({ price: [[1, 999]] }))), "999 in its terms"],
    ["that are over", () => serve(offered(bound({ untilSeconds: 1_800_000_001 }))), "none in its terms"],
    ["of another API", () => serve(offered(bound({ api: "https://elsewhere.example" }))), "elsewhere"],
    ["that end another day", () => serve(offered(bound(), { validUntil: 1 })), "validUntil 1 in the offer"],
    [
      "that no schema knows",
      () => {
        serve(offered(bound()));
        documents[`/v1/terms/${termsHash(bound())}`] = { terms: { price: [] }, offer: {} };
      },
      "terms: ",
    ],
  ])("by terms %s is none, and says why", async (_what, lie, why) => {
    lie();
    const { quote, reason } = await quoted();
    expect(quote).toBeNull();
    expect(reason).toContain(why);
  });
});

describe("a receipt of use", () => {
  const receipt = (changes: object = {}) => ({
    ...{ channelId: CHANNEL, chainId: 84_532, charged: 100, granted: 500, register: 7 },
    ...{ toSeconds: 1_800_000_010, termsHash: termsHash(bound()) },
    ...changes,
  });
  const path = `/v1/accounts/${CHANNEL}/receipt`;
  const ask = () => open().receipt(CHANNEL, SELLER.address, 7);

  it("is taken under its payee's signature, with the terms that it names", async () => {
    serve(offered(bound()));
    documents[path] = signedBy(receipt(), SELLER, null);
    expect(await ask()).toMatchObject({ kind: "signed", offered: { terms: bound() }, reason: "" });
    documents = { [path]: signedBy(receipt(), SELLER, null) };
    expect(await ask()).toMatchObject({
      kind: "signed",
      offered: null,
      reason: expect.stringContaining("404"),
    });
  });

  it.each<[string, () => unknown]>([
    ["signed by a stranger", () => signedBy(receipt(), STRANGER, null)],
    ["of another channel", () => signedBy(receipt({ channelId: `0x${"01".repeat(32)}` }), SELLER, null)],
    ["of another register", () => signedBy(receipt({ register: 8 }), SELLER, null)],
    ["of counters that are none", () => ({ receipt: receipt({ charged: -1 }), seller: "0x", device: null })],
    ["that is no receipt", () => []],
  ])("%s is none", async (_what, made) => {
    documents[path] = made();
    expect(await ask()).toMatchObject({
      kind: "none",
      reason: expect.stringContaining("expected a receipt"),
    });
  });
});
