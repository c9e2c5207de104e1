// Terms that cannot be paid here are named by what was found and what is spoken, in few words, to the device, too.

import { encodePaymentRequiredHeader } from "@x402/core/http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type SellerClient, UNTIMED } from "#gateway/purchase/ports";
import { fixedSeller } from "#gateway/sellers/client/fixed-seller";
import { RunningSellerClient } from "#gateway/sellers/seller-client";
import { TariffWatch } from "#gateway/sellers/tariff-watch";
import { tokenName } from "#protocol/payment-token";
import type { PaymentRequired } from "#protocol/x402";
import { NETWORK, newBench, requirementsOf, TOKEN } from "../purchase/fixtures.ts";
import { open, Speaker } from "../purchase/speaker.ts";
import { openStandIn, type StandIn } from "./stand-in.ts";
import { testTimer } from "./timer.ts";

const PAYABLE = {
  schemes: ["batch-settlement", "exact"] as const,
  tokens: [{ network: NETWORK, asset: TOKEN }],
};

let answer: { headers: Record<string, string>; body: string };
let standIn: StandIn;
beforeAll(async () => {
  standIn = await openStandIn((_request, response) =>
    response.writeHead(402, answer.headers).end(answer.body),
  );
});
afterAll(() => standIn.close());

/** As the official packages of version 1 answer: terms in the body. */
const VERSION_1 = {
  x402Version: 1,
  error: "X-PAYMENT header is required",
  accepts: [{ scheme: "exact", network: "base-sepolia", maxAmountRequired: "100", resource: "/energy" }],
};

function version2(accepts: PaymentRequired["accepts"]) {
  const required: PaymentRequired = { x402Version: 2, resource: { url: standIn.url }, accepts };
  return { headers: { "payment-required": encodePaymentRequiredHeader(required) }, body: "{}" };
}

const option = (patch: object) =>
  ({ ...requirementsOf("exact", 100), ...patch }) as PaymentRequired["accepts"][number];

const permit2 = option({
  network: "eip155:8453",
  extra: { name: "USD Coin", version: "2", assetTransferMethod: "permit2" },
});

const client = (payable: Parameters<typeof fixedSeller>[2] = PAYABLE) =>
  fixedSeller(
    standIn.http,
    { url: standIn.url, method: "GET", unit: "mWh", unitsPerPayment: 500, metered: false },
    payable,
  );

const SPOKEN = `spoken: batch-settlement by eip3009, exact by eip3009 on ${NETWORK} in token ${TOKEN}`;

test("what a seller accepts and what is spoken are distinguished by version, scheme, method, network and token", async () => {
  const found: [typeof answer, string][] = [
    [
      { headers: {}, body: JSON.stringify(VERSION_1) },
      "found x402 version 1; spoken: version 2, terms in the PAYMENT-REQUIRED header",
    ],
    [
      { headers: {}, body: "<html>pay</html>" },
      "found no PAYMENT-REQUIRED header; spoken: version 2, terms in the PAYMENT-REQUIRED header",
    ],
    [version2([permit2]), `found exact by permit2 on eip155:8453 in token ${TOKEN}; ${SPOKEN}`],
    [
      version2([option({ extra: {} })]),
      `found exact by eip3009 on ${NETWORK} in token ${TOKEN}, without the token's name and version in extra; ${SPOKEN}`,
    ],
    // Names of networks as version 1 had them, in a header of version 2; an amount that fits no counter.
    [
      version2([option({ network: "base" })]),
      `on base (a name of x402 version 1; expected CAIP-2, as eip155:8453) in token ${TOKEN}; ${SPOKEN}`,
    ],
    [version2([option({ amount: "9007199254740993" })]), "amount 9007199254740993 above 9007199254"],
    [
      version2(Array.from({ length: 9 }, () => option({ scheme: "upto".repeat(100) }))),
      `; 5 more; ${SPOKEN}`,
    ],
  ];
  for (const [given, expected] of found) {
    answer = given;
    const { tariff, reason, isUnpayable } = await client().tariff();
    expect(tariff).toBeNull();
    expect(reason).toContain(expected);
    expect(reason.length).toBeLessThan(1200);
    expect(isUnpayable).toBe(true);
  }
});

test("an entry that cannot be read keeps nobody from the others, and alone it is named by its place", async () => {
  answer = version2([option({ network: "base" }), option({})]);
  expect((await client().tariff()).tariff).not.toBeNull();
  const { amount: _amount, ...without } = option({});
  for (const odd of [without, option({ payTo: 5 }), option({ network: 5 })]) {
    answer = version2([odd as typeof without & { amount: string }, option({})]);
    expect((await client().tariff()).tariff).not.toBeNull();
    answer = version2([odd as typeof without & { amount: string }]);
    const { tariff, reason } = await client().tariff();
    expect(tariff).toBeNull();
    expect(reason).toMatch(/payment-required: accepts\.0\.(amount|payTo|network): /);
  }
});

