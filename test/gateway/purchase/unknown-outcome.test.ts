// Payments that were presented and got no answer that decides: never called unpaid, never charged twice, and ended by
// the seller's counter or the chain. A seller over real HTTP that charges first and answers badly then.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { keepOutcome } from "#gateway/purchase/faults/unknown-outcome";
import type { ChannelRecord, Sale } from "#gateway/purchase/ports";
import { type Purchase, purchase } from "#gateway/purchase/purchase";
import { electricitySeller } from "#gateway/sellers/client/electricity-seller";
import { type Http, openHttp } from "#gateway/sellers/client/seller-http";
import type { Pay } from "#protocol/frames";
import type { PaymentPayload } from "#protocol/x402";
import {
  type Bench,
  NETWORK,
  NOW_SECONDS,
  newBench,
  newKey,
  openChannelOf,
  payOf,
  QUANTUM,
  requirementsOf,
  TOKEN,
} from "./fixtures.ts";

/** What the seller does with a payment: whether it charges, and how it answers. */
const TROUBLES = [
  "502",
  "504",
  "hang",
  "reset",
  "pending",
  "pending-402",
  "unreadable",
  "no-receipt-body",
] as const;
type Trouble = (typeof TROUBLES)[number];
type Plan = { readonly answer: Trouble | "ok" | "503"; readonly charges: boolean };

const OK: Plan = { answer: "ok", charges: true };

let bench: Bench;
let channel: ChannelRecord;
let plan: Plan;
let url: string;
let http: Http;
let impatient: Http;
let patient: Http;

const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64");
const failure = (errorReason: string) =>
  base64({ success: false, errorReason, transaction: "0xab", network: NETWORK });

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url!.startsWith("/v1/accounts/")) {
    const account = bench.seller.accounts.get(channel.id);
    response.writeHead(account ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(account ?? {}));
    return;
  }
  const { answer: how, charges } = plan;
  if (how === "503") return void response.writeHead(503).end();
  const header = String(request.headers["payment-signature"]);
  const payload = JSON.parse(Buffer.from(header, "base64").toString()) as PaymentPayload;
  const amount = Number(new URL(request.url!, url).searchParams.get("quantum"));
  const sale: Sale | null = charges ? await bench.seller.pay(channel, amount, payload) : null;
  if (how === "ok") return answerTruly(sale!, response);
  if (how === "hang") return;
  if (how === "reset") return void response.destroy();
  if (how === "pending") {
    return void response.writeHead(402, { "payment-response": failure("settlement_pending") }).end();
  }
  if (how === "pending-402") return requirePayment(response, "invalid_exact_evm_settlement_pending", null);
  if (how === "unreadable") return void response.writeHead(200, { "payment-response": "%%%" }).end("{}");
  if (how === "no-receipt-body") return void response.writeHead(200).end("sold");
  response.writeHead(Number(how)).end("a proxy's word");
}

function answerTruly(sale: Sale, response: ServerResponse): void {
  if (sale.kind !== "paid") {
    requirePayment(response, sale.reason, sale.kind === "unpaid" ? sale.charged : null);
    return;
  }
  const { counters, pricePerMillionUnits, validUntilSeconds } = sale;
  const receipt = { success: true, transaction: "", network: NETWORK };
  response.writeHead(200, { "content-type": "application/json", "payment-response": base64(receipt) });
  response.end(JSON.stringify({ ...counters, pricePerMillionUnits, validUntilSeconds }));
}

function requirePayment(response: ServerResponse, error: string, charged: number | null): void {
  const option = requirementsOf("batch-settlement", QUANTUM);
  const state = charged === null ? {} : { channelState: { chargedCumulativeAmount: String(charged) } };
  const accepts = [{ ...option, extra: { ...option.extra, ...state } }];
  const required = { x402Version: 2, error, resource: { url }, accepts };
  response.writeHead(402, { "payment-required": base64(required) }).end("{}");
}

const server = createServer((request, response) => void answer(request, response));
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const reach = { connections: 4, origins: [url], allowPrivate: true, authorities: null };
  // What is to time out does so at once; all else has the time that a busy machine needs.
  impatient = openHttp({ ...reach, timeoutMs: 100 });
  patient = openHttp({ ...reach, timeoutMs: 60_000 });
  http = {
    call: (method, target, payment, body) =>
      (payment !== null && plan.answer === "hang" ? impatient : patient).call(method, target, payment, body),
    close: () => Promise.all([impatient.close(), patient.close()]).then(() => {}),
  };
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await http.close();
});

const SCHEMES = ["batch-settlement", "exact"] as const;
type Scheme = (typeof SCHEMES)[number];

