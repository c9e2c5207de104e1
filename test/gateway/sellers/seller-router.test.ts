// Which device buys where: by order, by name, by price, and one of them first where a seller was away.

import { expect, test } from "vitest";
import { checkConfig } from "#gateway/config/config";
import { devicesOf } from "#gateway/config/sellers-section";
import type { Tariff } from "#gateway/purchase/ports";
import type { HealthName } from "#gateway/sellers/seller-health";
import { openSellerRouter, type SellerEntry } from "#gateway/sellers/seller-router";
import { type PaymentToken, tokenName } from "#protocol/payment-token";
import { deviceOf, newKey } from "../purchase/fixtures.ts";

interface Seller {
  health: HealthName;
  price: number;
  unit: string;
  isMetered: boolean;
  devices: ReadonlySet<string> | null;
  tokens: readonly PaymentToken[];
  payee?: string;
}

const DOLLAR = { network: "eip155:31337", asset: `0x${"70".repeat(20)}` };
const EURO = { network: "eip155:31338", asset: `0x${"7E".repeat(20)}` };

/** Sellers by name, to be changed while they are routed to. */
function routerWith(sellers: Record<string, Partial<Seller>>, choose: "order" | "cheapest" = "order") {
  let nowMs = 0;
  const all: Record<string, Seller> = {};
  const entries = Object.entries(sellers).map(([name, given]): SellerEntry => {
    const seller: Seller = {
      ...{ health: "good", price: 100, unit: "mWh", isMetered: false, devices: null, tokens: [DOLLAR] },
      ...given,
    };
    all[name] = seller;
    const tariff = (): Tariff | null =>
      seller.health === "new"
        ? null
        : { unit: seller.unit, pricePerMillionUnits: seller.price, validUntilSeconds: 0, menu: [100] };
    const client = {
      name,
      get health() {
        return seller.health;
      },
      tariff,
      tokens: seller.tokens,
      payee: seller.payee,
      isMetered: () => seller.isMetered,
      owns: (owner: string) => owner === name,
    };
    return { client: client as unknown as SellerEntry["client"], devices: seller.devices };
  });
  const router = openSellerRouter(entries, choose, () => nowMs);
  return {
    sellers: all,
    router,
    pass: (ms: number) => {
      nowMs += ms;
    },
    at: (device = LAMP, present: string | null = null, isBuying = false, signsAhead = false) =>
      router.clientFor(device, present, isBuying, signsAhead)?.name ?? null,
  };
}

const LAMP = deviceOf(newKey());
const OTHER = deviceOf(newKey());
const ADDRESS = `0x${"70".repeat(20)}`;

test("a device buys from the first that sells, and goes back to it when it sells again", () => {
  const { sellers, at } = routerWith({ first: {}, second: {} });
  expect(at()).toBe("first");
  for (const health of ["troubled", "new"] as const) {
    sellers.first!.health = health;
    expect([health, at(LAMP, "first")]).toEqual([health, "first"]);
  }
  sellers.first!.health = "away";
  expect(at(LAMP, "first")).toBe("second");
  sellers.first!.health = "good";
  expect(at(LAMP, "second")).toBe("first");
});

test("without any that sells, a device stays where it is", () => {
  const { at } = routerWith({ first: { health: "away" }, second: { health: "away" } });
  expect([at(LAMP, "second"), at(LAMP, null)]).toEqual(["second", "first"]);
});

test("a device that signs ahead buys from a metered seller only where there is no other", () => {
  const { sellers, at } = routerWith({ first: { isMetered: true }, second: {} });
  expect([at(LAMP), at(LAMP, null, false, true)]).toEqual(["first", "second"]);
  sellers.second!.isMetered = true;
  expect(at(LAMP, null, false, true)).toBe("first");
});

test("a seller on trial gets one device that buys, no second and no idle one, and another when that one fails to pay", () => {
  const { sellers, at, pass } = routerWith({ first: { health: "trial" }, second: {} });
  expect(at(LAMP, "second", false)).toBe("second");
  expect(at(LAMP, "second", true)).toBe("first");
  expect(at(LAMP, "second", false)).toBe("first");
  expect(at(OTHER, "second", true)).toBe("second");
  pass(60_001);
  expect(at(OTHER, "second", true)).toBe("first");
  sellers.first!.health = "good";
  expect([at(LAMP, "second"), at(OTHER, "second")]).toEqual(["first", "first"]);
});

test("a seller on trial gets all devices where nothing else sells, and none is kept for it that buys elsewhere", () => {
  const { sellers, at } = routerWith({ first: {}, second: { health: "trial" } });
  expect([at(LAMP, "first", true), at(OTHER, "first", true)]).toEqual(["first", "first"]);
  sellers.first!.health = "away";
  expect([at(LAMP, "first", true), at(OTHER, "first", true)]).toEqual(["second", "second"]);
  expect(at(OTHER, "first", false)).toBe("second");
});

