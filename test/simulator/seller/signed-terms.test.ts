/** A seller that signs its terms, asked by the stock client and judged by what it has signed. */
import { decodePaymentRequiredHeader } from "@x402/core/http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { judge } from "#market/judge";
import { priceAt, readPriceSeries } from "#market/price-series";
import { offerSigner, readSignedOffer, termsHashIn } from "#market/signed-offer";
import { readTerms, termsHash } from "#market/terms-of-sale";
import { readSignedReceipt } from "#market/usage-receipt";
import { flatTariff, seriesTariff } from "#simulator/seller/sale/tariff";
import { type Ground, prepareGround } from "./fixtures.ts";

const START = 1_800_000_000;

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround({ signsTerms: true, menu: [10, 100] });
});
afterAll(() => ground.stop());

async function json(url: string, init?: RequestInit): Promise<Record<string, unknown>> {
  return (await (await fetch(url, init)).json()) as Record<string, unknown>;
}

async function offered(url: string, quantum = 100) {
  const answer = await fetch(`${url}/v1/energy?quantum=${quantum}`, { method: "POST" });
  const required = decodePaymentRequiredHeader(answer.headers.get("PAYMENT-REQUIRED")!);
  const { info } = required.extensions!["offer-receipt"] as { info: { offers: unknown[] } };
  const hash = termsHashIn(readSignedOffer(info.offers[0])!.payload.resourceUrl)!;
  const document = await json(`${url}/v1/terms/${hash}`);
  const { terms } = readTerms(document.terms);
  return { required, offers: info.offers.map((offer) => readSignedOffer(offer)!), hash, terms: terms! };
}

describe("a seller that signs its terms", () => {
  it("offers each way to pay under its signature, and the terms that the offer names are those it hands out", async () => {
    const { url, receiver } = await ground.start();
    const { required, offers, hash, terms } = await offered(url);
    expect(offers).toHaveLength(required.accepts.length);
    for (const [at, offer] of offers.entries()) {
      const { scheme, network, asset, payTo, amount } = required.accepts[at]!;
      expect(offer).toMatchObject({ acceptIndex: at, payload: { scheme, network, asset, payTo, amount } });
      expect(offerSigner(offer)).toBe(receiver.toLowerCase());
      expect(termsHashIn(offer.payload.resourceUrl)).toBe(hash);
    }
    expect(termsHash(terms)).toBe(hash);
    expect(terms).toMatchObject({ unit: "mWh", quantaAtomic: [10, 100], metered: false });
    expect(await json(`${url}/v1/terms/0x12`)).toEqual({ error: "no terms 0x12" });
  });

  it("sells to the stock client, and a judge has nothing against it by its receipts", async () => {
    const { url } = await ground.start();
    const buyer = (await ground.payer()).batch();
    const receipts = [];
    for (const charged of [100, 200]) {
      const bought = await buyer.fetch(`${url}/v1/energy?quantum=100`, { method: "POST" });
      const { account } = (await bought.json()) as { account: string };
      const signed = await json(`${url}/v1/accounts/${account}/receipt?register=7`, { method: "POST" });
      receipts.push(readSignedReceipt(signed)!);
      expect(receipts.at(-1)!.receipt).toMatchObject({ charged, granted: charged * 5, register: 7 });
    }
    const { terms, offers } = await offered(url);
    const evidence = { receipts, channels: [], chain: [], sellersKeys: [] };
    const { convictions, missing } = judge({ ...evidence, offered: [{ terms, offer: offers[0]! }] });
    expect(convictions).toEqual([]);
    expect(missing).toEqual(receipts.map(() => expect.stringContaining("the device's signature")));
  });

  it("signs no receipt for a channel that it does not know, or for a register that is none", async () => {
    const { url } = await ground.start();
    const ask = (id: string, query: string) =>
      fetch(`${url}/v1/accounts/${id}/receipt${query}`, { method: "POST" }).then(({ status }) => status);
    expect(await ask(`0x${"12".repeat(32)}`, "?register=1")).toBe(404);
    for (const odd of ["", "?register=", "?register=-1", "?register=1e9", "?register=999999999999999"])
      expect(await ask(`0x${"12".repeat(32)}`, odd)).toBe(400);
  });

  it("contradicts none of its receipts when its clock is set back, though it is started again meanwhile", async () => {
    let nowSeconds = START;
    const fixed = { clock: { nowSeconds: () => nowSeconds }, dataDirectory: await ground.directory() };
    let seller = await ground.start(fixed);
    const buyer = (await ground.payer()).batch();
    const offered = [];
    const receipts = [];
    for (const later of [100, 300, 200, "again", 50, 86_400, 20]) {
      if (typeof later === "string") {
        await seller.stop();
        seller = await ground.start({ ...fixed, port: Number(new URL(seller.url).port) });
        receipts.length = 0;
        continue;
      }
      nowSeconds = START + later;
      const bought = await buyer.fetch(`${seller.url}/v1/energy?quantum=100`, { method: "POST" });
      const { account } = (await bought.json()) as { account: string };
      const asked = `${seller.url}/v1/accounts/${account}/receipt?register=7`;
      const signed = readSignedReceipt(await json(asked, { method: "POST" }))!;
      const document = await json(`${seller.url}/v1/terms/${signed.receipt.termsHash}`);
      offered.push({ terms: readTerms(document.terms).terms!, offer: readSignedOffer(document.offer)! });
      receipts.push(signed);
      const evidence = { channels: [], chain: [], sellersKeys: [] };
      expect(judge({ ...evidence, offered, receipts }).convictions).toEqual([]);
    }
  });

  it("sells until the end of its terms at what it has signed, though it is started again with another tariff", async () => {
    let nowSeconds = START;
    const clock = { nowSeconds: () => nowSeconds };
    const dataDirectory = await ground.directory();
    const steps = [
      { startSeconds: START, pricePerMillionUnits: 100_000 },
      { startSeconds: START + 3_600, pricePerMillionUnits: 300_000 },
    ];
    const first = await ground.start({ clock, dataDirectory, tariff: seriesTariff(steps) });
    const { terms } = await offered(first.url);
    expect([priceAt(terms, START), priceAt(terms, START + 3_600)]).toEqual([100_000, 300_000]);
    await first.stop();
    const again = await ground.start({ clock, dataDirectory, tariff: flatTariff(900_000) });
    const { series } = readPriceSeries(await json(`${again.url}/v1/prices`));
    const ahead = [0, 3_600, terms.untilSeconds - START, 40 * 3_600];
    expect(ahead.map((later) => priceAt(series!, START + later))).toEqual([
      100_000, 300_000, 900_000, 900_000,
    ]);
    for (const [later, price] of [
      [0, 100_000],
      [3_600, 300_000],
      [terms.untilSeconds - START, 900_000],
    ] as const) {
      nowSeconds = START + later;
      expect(await json(`${again.url}/v1/tariff`)).toMatchObject({ pricePerMillionUnits: price });
    }
    expect((await offered(again.url)).terms.fromSeconds).toBe(terms.untilSeconds);
  });
});
