// Two sellers, and the first one dies with a payment on its way: the light goes on buying from the second, nothing
// is signed twice or lost, and the books explain every unit of money, before and after the first one is back.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "smol-toml";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Difference, SellerTotals } from "#gateway/ledger/statements/differences";
import type { SellerService } from "#simulator/seller/seller";
import { startStockSeller } from "../../interop/stock-seller.ts";
import { openLossyProxy } from "../faults/lossy-proxy.ts";
import { type Ground, type Light, prepareGround, until } from "../fixtures.ts";
import { bundleOf } from "../processes/bundle.ts";
import { GATEWAY_PROCESS, spawnGateway } from "../processes/gateway-process.ts";
import { startSeller } from "../purchase/agreement.ts";

const QUANTUM = 100;
const UNITS = 500;
const DEPOSIT = 20_000;
const AWAY_AFTER_MS = 500;
const NOWHERE = "http://127.0.0.1:9";

let ground: Ground;
let program: string;
beforeAll(async () => {
  ground = await prepareGround();
  program = await bundleOf(GATEWAY_PROCESS, ground.directory());
});
afterAll(() => ground.stop());

/** A seller paid to a development account of its own. */
const sellerOf = (account: number): Promise<SellerService> =>
  startSeller(ground, { receiverKey: ground.anvil.accounts[account]!.privateKey });

const configOf = (sellers: readonly Record<string, unknown>[], patch: object = {}) =>
  ground.config("", {
    sellers,
    market: { awayAfterMs: AWAY_AFTER_MS },
    treasury: { depositAtomic: DEPOSIT, depositDays: 0 },
    ...patch,
  });

async function run(config: Record<string, unknown>, ...args: string[]) {
  const file = join(ground.directory(), "gateway.toml");
  writeFileSync(file, stringify(config));
  return spawnGateway([...args, "--config", file], program).ended;
}

async function reconciled(config: Record<string, unknown>) {
  const { stdout } = await run(config, "ledger", "reconcile", "--json");
  return JSON.parse(stdout) as { differences: Difference[]; unasked: string[]; sellers: SellerTotals[] };
}

const channelOf = (light: Light) => light.host.state().channel!;

/** Units granted over all channels: a late answer raises a left channel's `granted`, and nothing else of it. */
function grantedOf(light: Light): number {
  const { channel, former } = light.host.state();
  const marks = [channel!, ...former];
  for (const { charged, granted } of marks) {
    expect([0, UNITS]).toContain(granted - (charged / QUANTUM) * UNITS);
  }
  return marks.reduce((sum, { granted }) => sum + granted, 0);
}

async function untilElsewhere(light: Light, channelId: string): Promise<void> {
  await until(
    () => channelOf(light).id !== channelId,
    20_000,
    () => `a channel other than ${channelId}`,
  );
}

test("a seller that dies with a payment on its way loses its light to the next, and has it back, to the last unit", async () => {
  const [first, second] = await Promise.all([sellerOf(0), sellerOf(1)]);
  let isDying = false;
  const road = await openLossyProxy(first.url, () => {
    if (isDying) road.leadTo(NOWHERE);
    return isDying;
  });
  const config = configOf([
    { name: "first", url: road.url },
    { name: "second", url: second.url },
  ]);
  let gateway = await ground.gateway(config);
  const before = ground.light(gateway.brokerUrl);
  await before.untilCharged(4 * QUANTUM);
  const firstChannel = channelOf(before).id;
  isDying = true;
  await untilElsewhere(before, firstChannel);
  await before.untilCharged(4 * QUANTUM);

  // Its credit is of both sellers; what it signed at the first one is one rung more than it got units for.
  const { account, former, channel } = before.host.state();
  const [left] = former;
  expect(left).toMatchObject({ id: firstChannel, reserved: left!.charged + QUANTUM });
  expect(account!.granted).toBe(left!.granted + channel!.granted);
  expect(before.host.state().levelPercent).toBe(100);
  await before.stop();
  await gateway.stop();

  isDying = false;
  road.leadTo(first.url);
  const between = await reconciled(config);
  expect(between.unasked).toEqual([]);
  expect(between.differences).toMatchObject([
    {
      channel: firstChannel,
      where: "ledger and seller",
      expected: expect.stringContaining(`charged ${left!.charged},`),
      found: expect.stringContaining(`charged ${left!.reserved},`),
      meaning: expect.stringContaining("signed before its device was sent to buy elsewhere"),
    },
  ]);

  gateway = await ground.gateway(config);
  const { key, memory } = before;
  const light = ground.light(gateway.brokerUrl, { key, memory });
  await until(
    () => light.host.state().channel?.id === firstChannel && light.charged() > left!.reserved,
    20_000,
    () => "buying at the first seller again",
  );
  await light.stop();
  await gateway.stop();
  const again = light.host.state();
  expect(again.account!.granted).toBe(grantedOf(light));
  const rungs = [...before.signed, ...light.signed];
  expect(rungs.filter((rung) => rung === left!.reserved).length).toBeGreaterThan(1);
  const after = await reconciled(config);
  expect(after).toMatchObject({ differences: [], unasked: [] });
  expect(after.sellers.map(({ seller }) => seller).sort()).toEqual(["first", "second"]);

  const closed = await run(config, "channels", "close", light.device, "--seller", "second");
  expect(closed.stdout).toContain(`${DEPOSIT - channel!.charged} atomic units are back in the treasury`);
  expect((await reconciled(config)).differences).toEqual([]);
  await Promise.all([first.stop(), second.stop(), road.close()]);
});

