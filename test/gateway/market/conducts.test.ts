/** Sellers that are no liars and yet no good ones, each beside an honest one: what a light loses by them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { flatTariff } from "#simulator/seller/sale/tariff";
import type { SellerService } from "#simulator/seller/seller";
import { type Ground, type Light, prepareGround, until } from "../fixtures.ts";
import { dataOf, ledgerRows, PRICE, QUANTUM, startSeller, UNITS } from "../purchase/agreement.ts";

let ground: Ground;
let grid: SellerService;
beforeAll(async () => {
  ground = await prepareGround();
  grid = await startSeller(ground, { tariff: flatTariff(1.2 * PRICE) });
});
afterAll(async () => {
  await grid.stop();
  await ground.stop();
});

/** A light that buys at `first`, and once that one does not sell at the grid. */
async function lightBetween(first: SellerService, market: Record<string, unknown> = {}) {
  const sellers = [
    { name: "first", url: first.url },
    { name: "grid", url: grid.url },
  ];
  const config = ground.config("", { sellers, market, limits: { sellerTimeoutMs: 1_000 } });
  const noted: string[] = [];
  const gateway = await ground.gateway(config, (_level, text, fields) =>
    noted.push(`${text} ${JSON.stringify(fields)}`),
  );
  return { config, gateway, noted, light: ground.light(gateway.brokerUrl) };
}

const buysAt = (light: Light, { receiver }: SellerService, limitMs = 20_000) =>
  until(
    () => {
      const { channel } = light.host.state();
      return channel?.terms.payTo === receiver.toLowerCase() && channel.charged > 0;
    },
    limitMs,
    () => `a channel with ${receiver}, found ${JSON.stringify(light.host.state().channel)}`,
  );

const account = (nth: number) => ({ receiverKey: ground.anvil.accounts[nth]!.privateKey });

describe("beside an honest seller", () => {
  it("one whose stock of the day is empty says so, and its light buys on elsewhere at once", async () => {
    const battery = await startSeller(ground, { ...account(1), stockUnits: 2 * UNITS });
    const { gateway, noted, light, config } = await lightBetween(battery);
    await buysAt(light, grid);
    await light.stop();
    await gateway.stop();
    expect(noted.join("\n")).toContain("sold_out");
    const [sold] = ledgerRows(dataOf(config)).channels.filter(({ granted }) => granted === 2 * UNITS);
    expect(sold?.charged).toBe(2 * QUANTUM);
    await battery.stop();
  });

  it("one that is paid and vanishes costs its light one quantum", async () => {
    const seller = await startSeller(ground, { ...account(2), conduct: "vanishing" });
    const { gateway, light, config } = await lightBetween(seller, { awayAfterMs: 100 });
    await buysAt(light, grid, 30_000);
    await light.stop();
    await gateway.stop();
    const { claims, settles } = await seller.stop();
    expect(claims.channels).toBe(1);
    const known = ledgerRows(dataOf(config)).channels.map(({ charged }) => charged);
    expect(known).toContain(settles.amountAtomic - QUANTUM);
  });

  it("one that raises its price while it sells loses its light to the cheaper one, and lowers it again", async () => {
    let step = 0;
    const clock = { nowSeconds: () => 1_700_000_000 + 60 * step };
    const seller = await startSeller(ground, { ...account(4), clock, conduct: "greedy" });
    const { gateway, light } = await lightBetween(seller, { choose: "cheapest" });
    const priceOf = async () => {
      const tariff = (await (await fetch(`${seller.url}/v1/tariff`)).json()) as Record<string, number>;
      return tariff.pricePerMillionUnits!;
    };
    await buysAt(light, seller);
    const bought = light.charged();
    await light.untilCharged(bought + QUANTUM);
    step = 1;
    expect(await priceOf()).toBe(220_000);
    await light.untilCharged(light.charged() + QUANTUM);
    step = 2;
    expect(await priceOf()).toBe(242_000);
    await light.untilCharged(light.charged() + QUANTUM);
    step = 3;
    expect(await priceOf()).toBe(266_200);
    await buysAt(light, grid);
    step = 5;
    await priceOf();
    step = 6;
    expect(await priceOf()).toBe(PRICE);
    await light.stop();
    await gateway.stop();
    await seller.stop();
  });
});
