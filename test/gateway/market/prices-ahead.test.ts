// Prices ahead: what a seller publishes is seen by operators, home-energy software and devices, and binds nobody.

import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createBroker } from "node:net";
import { Aedes } from "aedes";
import { connect } from "mqtt";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { PriceBoard } from "#gateway/sellers/price-board";
import { evccRates, priceDiscovery, priceMessage } from "#gateway/telemetry/price-forms";
import { PRICES_URL } from "#market/own-resources";
import { readPriceSeries } from "#market/price-series";
import { dimmingPlan } from "#market/priced-plan";
import { seriesTariff, timeOfUseTariff } from "#simulator/seller/sale/tariff";
import { type Ground, prepareGround, until } from "../fixtures.ts";
import { startSeller } from "../purchase/agreement.ts";

const HOUR = 3_600;
const WAIT = { timeout: 10_000 };
const DOLLAR = { symbol: "USDC", decimals: 6 };

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

/** Dear from the next full hour on. */
function hourly() {
  const now = Math.floor(Date.now() / 1000);
  const nextHour = (Math.floor(now / HOUR) + 1) * HOUR;
  return {
    nextHour,
    tariff: seriesTariff([
      { startSeconds: now - HOUR, pricePerMillionUnits: 200_000 },
      { startSeconds: nextHour, pricePerMillionUnits: 350_000 },
    ]),
  };
}

test("what a seller asks for the next two days is told by the API, in evcc's form too, and to a device that asks", async () => {
  const { tariff, nextHour } = hourly();
  const seller = await startSeller(ground, { tariff });
  const gateway = await ground.gateway(ground.config(seller.url, { http: { port: 0 } }));
  const light = ground.light(gateway.brokerUrl, { buysOnce: true });
  await light.untilCharged(100);
  const ask = async (path: string) => (await fetch(`${gateway.httpUrl}/api/v1/prices${path}`)).json();
  const pricesNow = async () => (await ask("")) as { sellers: { price: number[][]; untilSeconds: number }[] };
  const known = await vi.waitFor(async () => {
    const found = await pricesNow();
    expect(found.sellers).toHaveLength(1);
    return found;
  }, WAIT);
  const [{ price, untilSeconds }] = known.sellers as [(typeof known.sellers)[0]];
  expect(known.sellers).toMatchObject([{ seller: "seller", unit: "mWh", timeZone: "UTC", money: DOLLAR }]);
  expect(price.map(([, asked]) => asked)).toContain(200_000);
  expect(price).toContainEqual([nextHour, 350_000]);
  expect(untilSeconds - Date.now() / 1000).toBeGreaterThan(47 * HOUR);

  const rates = (await ask("/seller/evcc")) as { start: string; end: string; value: number }[];
  expect(rates[0]).toMatchObject({ end: new Date(nextHour * 1000).toISOString(), value: 0.2 });
  expect(rates[1]).toMatchObject({ start: rates[0]!.end, value: 0.35 });
  expect(await ask("/nobody/evcc")).toMatchObject({ error: expect.stringContaining("found none") });

  const told = await light.host.buyOnce!({ id: "p", method: "GET", url: PRICES_URL, amountMaxAtomic: 1 });
  expect(told).toMatchObject({ kind: "bought", amountAtomic: 0 });
  const { series } = readPriceSeries(told.kind === "bought" ? JSON.parse(told.body) : null);
  expect(series!.price).toContainEqual([nextHour, 350_000]);
  const posted = await light.host.buyOnce!({ id: "q", method: "POST", url: PRICES_URL, amountMaxAtomic: 1 });
  expect(posted).toMatchObject({
    kind: "refused",
    text: expect.stringContaining("expected GET watt402:prices"),
  });
  await light.stop();
  await gateway.stop();
  await seller.stop();
}, 60_000);

test("a light dims by itself while the hour is the dearest that its seller has told ahead", async () => {
  const now = Math.floor(Date.now() / 1000);
  const tariff = seriesTariff([
    { startSeconds: now - HOUR, pricePerMillionUnits: 350_000 },
    { startSeconds: now + HOUR, pricePerMillionUnits: 200_000 },
  ]);
  const seller = await startSeller(ground, { tariff });
  const gateway = await ground.gateway(ground.config(seller.url));
  const planned = { plan: () => [{ minuteOfDay: 0, levelPercent: 80 }] };
  const light = ground.light(gateway.brokerUrl, { priced: dimmingPlan(planned, 50) });
  const levels = new Set<number>();
  await until(
    () => levels.add(light.host.state().levelPercent).has(40),
    90_000,
    () => `40 per cent, found ${[...levels]}`,
  );
  await light.untilCharged(light.charged() + 100);
  expect(light.host.state().levelPercent).toBe(40);
  await light.stop();
  await gateway.stop();
  await seller.stop();
}, 120_000);