test("a seller that names its devices sells to them alone, and before others", () => {
  const devices = new Set([LAMP.device]);
  const { sellers, at } = routerWith({ first: {}, park: { devices } });
  expect([at(LAMP), at(OTHER)]).toEqual(["park", "first"]);
  sellers.park!.health = "away";
  sellers.first!.health = "away";
  expect(at(OTHER, null)).toBe("first");
  sellers.first!.health = "good";
  expect(at(LAMP, "park")).toBe("first");
});

test("a seller of another unit is passed over while one of the device's own is there", () => {
  expect(routerWith({ seconds: { unit: "s" }, energy: {} }).at()).toBe("energy");
  expect(routerWith({ seconds: { unit: "s" } }).at()).toBe("seconds");
});

test("a device that says what it may pay with is sent only to a seller that takes it; one that says nothing, to all", () => {
  const { sellers, at } = routerWith({
    dollars: {},
    euros: { tokens: [EURO] },
    both: { tokens: [EURO, DOLLAR] },
  });
  const paying = (...tokens: PaymentToken[]) => ({ ...LAMP, pays: tokens.map(tokenName).join(" ") });
  expect(at(paying(EURO))).toBe("euros");
  expect(at(paying(DOLLAR))).toBe("dollars");
  expect(at(paying(EURO, DOLLAR))).toBe("dollars");
  expect(at(LAMP)).toBe("dollars");
  sellers.dollars!.health = "away";
  expect(at(paying(DOLLAR))).toBe("both");
  sellers.both!.health = "away";
  sellers.euros!.health = "good";
  // Where nothing that takes its token sells, it may try; it is never sent where it could not pay.
  expect(at(paying(DOLLAR))).toBe("dollars");
  expect(at(paying({ network: "eip155:1", asset: DOLLAR.asset }))).toBeNull();
});

test("a device that says whom it pays now is sent to that seller, or to none", () => {
  const [north, south] = [`0x${"0a".repeat(20)}`, `0x${"0b".repeat(20)}`];
  const { sellers, at } = routerWith({ any: {}, north: { payee: north }, south: { payee: south } });
  const standingAt = (payee: string) => ({ ...LAMP, payee });
  expect([at(standingAt(north)), at(standingAt(south)), at(LAMP)]).toEqual(["north", "south", "any"]);
  sellers.south!.health = "away";
  // It waits there: what another sells is no good where it is.
  expect(at(standingAt(south), "north")).toBe("south");
  expect(at(standingAt(`0x${"0c".repeat(20)}`), "north")).toBeNull();
});

test("the cheapest is bought from, and a device moves for a price that is clearly lower", () => {
  const { sellers, at } = routerWith({ first: { price: 100 }, second: { price: 96 } }, "cheapest");
  expect([at(LAMP, null), at(LAMP, "first"), at(LAMP, "second")]).toEqual(["second", "first", "second"]);
  sellers.second!.price = 95;
  expect(at(LAMP, "first")).toBe("second");
  sellers.second!.health = "away";
  expect(at(LAMP, "second")).toBe("first");
});

const paid = { network: "eip155:31337", asset: ADDRESS };
const config = (sellers: object[], others: object = {}) =>
  checkConfig(
    {
      gateway: { key: "k", data: "d" },
      broker: { kind: "embedded" },
      treasury: { key: "t" },
      chain: { rpc: "http://127.0.0.1:8545" },
      sellers,
      ...others,
    },
    "x.toml",
  );

test("several sellers are named, and their groups are known", () => {
  const one = { name: "grid", url: "http://127.0.0.1:1", ...paid };
  const two = {
    name: "park",
    url: "http://127.0.0.1:2",
    ...paid,
    devices: ["green", `0x${"AB".repeat(20)}`],
  };
  const groups = { green: ["cd".repeat(20)] };
  const { sellers } = config([one, two], { groups });
  expect(sellers.map(({ name }) => name)).toEqual(["grid", "park"]);
  expect([...devicesOf(sellers[1]!, groups)!]).toEqual(["cd".repeat(20), "ab".repeat(20)]);
  expect(devicesOf(sellers[0]!, groups)).toBeNull();
  const wrong: [object[], object, RegExp][] = [
    [[], {}, /expected either \[seller\] or \[\[sellers\]\], found neither/],
    [[one], { seller: one }, /found both/],
    [[one, one], {}, /sellers\.1\.name: expected a name of its own, found "grid" again/],
    [[{ url: one.url, ...paid }], {}, /sellers\.0\.name/],
    [[one, { ...two, devices: ["blue"] }], {}, /expected a device or a name in \[groups\], found "blue"/],
    [
      [one, { ...one, name: "b", asset: `0x${"71".repeat(20)}` }],
      {},
      /symbol, decimals and limits of each of the sellers' 2 tokens in \[\[tokens\]\]/,
    ],
    [[one, { ...one, name: "b", kind: "fixed" }], {}, /sellers\.1\.unitsPerPayment: expected how many mWh/],
    [[{ ...one, name: "a b" }], {}, /expected a letter, then letters, digits, _ and -/],
  ];
  for (const [sellers, others, message] of wrong) expect(() => config(sellers, others)).toThrow(message);
});
