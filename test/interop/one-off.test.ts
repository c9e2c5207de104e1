// A device that buys single resources beside its stream, over MQTT, from a real seller on a real chain: under one budget of
// the day, each once, and no more of the way ahead than its cap.

import { privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { spentToday } from "#core/policy";
import { creditElsewhere } from "#host/credit-by-seller";
import type { OneOffOrder } from "#node/general/one-off-order";
import { Prefetch } from "#node/general/prefetch";
import type { HostLink } from "#node/host";
import { openKey } from "#payment/key";
import { mint } from "#simulator/chain/deploy";
import { flatTariff } from "#simulator/seller/sale/tariff";
import { startSeller } from "#simulator/seller/seller";
import { type Ground, prepareGround, until } from "../gateway/fixtures.ts";

const SEGMENT = 50;
const SEGMENTS = 12;
const CAP = 3;
/** The stream may take what the segments leave. */
const BUDGET = 2_000;
const WALLET = 100_000n;

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

/** @param nth of several sellers: each has accounts of its own */
async function openRoad(nth = 0) {
  const [receiver, facilitator] = ground.anvil.accounts.slice(5 + 2 * nth, 7 + 2 * nth);
  const seller = await startSeller({
    rpcUrl: ground.anvil.rpcUrl,
    dataDirectory: ground.directory(),
    receiverKey: receiver!.privateKey,
    facilitatorKey: facilitator!.privateKey,
    token: ground.contracts.token,
    tariff: flatTariff(10_000_000),
    menu: [SEGMENT, 100],
    goods: {
      unit: "s",
      resources: [
        { path: "/v1/road", description: "a stream" },
        ...Array.from({ length: SEGMENTS }, (_, n) => ({
          path: `/v1/segments/${n}`,
          description: "a stretch of road",
          data: `bends and signs of segment ${n}`,
        })),
      ],
    },
    schemes: ["batch-settlement", "exact"],
    log: () => {},
  });
  const payee = privateKeyToAccount(receiver!.privateKey).address.toLowerCase();
  return { seller, payee };
}

function orderAt(sellerUrl: string, n: number): OneOffOrder {
  return {
    id: `${sellerUrl.slice(-5)} segment ${n}`,
    method: "POST",
    url: `${sellerUrl}/v1/segments/${n}?quantum=${SEGMENT}`,
    amountMaxAtomic: SEGMENT,
  };
}

async function accountAt(sellerUrl: string, id: string) {
  const answer = await fetch(`${sellerUrl}/v1/accounts/${id}`);
  return (await answer.json()) as {
    readonly scheme: string;
    readonly charged: number;
    readonly granted: number;
  };
}

const ROAD = { unit: "s", loadMilliwatts: 3_600_000, wantedUnits: 10, priceCeiling: 200_000_000 };

test("segments and the stream are paid from one day's budget, each segment once, and at most a few ahead", async () => {
  const { seller } = await openRoad();
  const gateway = await ground.gateway(
    ground.config(seller.url, {
      seller: { schemes: ["batch-settlement"] },
      forward: { origins: [seller.url] },
    }),
  );
  const key = openKey(crypto.getRandomValues(new Uint8Array(32)));
  await mint(ground.anvil, key.address, WALLET);
  const car = ground.light(gateway.brokerUrl, { key, buysOnce: true, dailyBudgetAtomic: BUDGET, ...ROAD });
  await car.untilCharged(100);

  const orderOf = (n: number) => orderAt(seller.url, n);
  const prefetch = new Prefetch(car.host.buyOnce!, CAP);
  const ahead = (from: number) =>
    Array.from({ length: SEGMENTS - from }, (_, index) => orderOf(from + index));
  for (let at = 0; at < 5; at += 1) {
    prefetch.want(ahead(at));
    await until(
      () => prefetch.held === CAP,
      20_000,
      () => `${CAP} held, found ${JSON.stringify(prefetch.counts)}`,
    );
    expect(prefetch.use(orderOf(at).id)).toContain(`bends and signs of segment ${at}`);
  }
  expect(prefetch.counts).toEqual({
    bought: 7,
    refused: 0,
    unknown: 0,
    spentAtomic: 350,
    used: 5,
    missed: 0,
  });

  // The same order again, whatever comes back, is never charged again: signed within the same second it is the same
  // payment and has the same answer, later the nonce is used up.
  await car.host.buyOnce!(orderOf(0));
  expect(await accountAt(seller.url, key.address)).toMatchObject({ charged: prefetch.counts.spentAtomic });
  expect(await car.host.buyOnce!({ ...orderOf(9), amountMaxAtomic: SEGMENT - 1 })).toMatchObject({
    kind: "refused",
    reason: "quantum-above-limit",
  });
  const free = await car.host.buyOnce!({
    ...orderOf(9),
    id: "tariff",
    method: "GET",
    url: `${seller.url}/v1/tariff`,
  });
  expect(free).toMatchObject({ kind: "bought", amountAtomic: 0 });

  // The stream takes the rest of the day, and then neither is paid any more.
  const refusal = () => car.host.state().answerRefusal;
  await until(
    () => refusal() === "budget-exhausted",
    60_000,
    () => `the budget exhausted, found ${refusal()}`,
  );
  expect(await car.host.buyOnce!(orderOf(10))).toMatchObject({ kind: "refused", reason: "budget-exhausted" });
  const { budget, channel } = car.host.state();
  expect(spentToday(budget, channel!.signed)).toBeLessThanOrEqual(BUDGET);
  expect(channel!.charged + prefetch.counts.spentAtomic).toBeLessThanOrEqual(BUDGET);
  await car.stop();
  const account = await accountAt(seller.url, key.address);
  expect(account).toMatchObject({ scheme: "exact", charged: prefetch.counts.spentAtomic });
  await seller.stop();
}, 120_000);

test("a car buys ahead what the next seller has of a tunnel, passes it, and goes on with that seller's stream", async () => {
  const roads = [await openRoad(1), await openRoad(2)] as const;
  const sellers = roads.map(({ seller, payee }, index) => ({
    ...{
      name: `region-${index}`,
      url: seller.url,
      payee,
      network: ground.network,
      asset: ground.contracts.token,
    },
    schemes: ["batch-settlement"],
  }));
  const origins = roads.map(({ seller }) => seller.url);
  const gateway = await ground.gateway(ground.config(origins[0]!, { sellers, forward: { origins } }));
  const key = openKey(crypto.getRandomValues(new Uint8Array(32)));
  await mint(ground.anvil, key.address, WALLET);
  const place = new TestPlace(roads.map(({ payee }) => payee));
  const car = ground.light(gateway.brokerUrl, { key, buysOnce: true, moving: place, ...ROAD });
  await car.untilCharged(100);
  const first = car.host.state().channel!;
  expect(first.terms.payTo).toBe(roads[0].payee);

  const prefetch = new Prefetch(car.host.buyOnce!, CAP);
  const ahead = [
    orderAt(origins[0]!, 0),
    orderAt(origins[1]!, 1),
    orderAt(origins[1]!, 2),
    orderAt(origins[1]!, 3),
  ];
  prefetch.want(ahead);
  await until(
    () => prefetch.held === CAP,
    20_000,
    () => `${CAP} held, found ${JSON.stringify(prefetch.counts)}`,
  );

  place.enterTunnel();
  await until(
    () => !car.host.state().linkUp,
    5_000,
    () => "no link in a tunnel",
  );
  place.moveTo(1);
  await until(
    () => car.host.state().account!.payee === roads[1].payee,
    5_000,
    () => "the border passed",
  );
  expect(car.host.state().levelPercent).toBe(0);
  for (const order of ahead.slice(0, CAP)) expect(prefetch.use(order.id)).toContain("bends and signs");
  place.leaveTunnel();
  const hasMoved = () => car.host.state().channel!.terms.payTo === roads[1].payee && car.charged() > 0;
  await until(hasMoved, 20_000, () => "the next seller's stream");
  prefetch.want(ahead.slice(2));
  await until(
    () => prefetch.held === 2,
    20_000,
    () => "the last one ahead",
  );
  expect(prefetch.counts).toMatchObject({ bought: 4, refused: 0, unknown: 0, used: 3, missed: 0 });

  // What is left at the first one is what it granted and was not used there.
  const [left] = creditElsewhere(car.host.state().account);
  const account = await accountAt(origins[0]!, first.id);
  expect(left!.payee).toBe(roads[0].payee);
  expect(left!.units).toBeLessThanOrEqual(account.granted);
  await car.stop();
  const sums = await Promise.all(origins.map((url) => accountAt(url, key.address)));
  expect(sums.map(({ charged }) => charged)).toEqual([SEGMENT, 3 * SEGMENT]);
  await Promise.all(roads.map(({ seller }) => seller.stop()));
}, 120_000);

/** Where the test puts a car, and the tunnel that it drives into. */
class TestPlace {
  private at = 0;
  private isCut = false;
  private border = () => {};
  private change: (up: boolean) => void = () => {};

  private readonly payees: readonly string[];

  constructor(payees: readonly string[]) {
    this.payees = payees;
  }

  readonly whereabouts = {
    now: () => ({ payee: this.payees[this.at]!, unitsAhead: Number.POSITIVE_INFINITY }),
    onChange: (take: () => void) => {
      this.border = take;
    },
  };

  through(link: HostLink): HostLink {
    return {
      publish: (leaf, payload, retained) => this.isCut || link.publish(leaf, payload, retained),
      onMessage: (take) => link.onMessage((leaf, payload) => this.isCut || take(leaf, payload)),
      onChange: (take) => {
        this.change = take;
        link.onChange(take);
      },
      close: () => link.close(),
    };
  }

  moveTo(at: number): void {
    this.at = at;
    this.border();
  }

  enterTunnel(): void {
    this.isCut = true;
    this.change(false);
  }

  leaveTunnel(): void {
    this.isCut = false;
    this.change(true);
  }
}
