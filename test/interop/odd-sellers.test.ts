// Stock sellers in trouble that stock software makes: a facilitator that is down, a deposit that the seller's cache
// does not show yet, a price that moves. A light is never left dark by them, and nothing is paid twice.

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { SellerStatus } from "#gateway/sellers/seller-status";
import { openLossyProxy } from "../gateway/faults/lossy-proxy.ts";
import { type Ground, prepareGround, until } from "../gateway/fixtures.ts";
import { startSeller } from "../gateway/purchase/agreement.ts";
import { startStockSeller } from "./stock-seller.ts";

const AMOUNT = 100;
const UNITS = 500;
const AWAY_AFTER_MS = 500;

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

const sellersOf = async (httpUrl: string | null) =>
  ((await (await fetch(`${httpUrl}/api/v1/sellers`)).json()) as { sellers: SellerStatus[] }).sellers;

test("a stock seller whose facilitator is down is left for the next one, and named with its own words", async () => {
  const stock = await startStockSeller(ground, "batch-settlement", {
    amountAtomic: AMOUNT,
    accounts: [1, 2],
    // In these words the official client of a facilitator reports what it answered.
    through: (facilitator) => ({
      ...facilitator,
      verify: () => Promise.reject(new Error("Facilitator verify failed (503): no healthy upstream")),
    }),
  });
  const utility = await startSeller(ground, { receiverKey: ground.anvil.accounts[0]!.privateKey });
  const gateway = await ground.gateway(
    ground.config("", {
      sellers: [
        { name: "stock", kind: "fixed", unitsPerPayment: UNITS, url: stock.url },
        { name: "grid", url: utility.url },
      ],
      market: { awayAfterMs: AWAY_AFTER_MS },
      http: { port: 0 },
    }),
  );
  const light = ground.light(gateway.brokerUrl);
  await light.untilCharged(2 * AMOUNT, 10_000);
  expect(light.host.state().channel!.granted).toBe((light.charged() / AMOUNT) * UNITS);
  expect(await sellersOf(gateway.httpUrl)).toMatchObject([
    { name: "stock", standing: "away", reason: expect.stringContaining("verify failed (503)") },
    { name: "grid", standing: "good" },
  ]);
  expect(stock.served).toBe(0);
  await light.stop();
  await gateway.stop();
  await Promise.all([stock.close(), utility.stop()]);
});

test("a light whose seller speaks another version knows that it has no offer, and its page says why", async () => {
  // As the official packages of version 1 answer: terms in the body.
  const accepts = [{ scheme: "exact", network: "base-sepolia", maxAmountRequired: "100" }];
  const body = JSON.stringify({ x402Version: 1, error: "X-PAYMENT header is required", accepts });
  const old = createServer((_request, response) =>
    response.writeHead(402, { "content-type": "application/json" }).end(body),
  );
  await once(old.listen(0, "127.0.0.1"), "listening");
  const url = `http://127.0.0.1:${(old.address() as AddressInfo).port}/energy`;
  const seller = { kind: "fixed", unitsPerPayment: UNITS };
  const gateway = await ground.gateway(ground.config(url, { seller, http: { port: 0 } }));
  const light = ground.light(gateway.brokerUrl);
  const isTold = () => light.host.state().offerRefusal === "seller-refused";
  await until(isTold, 10_000, () => "a light that received why it has no offer");
  const shown = await (await fetch(`${gateway.httpUrl}/api/v1/lights/${light.device}`)).json();
  expect(shown).toMatchObject({
    refusal: "seller-refused",
    noOffer: expect.stringContaining("found x402 version 1; spoken: version 2"),
  });
  expect((await sellersOf(gateway.httpUrl))[0]!.reason).toContain("found x402 version 1");
  await light.stop();
  await gateway.stop();
  old.close();
});