test("a seller that comes back is tried by one light's payment, and then has all of them, while the gateway runs", async () => {
  const [first, second] = await Promise.all([sellerOf(8), sellerOf(9)]);
  const road = await openLossyProxy(first.url, () => false);
  const stories: string[] = [];
  const gateway = await ground.gateway(
    configOf([
      { name: "first", url: road.url },
      { name: "second", url: second.url },
    ]),
    (_level, text, { seller }) => stories.push(`${text} ${seller}`),
  );
  const lights = [1, 2, 3].map(() => ground.light(gateway.brokerUrl));
  await Promise.all(lights.map((light) => light.untilCharged(2 * QUANTUM)));
  const ids = lights.map((light) => channelOf(light).id);
  road.leadTo(NOWHERE);
  await Promise.all(lights.map((light, index) => untilElsewhere(light, ids[index]!)));
  await Promise.all(lights.map((light) => light.untilCharged(2 * QUANTUM)));
  road.leadTo(first.url);
  const isBack = (light: Light) => ids.includes(channelOf(light).id) && light.charged() >= 4 * QUANTUM;
  await until(
    () => lights.every(isBack),
    30_000,
    () => `all back; ${stories.join("; ")}`,
  );
  await Promise.all(lights.map((light) => light.stop()));
  await gateway.stop();
  const standings = stories.flatMap((story) => /^the seller's health: (\w+) first$/.exec(story)?.[1] ?? []);
  expect(standings).toEqual(["good", "troubled", "away", "trial", "good"]);
  for (const light of lights) {
    expect(light.host.state().account!.granted).toBe(grantedOf(light));
  }
  await Promise.all([first.stop(), second.stop(), road.close()]);
});

test("a seller that changes its price under a signed rung is bought from on another channel, without one doubly signed", async () => {
  let price = QUANTUM;
  const seller = await startStockSeller(ground, "batch-settlement", {
    amountAtomic: QUANTUM,
    accounts: [4, 5],
    priceAtomic: () => price,
  });
  const road = await openLossyProxy(seller.url, () => false);
  const notes: string[] = [];
  const stock = { name: "stock", kind: "fixed", unitsPerPayment: UNITS, url: `${road.url}/energy` };
  const gateway = await ground.gateway(configOf([stock]), (_level, text) => notes.push(text));
  const light = ground.light(gateway.brokerUrl);
  await light.untilCharged(3 * QUANTUM);
  const { id } = channelOf(light);
  road.leadTo(NOWHERE);
  const isPending = () => light.host.state().pending !== null && light.host.state().answerRefusal !== null;
  await until(isPending, 10_000, () => "a rung without an answer");
  price = 120;
  road.leadTo(seller.url);
  await untilElsewhere(light, id);
  await light.untilCharged(3 * 120);
  await light.stop();
  await gateway.stop();
  const { account, former, channel } = light.host.state();
  expect(notes.join("; ")).toContain("no more on sale what a device signed");
  expect(channel!.charged % 120).toBe(0);
  expect(account!.granted).toBe(former[0]!.granted + (channel!.charged / 120) * UNITS);
  expect(Number((await seller.charges()).get(id))).toBe(former[0]!.charged);
  await Promise.all([seller.close(), road.close()]);
});

test("a light buys on from a stock seller that charges 70 of each 100 signed, and every unit and coin of it is accounted for", async () => {
  const stock = await startStockSeller(ground, "batch-settlement", {
    amountAtomic: QUANTUM,
    accounts: [6, 7],
    chargedAtomic: 70,
  });
  const config = configOf([{ name: "odd", kind: "fixed", unitsPerPayment: UNITS, url: stock.url }], {
    http: { port: 0 },
  });
  const gateway = await ground.gateway(config);
  const light = ground.light(gateway.brokerUrl);
  await until(
    () => channelOf(light)?.charged >= 5 * 70,
    20_000,
    () => "buying on",
  );
  const { sellers } = (await (await fetch(`${gateway.httpUrl}/api/v1/sellers`)).json()) as {
    sellers: { name: string; standing: string; lights: number }[];
  };
  expect(sellers).toMatchObject([{ name: "odd", standing: "good", lights: 1 }]);
  await light.stop();
  await gateway.stop();
  const { id, charged, signed, granted } = light.host.state().channel!;
  expect([charged % 70, granted]).toEqual([0, UNITS * (charged / QUANTUM)]);
  // It may have been stopped between a voucher and its grant.
  expect([charged + 30, charged + QUANTUM]).toContain(signed);
  expect([charged, charged + 70]).toContain(Number((await stock.charges()).get(id)));
  expect(await reconciled(config)).toMatchObject({ differences: [], unasked: [] });
  await stock.close();
});

test("a device buys seconds of the resource that its gateway is configured for, from a seller of parking", async () => {
  const resources = ["north", "south"].map((yard) => ({ path: `/v1/parking/${yard}`, description: yard }));
  const parking = await startSeller(ground, {
    receiverKey: ground.anvil.accounts[3]!.privateKey,
    goods: { unit: "s", resources },
  });
  const bought = [];
  for (const resource of [undefined, "/v1/parking/south"]) {
    const sellers = [{ name: "yard", url: parking.url, ...(resource === undefined ? {} : { resource }) }];
    const gateway = await ground.gateway(configOf(sellers, { http: { port: 0 } }));
    const light = ground.light(gateway.brokerUrl, { unit: "s" });
    await until(
      () => channelOf(light)?.charged >= 300,
      20_000,
      () => "buying seconds",
    );
    const found = await fetch(`${gateway.httpUrl}/api/v1/sellers`).then((answer) => answer.json());
    expect(found).toMatchObject({ sellers: [{ unit: "s", standing: "good" }] });
    await light.stop();
    await gateway.stop();
    const { granted, charged } = channelOf(light);
    bought.push(granted === (charged * 1e6) / 200_000);
  }
  expect(bought).toEqual([true, true]);
  await parking.stop();
});
