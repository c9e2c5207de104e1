// A price that moves at a seller of exact alone: the light follows it, and its granted units are what was paid for.

import { afterAll, beforeAll, expect, test } from "vitest";
import { type Ground, prepareGround, until } from "../gateway/fixtures.ts";
import { startStockSeller } from "./stock-seller.ts";

const AMOUNT = 100;
const UNITS = 500;

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

test("a price by exact that goes up and down is followed, and no account is stuck", async () => {
  let price = AMOUNT;
  const stock = await startStockSeller(ground, "exact", {
    amountAtomic: AMOUNT,
    accounts: [6, 7],
    priceAtomic: () => price,
  });
  const notes: string[] = [];
  const gateway = await ground.gateway(
    ground.config(stock.url, { seller: { kind: "fixed", unitsPerPayment: UNITS, schemes: ["exact"] } }),
    (_level, text, fields) => notes.push(`${text} ${JSON.stringify(fields)}`),
  );
  const light = ground.light(gateway.brokerUrl);
  await light.untilCharged(2 * AMOUNT);
  for (const next of [150, 70, 100]) {
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
  expect(stock.served * UNITS - account!.granted).toBeLessThanOrEqual(pending === null ? 0 : UNITS);
  await stock.close();
});