test("a deposit that landed and that the seller's cache does not show is waited for with few questions, and never made twice", async () => {
  let deposits = 0;
  let isLost = true;
  const ttlMs = 2_500;
  const stock = await startStockSeller(ground, "batch-settlement", {
    amountAtomic: AMOUNT,
    accounts: [4, 5],
    onchainStateTtlMs: ttlMs,
    through: (facilitator) => ({
      ...facilitator,
      async settle(payload, requirements) {
        const settled = await facilitator.settle(payload, requirements);
        if ((payload.payload as { type?: string }).type !== "deposit") return settled;
        deposits += 1;
        if (isLost) throw new Error("fetch failed");
        return settled;
      },
    }),
  });
  const notes: string[] = [];
  const gateway = await ground.gateway(
    ground.config(stock.url, { seller: { kind: "fixed", unitsPerPayment: UNITS } }),
    (_level, text, { reason }) => notes.push(`${text}: ${reason}`),
  );
  const light = ground.light(gateway.brokerUrl);
  const isRefused = () => light.host.state().answerRefusal !== null;
  await until(isRefused, 10_000, () => "a refusal");
  isLost = false;
  await light.untilCharged(3 * AMOUNT, 10_000);
  const refusals = light.grants.map(({ refusal }) => refusal).filter((refusal) => refusal !== null);
  expect(new Set(refusals)).toEqual(new Set(["seller-unavailable"]));
  // After one, three and seven seconds; the light itself presented its rung several times a second.
  expect(notes.filter((note) => note.startsWith("the seller did not sell")).length).toBeLessThan(5);
  expect(notes.join("\n")).toMatch(/the chain holds \d+ for this channel and the seller does not know it/);
  expect(deposits).toBe(1);
  await light.stop();
  await gateway.stop();
  await stock.close();
});

test("a stock seller's price that goes up and down is followed, each paid answer gives its units, and no channel is stuck", async () => {
  let price = AMOUNT;
  const stock = await startStockSeller(ground, "batch-settlement", {
    amountAtomic: AMOUNT,
    accounts: [6, 7],
    priceAtomic: () => price,
  });
  const notes: string[] = [];
  const gateway = await ground.gateway(
    ground.config(stock.url, { seller: { kind: "fixed", unitsPerPayment: UNITS } }),
    (_level, text, fields) => notes.push(`${text} ${JSON.stringify(fields)}`),
  );
  const light = ground.light(gateway.brokerUrl);
  await light.untilCharged(2 * AMOUNT);
  for (const next of [150, 70, 200, 100, 150]) {
    const before = stock.served;
    price = next;
    await until(
      () => stock.served >= before + 3,
      10_000,
      () => `sales at ${next}; ${JSON.stringify(light.host.state().channel)}; ${notes.slice(-4).join("\n")}`,
    );
  }
  await light.stop();
  await gateway.stop();
  const { pending, account } = light.host.state();
  expect(account!.granted).toBe((stock.served - (pending === null ? 0 : 1)) * UNITS);
  // One for each price: an old price that comes back finds its channel again.
  expect((await stock.charges()).size).toBeLessThanOrEqual(4);
  await stock.close();
});

test("an answer that gets lost while the price moves is found again at the new price, with its units", async () => {
  let price = AMOUNT;
  let next: number | null = null;
  const stock = await startStockSeller(ground, "batch-settlement", {
    amountAtomic: AMOUNT,
    accounts: [8, 9],
    priceAtomic: () => price,
  });
  const road = await openLossyProxy(stock.url, () => {
    if (next === null) return false;
    price = next;
    next = null;
    return true;
  });
  const gateway = await ground.gateway(
    ground.config(`${road.url}/energy`, { seller: { kind: "fixed", unitsPerPayment: UNITS } }),
  );
  const light = ground.light(gateway.brokerUrl);
  await light.untilCharged(2 * AMOUNT);
  for (const moved of [150, 70]) {
    const before = stock.served;
    next = moved;
    await until(
      () => price === moved && stock.served >= before + 4,
      10_000,
      () => `sales at ${moved}; ${JSON.stringify(light.host.state().channel)}`,
    );
  }
  await until(
    () => light.host.state().pending === null,
    10_000,
    () => "no rung under way",
  );
  await light.stop();
  await gateway.stop();
  expect(road.lost).toBe(2);
  const { account, pending } = light.host.state();
  expect(account!.granted).toBe((stock.served - (pending === null ? 0 : 1)) * UNITS);
  // A channel is left only for a rung that was signed at the old price before the new one was heard: once for each move.
  expect((await stock.charges()).size).toBeLessThanOrEqual(1 + road.lost);
  await road.close();
  await stock.close();
});