test("a device without an offer hears by a refusal that names no channel whether to wait or to call somebody", async () => {
  const bench = newBench();
  const told: unknown[] = [];
  answer = version2([permit2]);
  const watch = new TariffWatch(
    client(),
    () => {},
    () => {},
  );
  await watch.refresh();
  const odd: SellerClient = {
    name: "odd",
    seller: client(),
    owns: () => true,
    refused: () => {},
    tariff: () => watch.tariff(),
    lacks: () => watch.lacks(),
    isMetered: () => false,
    reconsider: () => watch.reconsider(),
    quote: (quantum) => watch.quote(quantum),
  };
  const router = { clientFor: () => odd, clientOf: () => odd };
  const { said, sessions, gateway } = open(bench, {
    router,
    observe: (event) => {
      if (event.type === "no-offer") told.push(event);
    },
  });
  const speaker = new Speaker(gateway);
  sessions.receive(speaker.device, "hello", speaker.hello());
  await expect.poll(() => speaker.grantsIn(said)).toHaveLength(1);
  expect(speaker.grantsIn(said)).toMatchObject([{ refusal: "seller-refused", channelTag: 0, charged: 0 }]);
  expect(told).toMatchObject([
    {
      device: speaker.device,
      refusal: "seller-refused",
      reason: expect.stringContaining("found exact by permit2"),
    },
  ]);
  expect(speaker.offersIn(said)).toEqual([]);
  watch.stop();
});

const GUARDS = {
  timer: testTimer(),
  note: () => {},
  timing: UNTIMED,
  holds: () => true,
  changed: () => {},
  termsTrouble: async () => "",
};

test("a seller whose terms pay somebody else than its section says is not bought from, by that reason", async () => {
  const tokens = [{ network: NETWORK, asset: TOKEN }];
  const limits = { callsMax: 2, queueMax: 2, awayAfterMs: 1_000, isFirst: true };
  answer = version2([option(tokens[0]!)]);
  const [here, elsewhere] = [requirementsOf("exact", 100).payTo.toLowerCase(), `0x${"0e".repeat(20)}`];
  const quoted = async (payee: string) => {
    const options = { name: "north", kind: "fixed", url: standIn.url, tokens, payee, ...limits } as const;
    const seller = new RunningSellerClient(client({ ...PAYABLE, tokens }), options, GUARDS);
    const asked = await seller.quote(100);
    seller.stop();
    return asked;
  };
  expect((await quoted(here)).quote).not.toBeNull();
  expect(await quoted(elsewhere)).toEqual({
    quote: null,
    isUnpayable: true,
    reason: `seller north: expected terms that pay ${elsewhere}, as its section says, found ${here}`,
  });
});

test("a seller that cannot be paid is told apart from one that is away, also while it is left alone", async () => {
  const tokens = [{ network: NETWORK, asset: TOKEN }];
  const limits = { callsMax: 2, queueMax: 2, awayAfterMs: 1_000, isFirst: true };
  const options = {
    name: "north",
    kind: "fixed",
    url: standIn.url,
    tokens,
    payee: undefined,
    ...limits,
  } as const;
  answer = version2([option({ network: "base" })]);
  const seller = new RunningSellerClient(client(), options, GUARDS);
  const reasons: string[] = [];
  for (let asked = 0; asked < 10; asked++) {
    const { reason, isUnpayable } = await seller.quote(100);
    expect(isUnpayable).toBe(true);
    reasons.push(reason);
  }
  seller.stop();
  expect(reasons.at(-1)).toContain("left alone");
});

test("of several tokens that a seller takes, each device is quoted the one that it pays with, at the same price alone", async () => {
  const [dollar, euro] = [TOKEN, `0x${"e0".repeat(20)}`].map((asset) => ({ network: NETWORK, asset }));
  const tokens = [dollar!, euro!];
  const seller = new RunningSellerClient(
    client({ ...PAYABLE, tokens }),
    {
      name: "both",
      kind: "fixed",
      url: standIn.url,
      tokens,
      callsMax: 2,
      queueMax: 2,
      awayAfterMs: 1_000,
      isFirst: true,
    },
    GUARDS,
  );
  const asked = async (...pays: { network: string; asset: string }[]) => {
    const { quote } = await seller.quote(100, pays.map(tokenName).join(" "));
    return quote!.requirements.asset;
  };
  answer = version2([option(dollar!), option(euro!)]);
  const elsewhere = { network: "eip155:1", asset: TOKEN };
  expect(await asked()).toBe(TOKEN);
  expect(await asked(euro!)).toBe(euro!.asset);
  expect(await asked(dollar!)).toBe(TOKEN);
  expect(await asked(euro!, dollar!)).toBe(TOKEN);
  expect(await asked(euro!, elsewhere)).toBe(euro!.asset);
  expect(await asked(elsewhere)).toBe(TOKEN);
  // Another amount is another price, and the tariff has one: what is wanted most stands.
  answer = version2([option(dollar!), option({ ...euro, amount: "90" })]);
  await seller.reconsider();
  expect(await asked(euro!)).toBe(TOKEN);
  // What is not on sale in a device's token is no fault of the seller's.
  answer = version2([option(dollar!)]);
  await seller.reconsider();
  expect(await asked(euro!)).toBe(TOKEN);
  seller.stop();
});
