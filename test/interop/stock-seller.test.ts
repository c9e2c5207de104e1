// Sellers who have never heard of this project are paid by configuration alone, and an answer that gets lost
// after they charged costs no party anything.

import {
  declarePaymentIdentifierExtension,
  extractPaymentIdentifier,
  validatePaymentIdentifierRequirement,
} from "@x402/extensions/payment-identifier";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openLossyProxy } from "../gateway/faults/lossy-proxy.ts";
import { type Ground, prepareGround } from "../gateway/fixtures.ts";
import { startStockSeller } from "./stock-seller.ts";

const AMOUNT = 100;
const UNITS = 500;
/** 500 mWh in one second: a transfer of its own for each purchase takes its time. */
const LOAD_MILLIWATTS = 1_800_000;

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

const fixed = { kind: "fixed", unitsPerPayment: UNITS };

test("a stock seller by batch-settlement is paid by lights, and gets on chain exactly what it charged", async () => {
  const seller = await startStockSeller(ground, "batch-settlement", {
    amountAtomic: AMOUNT,
    accounts: [1, 2],
  });
  const road = await openLossyProxy(seller.url, (payment) => payment % 4 === 2);
  const gateway = await ground.gateway(ground.config(`${road.url}/energy`, { seller: fixed }));
  const lights = [1, 2, 3].map(() => ground.light(gateway.brokerUrl));
  await Promise.all(lights.map((light) => light.untilCharged(12 * AMOUNT)));
  await Promise.all(lights.map((light) => light.stop()));
  await gateway.stop();

  expect(road.lost).toBeGreaterThan(2);
  const charges = await seller.charges();
  for (const light of lights) {
    const { id, charged, granted, signed } = light.host.state().channel!;
    const atSeller = Number(charges.get(id));
    expect(atSeller).toBeGreaterThanOrEqual(charged);
    expect(atSeller).toBeLessThanOrEqual(signed);
    expect(granted).toBe((charged / AMOUNT) * UNITS);
  }
  const total = [...charges.values()].reduce((sum, charged) => sum + charged, 0n);
  expect(total).toBe(BigInt(seller.served * AMOUNT));
  await seller.manager!.claimAndSettle();
  expect(await seller.received()).toBe(total);
  await road.close();
  await seller.close();
});

test.each(["batch-settlement", "exact"] as const)(
  "a stock seller by %s that asks for identifiers gets one for each payment, the same when an answer was lost",
  async (scheme) => {
    const identifiers = new Map<string, Set<string | null>>();
    const seller = await startStockSeller(ground, scheme, {
      amountAtomic: AMOUNT,
      accounts: [6, 7],
      extensions: { "payment-identifier": declarePaymentIdentifierExtension(true) },
      onPayment(payment) {
        expect(validatePaymentIdentifierRequirement(payment, true)).toEqual({ valid: true });
        const { voucher, authorization } = payment.payload as Record<
          string,
          Record<string, string> | undefined
        >;
        const signed = voucher ? `${voucher.channelId} ${voucher.maxClaimableAmount}` : authorization!.nonce!;
        identifiers.set(
          signed,
          (identifiers.get(signed) ?? new Set()).add(extractPaymentIdentifier(payment)),
        );
      },
    });
    const proxy = await openLossyProxy(seller.url, (payment) => payment % 4 === 2);
    const gateway = await ground.gateway(ground.config(`${proxy.url}/energy`, { seller: fixed }));
    const light = ground.light(gateway.brokerUrl, { loadMilliwatts: LOAD_MILLIWATTS });
    await light.untilCharged(8 * AMOUNT, 40_000);
    await light.stop();
    await gateway.stop();
    await proxy.close();
    await seller.close();

    expect(proxy.lost).toBeGreaterThan(1);
    const each = [...identifiers.values()].map((names) => [...names]);
    expect(each.length).toBeGreaterThanOrEqual(8);
    expect(each.filter((names) => names.length !== 1)).toEqual([]);
    expect(new Set(each.flat()).size).toBe(each.length);
  },
);

test("a stock seller by exact is paid by lights from their own wallets, one transfer for each portion", async () => {
  const seller = await startStockSeller(ground, "exact", { amountAtomic: AMOUNT, accounts: [4, 5] });
  const road = await openLossyProxy(seller.url, (payment) => payment % 4 === 2);
  const gateway = await ground.gateway(ground.config(`${road.url}/energy`, { seller: fixed }));
  const lights = [1, 2].map(() => ground.light(gateway.brokerUrl, { loadMilliwatts: LOAD_MILLIWATTS }));
  await Promise.all(lights.map((light) => light.untilCharged(8 * AMOUNT, 40_000)));
  await Promise.all(lights.map((light) => light.stop()));
  await gateway.stop();

  expect(road.lost).toBeGreaterThan(1);
  const received = Number(await seller.received());
  let charged = 0;
  let signed = 0;
  for (const light of lights) {
    const { channel } = light.host.state();
    charged += channel!.charged;
    signed += channel!.signed;
    expect(channel!.granted).toBe((channel!.charged / AMOUNT) * UNITS);
  }
  expect(received).toBeGreaterThanOrEqual(charged);
  expect(received).toBeLessThanOrEqual(signed);
  await road.close();
  await seller.close();
});
