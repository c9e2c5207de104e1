// Payments that arrived but were never answered, counted differently, or forged.

import {
  decodePaymentRequiredHeader,
  decodePaymentSignatureHeader,
  encodePaymentSignatureHeader,
} from "@x402/core/http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SCHEME_SERVERS } from "#simulator/seller/scheme/scheme-server";
import { facilitatorBeside, type Ground, prepareGround, present, signPayment } from "../fixtures.ts";

describe.each(SCHEME_SERVERS)("served by the %s scheme", (schemeServer) => {
  let ground: Ground;
  beforeAll(async () => {
    ground = await prepareGround({ schemeServer });
  });
  afterAll(() => ground.stop());

  /** Settles a payment as the seller's facilitator would, without a message to the seller. */
  async function settleBehindItsBack(headers: Record<string, string>): Promise<void> {
    const payment = decodePaymentSignatureHeader(headers["PAYMENT-SIGNATURE"]!);
    const facilitator = facilitatorBeside(ground, 2);
    const settled = await facilitator.settle(payment, payment.accepted);
    expect(settled).toMatchObject({ success: true });
  }

  describe("a payment whose answer was lost", () => {
    test("between a deposit's transaction and the store is answered when presented again, and charged once", async () => {
      const utility = await ground.start();
      const headers = await signPayment(utility.url, 100, (await ground.payer()).batch());
      await settleBehindItsBack(headers);
      const answer = await present(utility.url, 100, headers);
      expect(answer).toMatchObject({ status: 200, body: { charged: 100, granted: 500 } });
      expect(await present(utility.url, 100, headers)).toEqual(answer);
      expect((await utility.stop()).settles.amountAtomic).toBe(100);
    });

    test("between an exact transfer and the store is answered when presented again, and charged once", async () => {
      const utility = await ground.start();
      const payer = await ground.payer();
      const headers = await signPayment(utility.url, 200, payer.exact());
      await settleBehindItsBack(headers);
      const answers = await Promise.all([
        present(utility.url, 200, headers),
        present(utility.url, 200, headers),
      ]);
      expect(answers[0]).toMatchObject({ status: 200, body: { charged: 200, granted: 1_000 } });
      expect(answers[1]).toEqual(answers[0]);
      const account = await (await fetch(`${utility.url}/v1/accounts/${payer.address}`)).json();
      expect(account).toMatchObject({ scheme: "exact", charged: 200 });
      await utility.stop();
    });

    test("is the same after a restart, for deposit, voucher and exact, receipts included", async () => {
      const dataDirectory = await ground.directory();
      const first = await ground.start({ dataDirectory });
      const payer = await ground.payer();
      const deposit = await signPayment(first.url, 100, (await ground.payer()).batch());
      const answers = [await present(first.url, 100, deposit)];
      const buyer = payer.batch();
      await buyer.fetch(`${first.url}/v1/energy?quantum=100`, { method: "POST" });
      const voucher = await signPayment(first.url, 100, buyer);
      const exact = await signPayment(first.url, 100, payer.exact());
      answers.push(await present(first.url, 100, voucher), await present(first.url, 100, exact));
      await first.stop();
      const second = await ground.start({ dataDirectory });
      const again = [
        await present(second.url, 100, deposit),
        await present(second.url, 100, voucher),
        await present(second.url, 100, exact),
      ];
      expect(again).toEqual(answers);
      expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200]);
      await second.stop();
    });
  });

  describe("a payment that is not right", () => {
    test("with another signature for a rung already charged is refused with the state to correct by", async () => {
      const utility = await ground.start();
      const buyer = (await ground.payer()).batch();
      const first = await buyer.fetch(`${utility.url}/v1/energy?quantum=100`, { method: "POST" });
      const { account } = (await first.json()) as { account: string };
      const headers = await signPayment(utility.url, 100, buyer);
      await present(utility.url, 100, headers);
      const payment = decodePaymentSignatureHeader(headers["PAYMENT-SIGNATURE"]!);
      const voucher = payment.payload.voucher as { signature: string };
      const forged = { ...voucher, signature: `${voucher.signature.slice(0, -4)}001b` };
      const presented = await present(utility.url, 100, {
        "PAYMENT-SIGNATURE": encodePaymentSignatureHeader({
          ...payment,
          payload: { ...payment.payload, voucher: forged },
        }),
      });
      expect(presented.status).toBe(402);
      const required = decodePaymentRequiredHeader(presented.required!);
      expect(required.error).toBe("invalid_batch_settlement_evm_cumulative_amount_mismatch");
      expect(required.accepts[0]!.extra).toMatchObject({ channelState: { chargedCumulativeAmount: "200" } });
      const known = await (await fetch(`${utility.url}/v1/accounts/${account}`)).json();
      expect(known).toMatchObject({ charged: 200, signedMaxClaimable: 200 });
      await utility.stop();
    });

    test("because the client forgot its count is corrected by the official 402 and goes on", async () => {
      const utility = await ground.start();
      const payer = await ground.payer();
      const careful = payer.batch();
      for (let rung = 0; rung < 2; rung += 1) {
        await careful.fetch(`${utility.url}/v1/energy?quantum=500`, { method: "POST" });
      }
      const forgetful = await payer.batch().fetch(`${utility.url}/v1/energy?quantum=200`, { method: "POST" });
      expect(await forgetful.json()).toMatchObject({ charged: 1_200, granted: 6_000 });
      expect((await utility.stop()).settles.amountAtomic).toBe(1_200);
    });

    test("because the client forgot its count and signs an old rung again is corrected, and buys on", async () => {
      const utility = await ground.start();
      const payer = await ground.payer();
      const charged: number[] = [];
      for (const client of [payer.batch(), payer.batch()]) {
        for (let rung = 0; rung < 2; rung += 1) {
          const response = await client.fetch(`${utility.url}/v1/energy?quantum=500`, { method: "POST" });
          charged.push(((await response.json()) as { charged: number }).charged);
        }
      }
      expect(charged).toEqual([500, 1_000, 1_500, 2_000]);
      expect((await utility.stop()).settles.amountAtomic).toBe(2_000);
    });

    test("of any broken form is refused, and nothing is charged", async () => {
      const utility = await ground.start();
      const buyer = (await ground.payer()).batch();
      const headers = await signPayment(utility.url, 100, buyer);
      const payment = decodePaymentSignatureHeader(headers["PAYMENT-SIGNATURE"]!);
      const voucher = payment.payload.voucher as { signature: string };
      const broken = [
        "not base64 of anything",
        encodePaymentSignatureHeader({ ...payment, payload: {} }),
        encodePaymentSignatureHeader({ ...payment, accepted: { ...payment.accepted, amount: "1" } }),
        encodePaymentSignatureHeader({ ...payment, accepted: { ...payment.accepted, scheme: "upto" } }),
        encodePaymentSignatureHeader({
          ...payment,
          payload: { ...payment.payload, voucher: { ...voucher, signature: `0x${"11".repeat(65)}` } },
        }),
      ];
      for (const header of broken) {
        expect((await present(utility.url, 100, { "PAYMENT-SIGNATURE": header })).status).toBe(402);
      }
      expect((await present(utility.url, 200, headers)).status).toBe(402);
      const menu = await present(utility.url, 123, {});
      expect(menu).toMatchObject({ status: 400 });
      expect(menu.body.menu).toContain(100);
      expect((await fetch(`${utility.url}/v1/accounts/0x${"0".repeat(64)}`)).status).toBe(404);
      expect((await utility.stop()).settles.amountAtomic).toBe(0);
    });
  });

  test("a refund gives back what is left, and the channel's count goes on from where it stood", async () => {
    const utility = await ground.start();
    const payer = await ground.payer();
    const buyer = payer.batch();
    const url = `${utility.url}/v1/energy?quantum=1000`;
    const bought = (await (await buyer.fetch(url, { method: "POST" })).json()) as { account: string };
    const refund = await buyer.scheme.refund(url, {
      fetch: (to, init) => fetch(to, { ...init, method: "POST" }),
    });
    expect(refund).toMatchObject({ success: true, amount: "999000" });
    const again = await payer.batch().fetch(url, { method: "POST" });
    expect(await again.json()).toMatchObject({ account: bought.account, charged: 2_000, granted: 10_000 });
    await utility.stop();
  });
});
