// Terms are asked for again as seldom as may be, and a device without terms gets them when there are some.

import { expect, test } from "vitest";
import type { AskedQuote, Seller, Tariff } from "#gateway/purchase/ports";
import { TariffWatch } from "#gateway/sellers/tariff-watch";
import { requirementsOf } from "../purchase/fixtures.ts";
import { testTimer } from "./timer.ts";

const QUANTUM = 100;

function watched() {
  const timer = testTimer();
  const seller = { tariffs: 0, quotes: 0, price: 200_000, isQuoting: true };
  let changes = 0;
  const port = {
    async tariff() {
      seller.tariffs += 1;
      const tariff: Tariff = {
        unit: "mWh",
        pricePerMillionUnits: seller.price,
        validUntilSeconds: 0,
        menu: [QUANTUM],
      };
      return { tariff, reason: "" };
    },
    async quote(): Promise<AskedQuote> {
      seller.quotes += 1;
      if (!seller.isQuoting) return { quote: null, reason: "HTTP 404" };
      const requirements = requirementsOf("batch-settlement", QUANTUM);
      return { quote: { resource: "http://seller/energy", requirements }, reason: "" };
    },
  };
  const watch = new TariffWatch(
    port as unknown as Seller,
    () => {},
    () => {
      changes += 1;
    },
    timer,
  );
  /** Time passes in seconds, and what is asked meanwhile is answered. */
  const pass = async (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      timer.pass(1_000);
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    }
  };
  return { watch, seller, pass, changes: () => changes };
}

test("a seller that refuses for an hour is asked for its terms once a minute, and at once when they had changed", async () => {
  const { watch, seller, pass } = watched();
  await pass(1);
  const before = seller.tariffs;
  for (let second = 0; second < 3600; second++) {
    await Promise.all([watch.reconsider(), watch.reconsider()]);
    await pass(1);
  }
  // One a minute for the refusals and one for the price's age, and the doubling before.
  expect(seller.tariffs - before).toBeLessThan(130);
  seller.price += 1;
  await pass(120);
  const changed = seller.tariffs;
  await watch.reconsider();
  expect(seller.tariffs).toBe(changed + 1);
});

test("a device without a quote gets one soon after the seller quotes again, though its tariff never failed", async () => {
  const { watch, seller, pass, changes } = watched();
  await pass(1);
  seller.isQuoting = false;
  expect((await watch.quote(QUANTUM)).quote).toBeNull();
  const before = changes();
  await pass(10);
  expect(changes()).toBe(before);
  seller.isQuoting = true;
  await pass(17);
  expect(changes()).toBe(before + 1);
  seller.isQuoting = false;
  const asked = seller.quotes;
  await watch.quote(QUANTUM).then(() => pass(600));
  expect(seller.quotes - asked).toBeLessThan(20);
});
