// Whatever a seller answers to payments: as long as it sells to no device it is left for one that sells.

import type { ServerResponse } from "node:http";
import { encodePaymentRequiredHeader, encodePaymentResponseHeader } from "@x402/core/http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Seller, UNTIMED } from "#gateway/purchase/ports";
import { fixedSeller } from "#gateway/sellers/client/fixed-seller";
import { RunningSellerClient } from "#gateway/sellers/seller-client";
import { openSellerRouter } from "#gateway/sellers/seller-router";
import type { PaymentRequired } from "#protocol/x402";
import { NETWORK, newBench, QUANTUM, requirementsOf, TOKEN, UNITS } from "../purchase/fixtures.ts";
import { open, Speaker } from "../purchase/speaker.ts";
import { openStandIn, type StandIn } from "./stand-in.ts";
import { testTimer } from "./timer.ts";

const AWAY_AFTER_MS = 20_000;
const PAYABLE = { schemes: ["batch-settlement"] as const, tokens: [{ network: NETWORK, asset: TOKEN }] };

const REQUIRED: PaymentRequired = {
  x402Version: 2,
  resource: { url: "http://odd/energy" },
  accepts: [requirementsOf("batch-settlement", QUANTUM) as PaymentRequired["accepts"][number]],
};

const required = (error?: string) => ({
  "payment-required": encodePaymentRequiredHeader({ ...REQUIRED, ...(error === undefined ? {} : { error }) }),
});

const failure = (errorReason: string) => ({
  "payment-response": encodePaymentResponseHeader({
    success: false,
    errorReason,
    transaction: "",
    network: NETWORK,
  }),
});

/** Answers to a payment: those that say nothing against it, and those that do. */
const ODD: Readonly<Record<string, (response: ServerResponse) => void>> = {
  "a facilitator that is down, in the official client's words": (response) =>
    response.writeHead(402, required("Facilitator verify failed (503): no healthy upstream")).end("{}"),
  "a facilitator's sentence with a device's word in it": (response) =>
    response.writeHead(402, required("Facilitator verify failed (502): signature service expired")).end("{}"),
  "a settlement that was not made": (response) => response.writeHead(402, failure("fetch failed")).end("{}"),
  "an empty 402": (response) => response.writeHead(402).end("{}"),
  "a 402 with nonsense": (response) => response.writeHead(402, { "payment-required": "%%%" }).end(),
  "400 for ever": (response) => response.writeHead(400).end('{"error":"bad request"}'),
  "404": (response) => response.writeHead(404).end("not here"),
  "500": (response) => response.writeHead(500).end("out of order"),
  "a page instead of the goods": (response) =>
    response.writeHead(200, { "content-type": "text/html" }).end("<h1>Welcome</h1>"),
};

const OWN: Readonly<Record<string, string>> = {
  invalid_batch_settlement_evm_voucher_signature: "bad-signature",
  invalid_batch_settlement_evm_cumulative_below_claimed: "counter-mismatch",
  invalid_batch_settlement_evm_payload_authorization_valid_before: "expired",
  invalid_batch_settlement_evm_insufficient_balance: "unfunded",
};

let answerPayment: (response: ServerResponse) => void;
let standIn: StandIn;
beforeAll(async () => {
  standIn = await openStandIn((request, response) => {
    if (request.headers["payment-signature"] === undefined) response.writeHead(402, required()).end("{}");
    else answerPayment(response);
  });
});
afterAll(() => standIn.close());

