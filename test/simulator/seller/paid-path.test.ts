// The paid path, whatever fails in it: the buyer hears 503 and may come again, the log a bounded line, and it sells on.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { failureCount } from "#core/detach";
import { ELECTRICITY } from "#simulator/seller/sale/goods";
import type { VoucherOutcome } from "#simulator/seller/scheme/voucher-service";
import { fastPath } from "#simulator/seller/server/fast-path";

const HEADERS = {
  "payment-signature": Buffer.from(
    JSON.stringify({
      x402Version: 2,
      accepted: {
        scheme: "batch-settlement",
        network: "eip155:1",
        amount: "100",
        asset: `0x${"c0".repeat(20)}`,
        payTo: `0x${"c0".repeat(20)}`,
        maxTimeoutSeconds: 60,
        extra: { name: "USD", version: "1" },
      },
      payload: {
        type: "voucher",
        channelConfig: {
          payer: `0x${"c0".repeat(20)}`,
          payerAuthorizer: `0x${"c0".repeat(20)}`,
          receiver: `0x${"c0".repeat(20)}`,
          receiverAuthorizer: `0x${"c0".repeat(20)}`,
          token: `0x${"c0".repeat(20)}`,
          withdrawDelay: 900,
          salt: `0x${"01".repeat(32)}`,
        },
        voucher: {
          channelId: `0x${"01".repeat(32)}`,
          maxClaimableAmount: "100",
          signature: `0x${"02".repeat(65)}`,
        },
      },
    }),
  ).toString("base64"),
};

let server: Server;
afterEach(() => server.close());

/** A seller whose voucherService does so; how it answers a payment, and what it logs. */
async function selling(sell: () => Promise<VoucherOutcome | undefined> | undefined) {
  const log: string[] = [];
  const parts = {
    voucherService: { sell },
    terms: { menu: [100], goods: ELECTRICITY, offers: () => [] },
    isOpen: () => true,
    log: (line: string) => log.push(line),
  };
  server = createServer(
    fastPath(parts as never, (_request, response) => response.writeHead(402).end("framework")),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/v1/energy?quantum=100`;
  return { pay: () => fetch(url, { method: "POST", headers: HEADERS }), log };
}

const SOLD = { kind: "sold", stored: { answer: { granted: 1 }, receipt: {} }, isRepetition: false } as never;
const FAILURE = new Error(`the store is gone${" for ever".repeat(1_000)}`);

test.each<[string, () => Promise<VoucherOutcome | undefined>]>([
  ["rejects", () => Promise.reject(FAILURE)],
  [
    "throws",
    () => {
      throw FAILURE;
    },
  ],
])(
  "a voucherService that %s is answered 503, logged, counted, and sells the next one",
  async (_how, fails) => {
    let isBroken = true;
    const { pay, log } = await selling(() => (isBroken ? fails() : Promise.resolve(SOLD)));
    const before = failureCount();
    const answer = await pay();
    expect(answer.status).toBe(503);
    expect(answer.headers.get("retry-after")).toBe("1");
    expect(await answer.json()).toEqual({ error: "the payment could not be answered" });
    expect(log).toEqual([
      expect.stringMatching(/^a payment could not be answered: Error: the store is gone/),
    ]);
    expect(log[0]!.length).toBeLessThan(260);
    expect(failureCount()).toBe(before + 1);
    isBroken = false;
    expect((await pay()).status).toBe(200);
  },
);

test("an answer that cannot be written is answered 503 and logged; the next one is whole", async () => {
  // What it answers with is no JSON.
  const broken = { kind: "sold", stored: { answer: { granted: 1n }, receipt: {} }, isRepetition: false };
  const outcomes = [broken as never, SOLD];
  const { pay, log } = await selling(() => Promise.resolve(outcomes.shift()));
  expect((await pay()).status).toBe(503);
  expect(log).toHaveLength(1);
  expect((await pay()).status).toBe(200);
});
