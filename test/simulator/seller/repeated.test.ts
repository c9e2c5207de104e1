// Payments presented again: the newest one is answered as it was and marked, every other one is answered with the
// channel's counters, so that no buyer takes an old answer for a new purchase.

import {
  decodePaymentRequiredHeader,
  decodePaymentResponseHeader,
  decodePaymentSignatureHeader,
  encodePaymentSignatureHeader,
} from "@x402/core/http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SCHEME_SERVERS } from "#simulator/seller/scheme/scheme-server";
import { type Ground, prepareGround, present, signPayment } from "./fixtures.ts";

const MISMATCH = "invalid_batch_settlement_evm_cumulative_amount_mismatch";

type Voucher = { readonly maxClaimableAmount: string; readonly signature: `0x${string}` };

describe.each(SCHEME_SERVERS)("served by the %s scheme", (schemeServer) => {
  let ground: Ground;
  let url: string;
  beforeAll(async () => {
    ground = await prepareGround({ schemeServer });
    url = (await ground.start()).url;
  });
  afterAll(() => ground.stop());

  const buyAt = (quantum: number) => `${url}/v1/energy?quantum=${quantum}`;
  const buying = { method: "POST" };
  const isRepetition = (answer: { headers: Headers }) => answer.headers.get("Idempotent-Replayed") === "true";
  const voucherIn = (headers: Record<string, string>) =>
    decodePaymentSignatureHeader(headers["PAYMENT-SIGNATURE"]!).payload.voucher as Voucher;
  const chargedOf = async (account: unknown) =>
    ((await (await fetch(`${url}/v1/accounts/${account}`)).json()) as { charged: number }).charged;

  /** What a 402 says of the channel; fails for any other answer. */
  function correction(answer: Awaited<ReturnType<typeof present>>) {
    expect(answer.status).toBe(402);
    const required = decodePaymentRequiredHeader(answer.required!);
    expect(required.error).toBe(MISMATCH);
    const { channelState, voucherState } = required.accepts[0]!.extra as Record<
      string,
      Record<string, string>
    >;
    return { charged: channelState!.chargedCumulativeAmount, voucherState };
  }

  test("a voucher older than the newest is answered with the newest, and not sold its former purchase", async () => {
    const buyer = (await ground.payer()).batch();
    const older = [];
    for (let rung = 0; rung < 2; rung += 1) {
      older.push(await signPayment(url, 100, buyer));
      await buyer.fetch(buyAt(100), buying).then((answer) => answer.text());
    }
    const newest = await present(url, 100, await signPayment(url, 100, buyer));
    expect(newest.body.charged).toBe(300);
    // The first one repeated is behind its deposit, the second a voucher alone.
    for (const headers of older) {
      const { charged, voucherState } = correction(await present(url, 100, headers));
      expect({ charged, signed: voucherState?.signedMaxClaimable }).toEqual({
        charged: "300",
        signed: "300",
      });
    }
    expect(await chargedOf(newest.body.account)).toBe(300);
  });

  test("the newest voucher presented for another quantum is answered with the channel's counters", async () => {
    const buyer = (await ground.payer()).batch();
    const headers = await signPayment(url, 100, buyer);
    const { body } = await present(url, 100, headers);
    const payment = decodePaymentSignatureHeader(headers["PAYMENT-SIGNATURE"]!);
    const { channelConfig, voucher } = payment.payload;
    const other = {
      ...payment,
      accepted: { ...payment.accepted, amount: "200" },
      payload: { type: "voucher", channelConfig, voucher },
    };
    const answer = await present(url, 200, { "PAYMENT-SIGNATURE": encodePaymentSignatureHeader(other) });
    expect(correction(answer).charged).toBe("100");
    expect(await chargedOf(body.account)).toBe(100);
  });

  test("the newest payment presented again is answered as it was, and the answer says that it is a repetition", async () => {
    const payer = await ground.payer();
    const buyer = payer.batch();
    const deposit = await signPayment(url, 100, buyer);
    const exact = await signPayment(url, 100, payer.exact());
    const payment = decodePaymentSignatureHeader(deposit["PAYMENT-SIGNATURE"]!);
    const { channelConfig, voucher } = payment.payload;
    const alone = {
      "PAYMENT-SIGNATURE": encodePaymentSignatureHeader({
        ...payment,
        payload: { type: "voucher", channelConfig, voucher },
      }),
    };
    const post = (headers: Record<string, string>) => fetch(buyAt(100), { ...buying, headers });
    for (const [first, ...again] of [
      [deposit, deposit, alone],
      [exact, exact],
    ]) {
      const sold = await post(first!);
      expect({ status: sold.status, repetition: isRepetition(sold) }).toEqual({
        status: 200,
        repetition: false,
      });
      const body = await sold.text();
      for (const headers of again) {
        const answer = await post(headers);
        expect({ status: answer.status, repetition: isRepetition(answer) }).toEqual({
          status: 200,
          repetition: true,
        });
        expect(await answer.text()).toBe(body);
        expect(answer.headers.get("PAYMENT-RESPONSE")).toBe(sold.headers.get("PAYMENT-RESPONSE"));
      }
    }
    await buyer.fetch(buyAt(100), buying).then((answer) => answer.text());
    const other = decodePaymentSignatureHeader(exact["PAYMENT-SIGNATURE"]!);
    const mangled = { ...other, accepted: { ...other.accepted, amount: "200" } };
    const asked = await present(url, 200, { "PAYMENT-SIGNATURE": encodePaymentSignatureHeader(mangled) });
    expect(asked.status).toBe(402);
  });

  test("a payment presented by many at once is sold to one of them, and the others are answered that they repeat it", async () => {
    const buyer = (await ground.payer()).batch();
    const deposit = await signPayment(url, 100, buyer);
    const post = (headers: Record<string, string>) => fetch(buyAt(100), { ...buying, headers });
    const sold = await Promise.all(Array.from({ length: 20 }, () => post(deposit)));
    expect(sold.filter((answer) => !isRepetition(answer))).toHaveLength(1);
    await buyer.fetch(buyAt(100), buying).then((answer) => answer.text());
    const voucher = await signPayment(url, 100, buyer);
    const answers = await Promise.all(Array.from({ length: 20 }, () => post(voucher)));
    expect(answers.filter((answer) => !isRepetition(answer))).toHaveLength(1);
  });

  test("another deposit with the same voucher is another purchase: it is answered with the channel's counters", async () => {
    const payer = await ground.payer();
    const one = await signPayment(url, 100, payer.batch());
    const other = await signPayment(url, 100, payer.batch());
    expect(voucherIn(one)).toEqual(voucherIn(other));
    const answers = await Promise.all([present(url, 100, one), present(url, 100, other)]);
    const sold = answers.find((answer) => answer.status === 200)!;
    const refused = answers.find((answer) => answer.status === 402)!;
    expect(sold.body).toMatchObject({ charged: 100 });
    expect(correction(refused).charged).toBe("100");
    const report = decodePaymentResponseHeader(sold.receipt!);
    expect(report.transaction).not.toBe("");
  });

  test("stock clients that lost their count, or buy at once, are each sold a purchase or answered that they repeat one", async () => {
    const payer = await ground.payer();
    const shared = payer.batch();
    const answers = await Promise.all(
      [shared, shared, shared, payer.batch(), payer.batch()].map(({ fetch: pay }) => pay(buyAt(100), buying)),
    );
    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200, 200, 200]);
    const sold: number[] = [];
    const receipts = new Set<string>();
    let account = "";
    for (const answer of answers) {
      const body = (await answer.json()) as { account: string; charged: number };
      account = body.account;
      if (isRepetition(answer)) continue;
      sold.push(body.charged);
      receipts.add(answer.headers.get("PAYMENT-RESPONSE")!);
    }
    const charged = await chargedOf(account);
    expect(sold.toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: charged / 100 }, (_, index) => (index + 1) * 100),
    );
    expect(sold.length).toBeGreaterThan(1);
    expect(receipts.size).toBe(sold.length);
    const later = await payer.batch().fetch(buyAt(100), buying);
    expect(await later.json()).toMatchObject({ charged: charged + 100 });
    expect(isRepetition(later)).toBe(false);
  });

  // The official scheme answers any client that names a channel.
  test.runIf(schemeServer === "meter")(
    "a client that cannot sign for the channel does not get its voucher",
    async () => {
      const buyer = (await ground.payer()).batch();
      await buyer.fetch(buyAt(100), buying).then((answer) => answer.text());
      const headers = await signPayment(url, 100, buyer);
      const payment = decodePaymentSignatureHeader(headers["PAYMENT-SIGNATURE"]!);
      const signature = `0x${"11".repeat(64)}1b`;
      const voucher = { ...(payment.payload.voucher as Voucher), maxClaimableAmount: "700", signature };
      const forged = { ...payment, payload: { ...payment.payload, voucher } };
      const { charged, voucherState } = correction(
        await present(url, 100, { "PAYMENT-SIGNATURE": encodePaymentSignatureHeader(forged) }),
      );
      expect({ charged, voucherState }).toEqual({ charged: "100", voucherState: undefined });
    },
  );
});