/** A light between an odd seller and, after it in the order, an honest one. */
async function between() {
  const timer = testTimer();
  const bench = newBench();
  const options = { callsMax: 4, queueMax: 9, awayAfterMs: AWAY_AFTER_MS };
  const guards = {
    timer,
    note: () => {},
    timing: UNTIMED,
    holds: () => true,
    changed: () => sessions.renewOffers(),
    termsTrouble: async () => "",
  };
  const { url, http } = standIn;
  const sale = { url, method: "GET", unit: "mWh", unitsPerPayment: UNITS, metered: false } as const;
  const clientOf = (name: string, client: Seller, isFirst: boolean): RunningSellerClient =>
    new RunningSellerClient(
      client,
      {
        ...options,
        ...{ name, kind: "fixed", url, isFirst, tokens: PAYABLE.tokens },
      },
      guards,
    );
  const router = openSellerRouter(
    [
      { client: clientOf("odd", fixedSeller(http, sale, PAYABLE), true), devices: null },
      { client: clientOf("honest", bench.seller, false), devices: null },
    ],
    "order",
    timer.nowMs,
  );
  const { sessions, said, gateway } = open(bench, { router });
  const speaker = new Speaker(gateway);
  const clients = ["odd", "honest"].map(
    (seller) => router.clientOf({ seller } as never) as RunningSellerClient,
  );
  await expect.poll(() => clients.map(({ health }) => health)).toEqual(["good", "good"]);
  sessions.receive(speaker.device, "hello", speaker.hello());
  const offer = async (count: number) => {
    await expect.poll(() => speaker.offersIn(said).length).toBeGreaterThanOrEqual(count);
    return speaker.offersIn(said).at(-1)!;
  };
  /** Pays one rung at a seller and resolves with the answer. */
  const pay = async (seller: string, offers: number) => {
    const terms = await offer(offers);
    const { id } = [...bench.ledger.channels.values()].find((channel) => channel.seller === seller)!;
    const before = speaker.grantsIn(said).length;
    sessions.receive(speaker.device, "pay", speaker.pay(terms, id, QUANTUM));
    await expect.poll(() => speaker.grantsIn(said).length).toBeGreaterThan(before);
    return speaker.grantsIn(said).at(-1)!;
  };
  const stop = () => {
    for (const client of clients) client.stop();
  };
  return { timer, bench, pay, odd: clients[0]!, stop };
}

test.each(Object.keys(ODD))("%s: left for a healthy one after the stated time", async (fault) => {
  answerPayment = ODD[fault]!;
  const { timer, pay, odd, stop } = await between();
  expect((await pay("odd", 1)).refusal).toMatch(/^(seller-(refused|unavailable)|outcome-unknown)$/);
  await pay("odd", 1);
  await expect.poll(() => odd.health).toBe("troubled");
  timer.pass(AWAY_AFTER_MS);
  expect(odd.health).toBe("away");
  await expect.poll(async () => (await pay("honest", 2)).refusal, { timeout: 5_000 }).toBeNull();
  stop();
});

const success = {
  "payment-response": encodePaymentResponseHeader({ success: true, transaction: "0x01", network: NETWORK }),
};

/** Answers after which it is unknown whether money moved. */
const UNKNOWN: Readonly<Record<string, (response: ServerResponse) => void>> = {
  "402 with a receipt of success": (response) => response.writeHead(402, success).end("{}"),
  "terms with a receipt of success": (response) =>
    response.writeHead(402, { ...required("Payment required"), ...success }).end("{}"),
  "400 with a receipt of success": (response) => response.writeHead(400, success).end("{}"),
  "200 without a receipt": (response) => response.writeHead(200).end("energy"),
  "200 with a receipt of failure": (response) => response.writeHead(200, failure("late")).end("energy"),
  "a settlement that is pending": (response) =>
    response.writeHead(402, failure("settlement_pending")).end("{}"),
};

test.each(Object.keys(UNKNOWN))(
  "%s is no refusal: the same rung waits, and its terms stay",
  async (fault) => {
    answerPayment = UNKNOWN[fault]!;
    const { pay, bench, stop } = await between();
    for (let i = 0; i < 2; i++) {
      expect(await pay("odd", 1)).toMatchObject({ refusal: "outcome-unknown", charged: 0, granted: 0 });
    }
    expect(bench.ledger.unknowns.size).toBe(1);
    expect(bench.ledger.payments.size).toBe(0);
    expect([...bench.ledger.depositRows.values()]).toMatchObject([{ index: 0, state: "intended" }]);
    stop();
  },
);

test.each(Object.entries(OWN))(
  "%s is the device's or the treasury's own: its seller stays",
  async (code, refusal) => {
    answerPayment = (response) => response.writeHead(402, required(code)).end("{}");
    const { timer, pay, odd, stop } = await between();
    for (let i = 0; i < 4; i++) expect((await pay("odd", 1)).refusal).toBe(refusal);
    timer.pass(AWAY_AFTER_MS);
    expect(odd.health).toBe("good");
    stop();
  },
);
