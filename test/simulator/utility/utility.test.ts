// The electricity API as its customers see it: the stock x402 client on a real chain.

import { decodePaymentResponseHeader } from "@x402/core/http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tokenAbi } from "#simulator/chain/abi";
import { type Ground, PRICE, prepareGround, present, signPayment } from "./ground.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
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