/** A channel with money, the PAY of its first rung, and how it is presented. */
async function begin(scheme: Scheme): Promise<{ pay: Pay; present: () => Promise<Purchase> }> {
  bench = newBench();
  bench.seller.scheme = scheme;
  const key = newKey();
  channel = await openChannelOf(bench, key);
  bench.chain.wallets.set(key.address, 1_000);
  const seller = electricitySeller(http, url, {
    schemes: [scheme],
    tokens: [{ network: NETWORK, asset: TOKEN }],
  });
  const pay = payOf(key, channel, QUANTUM);
  return {
    pay,
    async present() {
      const parts = bench.parts({ seller });
      const bought = await keepOutcome(parts, pay, await purchase(parts, channel, pay));
      channel = bought.channel;
      return bought;
    },
  };
}

beforeEach(() => {
  plan = OK;
});

test.each(TROUBLES)(
  "%s after the charge: not known, presented again, charged once, then granted",
  async (how) => {
    const { present, pay } = await begin("batch-settlement");
    plan = { answer: how, charges: true };
    expect((await present()).grant.refusal).toBe("outcome-unknown");
    const unknown = { maxClaimable: QUANTUM, sinceSeconds: NOW_SECONDS };
    expect(channel.unknown).toEqual(unknown);
    expect(bench.ledger.channelsOf(channel.device)[0]!.unknown).toEqual(unknown);
    // A seller that is away does not make it unpaid, and the time it began stays.
    bench.nowSeconds += 60;
    plan = { answer: "503", charges: false };
    expect((await present()).grant.refusal).toBe("outcome-unknown");
    expect(channel.unknown).toEqual(unknown);
    plan = OK;
    const { grant } = await present();
    expect(grant).toMatchObject({ refusal: null, charged: QUANTUM });
    expect(bench.seller.charges).toHaveLength(1);
    expect(bench.ledger.payment(channel.id, pay.maxClaimable)).not.toBeNull();
    expect([channel.unknown, bench.ledger.unknowns.size]).toEqual([undefined, 0]);
  },
);

test.each(TROUBLES)(
  "exact, %s after the transfer: the chain says that it was paid, and the account what for",
  async (how) => {
    const { present } = await begin("exact");
    plan = { answer: how, charges: true };
    expect((await present()).grant).toMatchObject({ refusal: null, charged: QUANTUM });
    expect(bench.seller.charges).toHaveLength(1);
    expect(bench.ledger.unknowns.size).toBe(0);
  },
);

test("exact, sent and not mined yet: not known until it is, whatever the seller says meanwhile, and paid once", async () => {
  const { present, pay } = await begin("exact");
  plan = { answer: "hang", charges: false };
  expect((await present()).grant.refusal).toBe("outcome-unknown");
  plan = { answer: "503", charges: false };
  expect((await present()).grant.refusal).toBe("outcome-unknown");
  // What was sent at first is mined now.
  const { authorizationPayload } = await import("#gateway/purchase/payload");
  await bench.seller.pay(channel, QUANTUM, authorizationPayload(channel, pay));
  plan = OK;
  expect((await present()).grant).toMatchObject({ refusal: null, charged: QUANTUM });
  expect(bench.seller.charges).toHaveLength(1);
  expect(bench.ledger.unknowns.size).toBe(0);
});

test("it ends unpaid by the seller's counter, and for exact by a chain on which its time is over", async () => {
  const batch = await begin("batch-settlement");
  plan = { answer: "502", charges: false };
  await batch.present();
  // It looked at the channel, and its counter is the ledger's.
  bench.seller.pay = async () => bench.seller.unpaid("invalid_batch_settlement_evm_withdrawal_pending_x", 0);
  plan = OK;
  expect((await batch.present()).grant.refusal).not.toBe("outcome-unknown");
  expect(bench.ledger.unknowns.size).toBe(0);

  const exact = await begin("exact");
  plan = { answer: "502", charges: false };
  await exact.present();
  bench.seller.pay = async () => bench.seller.unpaid("invalid_exact_evm_insufficient_balance", null);
  plan = OK;
  expect((await exact.present()).grant.refusal).toBe("outcome-unknown");
  bench.chain.clockSeconds += 3_600;
  expect((await exact.present()).grant.refusal).toBe("unfunded");
  expect(bench.ledger.unknowns.size).toBe(0);
});

test("whatever a seller answers in whatever order: charged once, never called unpaid once charged, granted in the end", async () => {
  const step = fc.record({
    answer: fc.constantFrom<Plan["answer"]>("502", "reset", "pending", "no-receipt-body", "503"),
    charges: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...SCHEMES), fc.array(step, { maxLength: 5 }), async (scheme, steps) => {
      const { present } = await begin(scheme);
      for (plan of steps) {
        const { grant } = await present();
        if (bench.seller.charges.length > 0 && grant.refusal !== null) {
          expect(grant.refusal).toBe("outcome-unknown");
        }
        expect(bench.ledger.unknowns.size).toBe(grant.refusal === "outcome-unknown" ? 1 : 0);
      }
      plan = OK;
      expect((await present()).grant).toMatchObject({ refusal: null, charged: QUANTUM });
      expect(bench.seller.charges).toHaveLength(1);
      expect(bench.ledger.unknowns.size).toBe(0);
    }),
    { numRuns: 60 },
  );
});
