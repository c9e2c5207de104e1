// A seller that meters by itself charges a share of each voucher: once, whoever presents it, and for whatever quantum.

import { decodePaymentSignatureHeader, encodePaymentSignatureHeader } from "@x402/core/http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SCHEME_SERVERS } from "#simulator/seller/scheme/scheme-server";
import { type Ground, prepareGround, present, signPayment } from "./fixtures.ts";

describe.each(SCHEME_SERVERS)("a seller that charges 37 of 100, served by the %s scheme", (schemeServer) => {
  let ground: Ground;
  let url: string;
  beforeAll(async () => {
    ground = await prepareGround({ schemeServer, chargePercent: 37, menu: [63, 100] });
    url = (await ground.start()).url;
  });
  afterAll(() => ground.stop());

  test("sells to the stock client voucher after voucher, and says in its tariff that it is metered", async () => {
    expect(await (await fetch(`${url}/v1/tariff`)).json()).toMatchObject({ metered: true });
    const buyer = (await ground.payer()).batch();
    await buyer.fetch(`${url}/v1/energy?quantum=100`, { method: "POST" }).then((answer) => answer.text());
    for (const charged of [74, 111]) {
      const headers = await signPayment(url, 100, buyer);
      const bought = await buyer.fetch(`${url}/v1/energy?quantum=100`, { method: "POST" });
      const body = (await bought.json()) as Record<string, unknown>;
      expect([bought.status, body]).toMatchObject([200, { charged, granted: (charged * 1e6) / 200_000 }]);
      expect((await present(url, 100, headers)).body).toEqual(body);
    }
  });

  // The official scheme server knows a voucher by its amount alone.
  const own = test.skipIf(schemeServer === "official");
  own("charges a voucher once, also when it would fit a smaller quantum on top of its part", async () => {
    const buyer = (await ground.payer()).batch();
    await buyer.fetch(`${url}/v1/energy?quantum=100`, { method: "POST" }).then((answer) => answer.text());
    const headers = await signPayment(url, 100, buyer);
    const { body } = await present(url, 100, headers);
    const payment = decodePaymentSignatureHeader(headers["PAYMENT-SIGNATURE"]!);
    const smaller = { ...payment, accepted: { ...payment.accepted, amount: "63" } };
    const header = { "PAYMENT-SIGNATURE": encodePaymentSignatureHeader(smaller) };
    expect((await present(url, 63, header)).status).toBe(402);
    const account = await (await fetch(`${url}/v1/accounts/${body.account}`)).json();
    expect(account).toMatchObject({ charged: 74, signedMaxClaimable: 137 });
  });
});