/** What a newcomer gets of some topics; rejects when it is not so many. */
async function retainedOn(url: string, topics: string[], count: number): Promise<Map<string, string>> {
  const reader = connect(url);
  const heard = new Map<string, string>();
  reader.on("message", (topic, payload, { retain }) => {
    if (retain) heard.set(topic, payload.toString());
  });
  try {
    await reader.subscribeAsync(topics);
    await until(
      () => heard.size === count,
      1_000,
      () => `${count} topics, found ${[...heard.keys()]}`,
    );
  } finally {
    await reader.endAsync();
  }
  return heard;
}

test("a broker of home automation keeps each seller's prices, retained, with the series in the attribute that price charts read", async () => {
  const aedes = await Aedes.createBroker();
  const server = createBroker(aedes.handle);
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const zone = "Europe/Berlin";
  const tariff = timeOfUseTariff({ timeZone: zone, otherwisePricePerMillionUnits: 300_000, windows: [] });
  const seller = await startSeller(ground, { tariff });
  const config = ground.config(seller.url);
  const gateway = await ground.gateway({
    ...config,
    broker: { kind: "external", url },
    homeAssistant: { enabled: true },
  });
  const topics = ["x402/1/prices/#", "homeassistant/sensor/+/config"];
  const heard = await vi.waitFor(() => retainedOn(url, topics, 2), WAIT);
  const message = JSON.parse(heard.get("x402/1/prices/seller")!);
  expect(message).toMatchObject({ currency: "USDC", per: "kWh", price: 0.3, time_zone: zone });
  expect(message.data[0]).toMatchObject({ price_per_kwh: 0.3, start_time: expect.stringMatching(/Z$/) });
  const announced = JSON.parse(heard.get("homeassistant/sensor/watt402_price_seller/config")!);
  expect(announced).toMatchObject({ state_topic: "x402/1/prices/seller", unit_of_measurement: "USDC/kWh" });
  await gateway.stop();
  await seller.stop();
  server.close();
  await new Promise<void>((done) => aedes.close(done));
}, 60_000);

test("a series that is none, or in another unit, is named once, takes no known one away, and leaves when it is over", async () => {
  let now = 1_800_000_000;
  const good = {
    unit: "mWh",
    timeZone: "UTC",
    price: [[now, 100]],
    fromSeconds: now,
    untilSeconds: now + HOUR,
  };
  let answer: unknown = good;
  const notes: string[] = [];
  const changes: (string | null)[] = [];
  const token = { network: "eip155:1", asset: `0x${"aa".repeat(20)}` };
  const source = { name: "grid", token, unit: () => "mWh", publishedPrices: async () => answer };
  const look = async () => {
    const board = new PriceBoard(
      [source],
      () => now,
      (_level, _text, { reason }) => notes.push(String(reason)),
    );
    board.start((seller, prices) => changes.push(prices === null ? null : `${seller} ${prices.series.unit}`));
    const before = changes.length;
    await until(
      () => changes.length > before,
      5_000,
      () => "an answer",
    );
    return board;
  };
  const board = await look();
  expect(board.of("grid")!.series.price).toEqual([[now, 100]]);
  expect(board.of("elsewhere")).toBeNull();
  now += HOUR - 1;
  expect(board.all()).toHaveLength(1);
  expect(evccRates(board.all()[0]!, DOLLAR)).toEqual([
    {
      start: new Date(now * 1000).toISOString(),
      end: new Date((now + 1) * 1000).toISOString(),
      value: 0.0001,
    },
  ]);
  expect(JSON.parse(priceMessage(board.all()[0]!, DOLLAR)).data).toHaveLength(1);
  expect(JSON.parse(priceDiscovery(board.all()[0]!, DOLLAR)).unique_id).toBe("watt402_price_grid");
  now += 1;
  expect(board.all()).toEqual([]);
  board.stop();

  now = 1_800_000_000;
  for (const odd of [{ ...good, unit: "ms" }, { ...good, price: [] }, "none", {}]) {
    answer = odd;
    const other = await look();
    expect(other.all()).toEqual([]);
    other.stop();
  }
  expect(notes).toHaveLength(4);
  expect(notes[0]).toBe("price series: unit: expected mWh, as its tariff has, found ms");
  answer = null;
  (await look()).stop();
  expect(notes).toHaveLength(4);
});

test("a seller that answers with a million steps is told by name, and sells on", async () => {
  const odd = createServer((_request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ price: Array.from({ length: 10_000 }, (_, at) => [at, 1]) }));
  });
  await once(odd.listen(0, "127.0.0.1"), "listening");
  const notes: string[] = [];
  const url = `http://127.0.0.1:${(odd.address() as AddressInfo).port}`;
  const gateway = await ground.gateway(
    ground.config(url, { http: { port: 0 } }),
    (_level, text, { reason }) => notes.push(`${text}: ${reason}`),
  );
  const isTold = () => notes.some((note) => note.startsWith("a seller's prices ahead are not known:"));
  await until(isTold, 10_000, () => notes.join("\n"));
  expect((await fetch(`${gateway.httpUrl}/api/v1/prices`)).status).toBe(200);
  await gateway.stop();
  odd.close();
});
