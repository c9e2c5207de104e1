// The electricity API as its customers see it: the stock x402 client on a real chain.

import { decodePaymentRequiredHeader, decodePaymentResponseHeader } from "@x402/core/http";
import type { PaymentPayload, PaymentRequirements } from "@x402/core/types";
import { fastify } from "fastify";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tokenAbi } from "#simulator/chain/abi";
import { SCHEME_SERVERS } from "#simulator/seller/scheme/scheme-server";
import { facilitatorBeside, type Ground, PRICE, prepareGround, present, signPayment } from "./fixtures.ts";

describe.each(SCHEME_SERVERS)("served by the %s scheme", (schemeServer) => {
  let ground: Ground;
  beforeAll(async () => {
    ground = await prepareGround({ schemeServer });
  });
  afterAll(() => ground.stop());

  const balanceOf = (address: `0x${string}`) =>
    ground.chain.readContract({
      address: ground.contracts.token,
      abi: tokenAbi,
      functionName: "balanceOf",
      args: [address],
    });

  describe("buying energy", () => {
    test("a stock client opens a channel, pays by voucher, and is granted energy at the tariff", async () => {
      const utility = await ground.start();
      const payer = await ground.payer();
      const buyer = payer.batch();
      for (let rung = 1; rung <= 5; rung += 1) {
        const response = await buyer.fetch(`${utility.url}/v1/energy?quantum=100`, { method: "POST" });
        expect(response.status).toBe(200);
        const body = (await response.json()) as Record<string, number>;
        expect(body).toMatchObject({ charged: rung * 100, granted: (rung * 100 * 1_000_000) / PRICE });
        expect(body.pricePerMillionUnits).toBe(PRICE);
        const receipt = decodePaymentResponseHeader(response.headers.get("PAYMENT-RESPONSE")!);
        expect(receipt.success).toBe(true);
        expect(receipt.transaction === "").toBe(rung > 1);
      }
      const before = await balanceOf(utility.receiver);
      const report = await utility.stop();
      expect(report).toMatchObject({
        claims: { transactions: 1, channels: 1 },
        settles: { transactions: 1, amountAtomic: 500 },
        deposits: { transactions: 1 },
        interrupted: undefined,
      });
      expect(report.deposits.gas).toBeGreaterThan(50_000);
      expect((await balanceOf(utility.receiver)) - before).toBe(500n);
    });

    test("a stock client pays each purchase by exact and is granted the same energy", async () => {
      const utility = await ground.start();
      const payer = await ground.payer();
      const buyer = payer.exact();
      const before = await balanceOf(utility.receiver);
      for (let purchase = 1; purchase <= 3; purchase += 1) {
        const response = await buyer.fetch(`${utility.url}/v1/energy?quantum=50`, { method: "POST" });
        expect(response.status).toBe(200);
        expect(await response.json()).toMatchObject({
          account: payer.address.toLowerCase(),
          charged: purchase * 50,
          granted: (purchase * 50 * 1_000_000) / PRICE,
        });
      }
      expect((await balanceOf(utility.receiver)) - before).toBe(150n);
      const report = await utility.stop();
      expect(report).toMatchObject({
        exact: { transactions: 3, amountAtomic: 150 },
        claims: { transactions: 0 },
      });
    });

    test("a voucher presented again, even by a thousand at once, is charged once and answered alike", async () => {
      const utility = await ground.start();
      const buyer = (await ground.payer()).batch();
      await buyer.fetch(`${utility.url}/v1/energy?quantum=100`, { method: "POST" });
      const headers = await signPayment(utility.url, 100, buyer);
      const answers = await Promise.all(
        Array.from({ length: 1_000 }, () => present(utility.url, 100, headers)),
      );
      for (const answer of answers) expect(answer).toEqual(answers[0]);
      expect(answers[0]).toMatchObject({ status: 200, body: { charged: 200 } });
      expect(await present(utility.url, 100, headers)).toEqual(answers[0]);
      await utility.stop();
    });
  });

  describe("the terms", () => {
    test("offer batch-settlement first and exact second, for the quantum asked for", async () => {
      const utility = await ground.start({ menu: [7, 70], minDepositAtomic: 50 });
      const tariff = await (await fetch(`${utility.url}/v1/tariff`)).json();
      expect(tariff).toMatchObject({ unit: "mWh", pricePerMillionUnits: PRICE, menu: [7, 70] });
      const unpaid = await present(utility.url, 70, {});
      expect(unpaid.status).toBe(402);
      const { accepts } = decodePaymentRequiredHeader(unpaid.required!);
      expect(accepts.map((one) => [one.scheme, one.amount])).toEqual([
        ["batch-settlement", "70"],
        ["exact", "70"],
      ]);
      expect(accepts[0]!.extra).toMatchObject({ minDeposit: "70", withdrawDelay: 86_400 });
      expect((await fetch(`${utility.url}/livez`)).status).toBe(200);
      await utility.stop();
    });

    test("offer only the scheme configured", async () => {
      const utility = await ground.start({ schemes: ["exact"] });
      const { accepts } = decodePaymentRequiredHeader((await present(utility.url, 10, {})).required!);
      expect(accepts.map((one) => one.scheme)).toEqual(["exact"]);
      await utility.stop();
    });
  });

  test("vouchers are claimed and settled at every interval, without waiting for the end", async () => {
    const utility = await ground.start({ claimIntervalSeconds: 0.2 });
    const before = await balanceOf(utility.receiver);
    const buyer = (await ground.payer()).batch();
    const bought = await buyer.fetch(`${utility.url}/v1/energy?quantum=10000`, { method: "POST" });
    expect(bought.status).toBe(200);
    const deadlineMs = Date.now() + 10_000;
    while (Date.now() < deadlineMs && (await balanceOf(utility.receiver)) === before) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect((await balanceOf(utility.receiver)) - before).toBe(10_000n);
    expect(await utility.stop()).toMatchObject({ claims: { transactions: 1 }, settles: { transactions: 1 } });
  });

  test("a facilitator elsewhere verifies, deposits, claims and settles as well; while it is down nobody is told to pay", async () => {
    const facilitator = facilitatorBeside(ground, 4);
    const server = fastify();
    let isDown = false;
    server.addHook("onRequest", async (_request, reply) =>
      isDown ? reply.code(502).send("bad gateway") : undefined,
    );
    type Posted = { Body: { paymentPayload: PaymentPayload; paymentRequirements: PaymentRequirements } };
    server.get("/supported", () => facilitator.getSupported());
    server.post<Posted>("/verify", ({ body }) =>
      facilitator.verify(body.paymentPayload, body.paymentRequirements),
    );
    server.post<Posted>("/settle", ({ body }) =>
      facilitator.settle(body.paymentPayload, body.paymentRequirements),
    );
    const facilitatorUrl = await server.listen({ port: 0, host: "127.0.0.1" });
    const utility = await ground.start({ facilitators: [{ url: facilitatorUrl }] });
    const payer = await ground.payer();
    for (const buyer of [payer.batch(), payer.exact()]) {
      const response = await buyer.fetch(`${utility.url}/v1/energy?quantum=500`, { method: "POST" });
      expect(response.status).toBe(200);
    }
    isDown = true;
    const away = await payer.exact().fetch(`${utility.url}/v1/energy?quantum=500`, { method: "POST" });
    expect([away.status, away.headers.get("retry-after")]).toEqual([503, "1"]);
    isDown = false;
    expect(await utility.stop()).toMatchObject({
      deposits: { transactions: 1 },
      settles: { amountAtomic: 500 },
      exact: { amountAtomic: 500 },
    });
    await server.close();
  });

  test("vouchers need no node: they are sold while it is away, and an end in that time says what is missing", async () => {
    const other = await prepareGround({ schemeServer });
    const dataDirectory = await ground.directory();
    const utility = await other.start({ dataDirectory, stopTimeoutMs: 3_000 });
    const buyer = (await other.payer()).batch();
    const url = `${utility.url}/v1/energy?quantum=100`;
    expect((await buyer.fetch(url, { method: "POST" })).status).toBe(200);
    await other.anvil.stop();
    for (let rung = 0; rung < 5; rung += 1)
      expect((await buyer.fetch(url, { method: "POST" })).status).toBe(200);
    const started = Date.now();
    const report = await utility.stop();
    expect(Date.now() - started).toBeLessThan(6_000);
    expect(report.interrupted).toBeDefined();
    expect(report.settles.transactions).toBe(0);
    await other.stop();
  });
});
