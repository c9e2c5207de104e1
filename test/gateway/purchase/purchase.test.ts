// One PAY under every trouble: one rung one charge, nothing granted that was not charged, nothing lost.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { Grant } from "#core/events";
import type { ChannelRecord, Ledger, Sale, Seller } from "#gateway/purchase/ports";
import { purchase } from "#gateway/purchase/purchase";
import { depositNonce } from "#payment/authorization";
import type { Key } from "#payment/key";
import type { PaymentPayload } from "#protocol/x402";
import {
  type Bench,
  HonestSeller,
  MemoryLedger,
  newBench,
  newKey,
  openChannelOf,
  PAY_TO,
  payOf,
  QUANTUM,
  TOKEN,
  UNITS,
} from "./fixtures.ts";
import { cutAt } from "./power-cut.ts";

/** A device with its channel, paying rung after rung; what it knows of counters is the maximum it heard. */
async function newPayer(bench: Bench) {
  const key = newKey();
  const channel = await openChannelOf(bench, key);
  return { key, channel };
}

const member = (of: PaymentPayload) =>
  of.payload as { type?: string; voucher: { maxClaimableAmount: string } };

/** The seller behind a road on which answers and requests get lost. */
function onRoad(seller: HonestSeller, road: { lose: "nothing" | "request" | "answer" }): Seller {
  return {
    tariff: () => seller.tariff(),
    quote: (quantum) => seller.quote(quantum),
    recover: async (channel) => (road.lose === "nothing" ? seller.recover(channel) : null),
    async pay(channel, amount, payload) {
      if (road.lose === "request") return { kind: "unavailable", reason: "lost on the way there" };
      const sale = await seller.pay(channel, amount, payload);
      return road.lose === "answer" ? { kind: "unavailable", reason: "lost on the way back" } : sale;
    },
  };
}

test("a rung is charged once, granted once and in the ledger once, whatever is lost, repeated or restarted", async () => {
  const action = fc.record({
    rung: fc.constantFrom("next", "next", "next", "last", "old"),
    lose: fc.constantFrom("nothing", "nothing", "request", "answer"),
    ledgerFails: fc.boolean().map((yes) => yes),
    restart: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("batch-settlement", "metered batch-settlement", "exact"),
      fc.array(action, { maxLength: 40 }),
      async (scheme, actions) => {
        const bench = newBench();
        bench.seller.scheme = scheme === "exact" ? "exact" : "batch-settlement";
        bench.seller.chargedPermille = scheme.startsWith("metered") ? 370 : 1000;
        const part = (QUANTUM * bench.seller.chargedPermille) / 1000;
        const { key, channel: opened } = await newPayer(bench);
        bench.chain.wallets.set(key.address, 1_000_000);
        const road = { lose: "nothing" as "nothing" | "request" | "answer" };
        const disk = { fails: false };
        const ledger = failing(bench.ledger, disk);
        const parts = bench.parts({ seller: onRoad(bench.seller, road), ledger });
        let channel = opened;
        let heard = { charged: 0, granted: 0 };
        let signed = 0;
        /** Amounts signed, each on the counter that the device knew. */
        const rungs: number[] = [];
        const sign = (base: number) => {
          const at = base + QUANTUM;
          if (!rungs.includes(at)) rungs.push(at);
          signed = Math.max(signed, at);
          return payOf(key, { ...channel, charged: base }, at);
        };
        const hear = ({ channel: after, grant }: { channel: ChannelRecord; grant: Grant }) => {
          channel = after;
          heard = {
            charged: Math.max(heard.charged, grant.charged),
            granted: Math.max(heard.granted, grant.granted),
          };
          // What a device is granted was charged, granted and stored before.
          const sold = bench.seller.accounts.get(channel.id) ?? { charged: 0, granted: 0 };
          expect(grant.charged).toBeLessThanOrEqual(Math.min(sold.charged, signed));
          expect(grant.granted).toBeLessThanOrEqual(sold.granted);
          expect(bench.ledger.channels.get(channel.id)!.charged).toBeGreaterThanOrEqual(grant.charged);
        };
        for (const { rung, lose, ledgerFails, restart } of actions) {
          if (restart) channel = bench.ledger.channelsOf(channel.device)[0]!;
          road.lose = lose;
          disk.fails = ledgerFails;
          const at = { next: heard.charged + QUANTUM, last: rungs.at(-1) ?? 0, old: rungs.at(-2) ?? 0 }[rung];
          if (at > 0) hear(await purchase(parts, channel, sign(at - QUANTUM)));
        }
        road.lose = "nothing";
        disk.fails = false;
        for (let again = 0; again < 3; again += 1) {
          hear(await purchase(parts, channel, sign(heard.charged)));
        }
        expect(heard.charged).toBeGreaterThanOrEqual(3 * part);
        expect(signed).toBe(heard.charged - part + QUANTUM);
        expect(heard).toEqual(bench.seller.accounts.get(channel.id));
        const charges = bench.seller.charges.map(({ from, to }) => [from, to]);
        expect(charges).toEqual(charges.map((_, index) => [index * part, (index + 1) * part]));
        expect([...bench.ledger.payments.values()].map((payment) => payment.charged)).toEqual(
          charges.map(([, to]) => to),
        );
      },
    ),
    { numRuns: 60 },
  );
});

/** A ledger whose disk can be made to fail. */
function failing(ledger: MemoryLedger, disk: { fails: boolean }): Ledger {
  return new Proxy(ledger, {
    get(target, name) {
      const found = Reflect.get(target, name, target) as unknown;
      if (typeof found !== "function") return found;
      return (...args: unknown[]) => {
        if (disk.fails && /^(save|record)/.test(String(name))) return Promise.reject(new Error("disk full"));
        return found.apply(target, args);
      };
    },
  });
}

test("a payment that could not be stored is not granted, and granted without a second charge once it can be", async () => {
  const bench = newBench();
  const { key, channel } = await newPayer(bench);
  const disk = { fails: false };
  const ledger = failing(bench.ledger, disk);
  const first = await purchase(bench.parts({ ledger }), channel, payOf(key, channel, QUANTUM));
  disk.fails = true;
  const pay = payOf(key, channel, 2 * QUANTUM);
  const refused = await purchase(bench.parts({ ledger }), first.channel, pay);
  expect(refused.grant).toMatchObject({ refusal: "ledger-unavailable", charged: QUANTUM, granted: UNITS });
  disk.fails = false;
  const granted = await purchase(bench.parts({ ledger }), refused.channel, pay);
  expect(granted.grant).toMatchObject({ refusal: null, charged: 2 * QUANTUM, granted: 2 * UNITS });
  expect(bench.seller.charges).toHaveLength(2);
});

test("a disk that fails after a deposit arrived costs no second deposit", async () => {
  const bench = newBench();
  const { key, channel } = await newPayer(bench);
  const pay = payOf(key, channel, QUANTUM);
  for (const failingCall of ["confirm", "record"]) {
    const ledger = new Proxy(bench.ledger, {
      get(target, name) {
        const found = Reflect.get(target, name, target) as unknown;
        if (typeof found !== "function") return found;
        return (...args: unknown[]) => {
          const isConfirm = name === "saveDeposit" && (args[0] as { state: string }).state === "confirmed";
          const fails = failingCall === "confirm" ? isConfirm : name === "recordPayment";
          return fails ? Promise.reject(new Error("disk full")) : found.apply(target, args);
        };
      },
    });
    const { grant } = await purchase(bench.parts({ ledger }), channel, pay);
    expect(grant.refusal).toBe("ledger-unavailable");
  }
  const { grant, channel: after } = await purchase(bench.parts(), channel, pay);
  expect(grant).toMatchObject({ refusal: null, charged: QUANTUM });
  expect(after.balance).toBe(1000);
  expect(bench.chain.escrow.get(channel.id)).toBe(1000);
  expect(bench.ledger.deposits(channel.id)).toHaveLength(1);
});

test("a node out of reach is the seller's trouble, not an error: the rung is presented again", async () => {
  const bench = newBench();
  const { key, channel } = await newPayer(bench);
  const chain = Object.assign(Object.create(bench.chain), {
    authorizationUsed: () => Promise.reject(new Error("no node")),
  });
  const seller = new HonestSeller(bench.chain, bench.treasury.address);
  seller.menu = [];
  const { grant } = await purchase(bench.parts({ chain, seller }), channel, payOf(key, channel, QUANTUM));
  expect(grant.refusal).toBe("seller-unavailable");
});

// ---- power cuts ----

test.each(["before", "after"] as const)(
  "cut the power %s any call: the same deposit nonce, one deposit, one charge, one grant",
  async (when) => {
    let cuts = 0;
    for (let at = 0; ; at += 1) {
      const bench = newBench();
      const { key, channel } = await newPayer(bench);
      const calls = { count: 0 };
      const pay = payOf(key, channel, QUANTUM);
      const parts = bench.parts({
        ledger: cutAt(bench.ledger, calls, at, when),
        chain: cutAt(bench.chain, calls, at, when),
        seller: cutAt(bench.seller, calls, at, when),
        treasury: cutAt(bench.parts().treasury, calls, at, when),
      });
      await purchase(parts, channel, pay).catch(() => undefined);
      if (calls.count <= at) break;
      cuts += 1;
      bench.nowSeconds += at % 2 === 0 ? 10 : 7_200;
      const reopened = bench.ledger.channelsOf(channel.device)[0]!;
      const { grant, channel: after } = await purchase(bench.parts(), reopened, pay);
      expect(grant).toMatchObject({ refusal: null, charged: QUANTUM, granted: UNITS });
      expect(bench.seller.charges).toHaveLength(1);
      expect(bench.chain.escrow.get(channel.id)).toBe(1000);
      expect([...bench.chain.used.keys()]).toEqual([
        `${bench.treasury.address} ${depositNonce(channel.id, 0)}`,
      ]);
      expect(after.balance).toBe(1000);
      expect(bench.ledger.balanceOf(channel.id)).toBe(1000);
    }
    expect(cuts).toBeGreaterThan(5);
  },
);

test("a deposit is in the ledger before the treasury's signature leaves", async () => {
  const bench = newBench();
  const { key, channel } = await newPayer(bench);
  const seller: Seller = Object.assign(Object.create(bench.seller), {
    pay: async (of: ChannelRecord, _amount: number, payload: PaymentPayload): Promise<Sale> => {
      expect(member(payload).type).toBe("deposit");
      expect(bench.ledger.deposits(of.id)).toMatchObject([
        { index: 0, state: "intended", amountAtomic: 1000 },
      ]);
      return { kind: "unavailable", reason: "gone" };
    },
  });
  const { grant } = await purchase(bench.parts({ seller }), channel, payOf(key, channel, QUANTUM));
  expect(grant.refusal).toBe("seller-unavailable");
  expect.assertions(3);
});

// ---- limits ----

test("limits per channel and per day hold, and a device beyond them is refused as unfunded", async () => {
  const bench = newBench({ depositAtomic: 200, perChannelAtomic: 400, perDayAtomic: 600 });
  const buy = async (key: Key, from: ChannelRecord, rungs: number) => {
    let channel = from;
    let refusal: Grant["refusal"] = null;
    for (let rung = 1; rung <= rungs; rung += 1) {
      const bought = await purchase(bench.parts(), channel, payOf(key, channel, channel.charged + QUANTUM));
      channel = bought.channel;
      refusal = bought.grant.refusal;
    }
    return { channel, refusal };
  };
  const one = await newPayer(bench);
  const two = await newPayer(bench);
  expect((await buy(one.key, one.channel, 4)).refusal).toBeNull();
  expect((await buy(one.key, bench.ledger.channelsOf(one.channel.device)[0]!, 1)).refusal).toBe("unfunded");
  const bought = await buy(two.key, two.channel, 3);
  expect(bought).toMatchObject({ refusal: "unfunded", channel: { charged: 200 } });
  bench.nowSeconds += 86_401;
  expect(await buy(two.key, bought.channel, 1)).toMatchObject({ refusal: null, channel: { charged: 300 } });
});

// ---- sellers that count differently ----

test("a ledger from a backup catches up with the seller, charging nothing twice", async () => {
  const bench = newBench();
  const { key, channel } = await newPayer(bench);
  let now = channel;
  for (let rung = 1; rung <= 5; rung += 1) {
    now = (await purchase(bench.parts(), now, payOf(key, now, rung * QUANTUM))).channel;
  }
  const backup = new MemoryLedger();
  await backup.saveChannel({ ...now, charged: 2 * QUANTUM, granted: 2 * UNITS });
  for (const deposit of bench.ledger.deposits(channel.id)) await backup.saveDeposit(deposit);
  const restored = backup.channelsOf(channel.device)[0]!;
  const { grant } = await purchase(bench.parts({ ledger: backup }), restored, payOf(key, now, 6 * QUANTUM));
  expect(grant).toMatchObject({ refusal: null, charged: 6 * QUANTUM, granted: 6 * UNITS });
  expect(bench.seller.charges).toHaveLength(6);
});

test("an empty ledger finds the deposits on chain and the charges at the seller", async () => {
  const bench = newBench({ depositAtomic: 300 });
  const { key, channel } = await newPayer(bench);
  let now = channel;
  for (let rung = 1; rung <= 5; rung += 1) {
    now = (await purchase(bench.parts(), now, payOf(key, now, rung * QUANTUM))).channel;
  }
  const empty = new MemoryLedger();
  await empty.saveChannel(channel);
  let lost = channel;
  let grant: Grant | null = null;
  for (let again = 0; again < 4; again += 1) {
    const bought = await purchase(bench.parts({ ledger: empty }), lost, payOf(key, now, 6 * QUANTUM));
    lost = bought.channel;
    grant = bought.grant;
  }
  expect(grant).toMatchObject({ refusal: null, charged: 6 * QUANTUM, granted: 6 * UNITS });
  expect(bench.seller.charges).toHaveLength(6);
  // The second deposit is found where a third would be made.
  for (const rung of [7, 7, 8]) {
    const bought = await purchase(bench.parts({ ledger: empty }), lost, payOf(key, now, rung * QUANTUM));
    lost = bought.channel;
  }
  expect(lost.charged).toBe(8 * QUANTUM);
  expect(bench.chain.escrow.get(channel.id)).toBe(900);
  expect(empty.balanceOf(channel.id)).toBe(900);
});

test("a seller restored from a backup is shown the vouchers it forgot, in order, and sells on", async () => {
  const bench = newBench({ depositAtomic: 20_000 });
  const { key, channel } = await newPayer(bench);
  let now = channel;
  for (let rung = 1; rung <= 100; rung += 1) {
    now = (await purchase(bench.parts(), now, payOf(key, now, rung * QUANTUM))).channel;
  }
  bench.seller.accounts.set(channel.id, { charged: 3 * QUANTUM, granted: 3 * UNITS });
  const pay = payOf(key, now, 101 * QUANTUM);
  const before = bench.seller.presented;
  const busy = await purchase(bench.parts(), now, pay);
  // 97 rungs are more than one PAY shows again.
  expect(busy.grant).toMatchObject({ refusal: "seller-unavailable", charged: 100 * QUANTUM });
  expect(bench.seller.presented - before).toBeLessThanOrEqual(66);
  const sold = await purchase(bench.parts(), busy.channel, pay);
  expect(sold.grant).toMatchObject({ refusal: null, charged: 101 * QUANTUM, granted: 101 * UNITS });
  expect(bench.seller.accounts.get(channel.id)).toEqual({ charged: 101 * QUANTUM, granted: 101 * UNITS });
});

test("a seller that lost its accounts whole still delivers what it sells now", async () => {
  const bench = newBench();
  const { key, channel } = await newPayer(bench);
  let now = channel;
  for (let rung = 1; rung <= 5; rung += 1) {
    now = (await purchase(bench.parts(), now, payOf(key, now, rung * QUANTUM))).channel;
  }
  // x402's stock server takes the client's word for what was charged on a channel it does not know.
  bench.seller.accounts.set(channel.id, { charged: 5 * QUANTUM, granted: 0 });
  const { grant } = await purchase(bench.parts(), now, payOf(key, now, 6 * QUANTUM));
  expect(grant).toMatchObject({ refusal: null, charged: 6 * QUANTUM, granted: 6 * UNITS });
  expect(bench.notes.join()).toContain("behind the ledger");
});

test("a counter in a refusal does not charge part of a rung, unless the seller's account confirms it", async () => {
  for (const [account, signsAhead, refusal] of [
    [QUANTUM, true, "counter-mismatch"],
    [QUANTUM + 50, true, "seller-refused"],
    [QUANTUM, false, "counter-mismatch"],
    [QUANTUM + 50, false, null],
  ] as const) {
    const bench = newBench();
    const { key, channel } = await newPayer(bench);
    const { channel: first } = await purchase(bench.parts(), channel, payOf(key, channel, QUANTUM));
    const seller: Seller = Object.assign(Object.create(bench.seller), {
      pay: async (): Promise<Sale> => ({
        kind: "unpaid",
        charged: QUANTUM + 50,
        reason: "cumulative_amount_mismatch",
      }),
      recover: async () => ({ charged: account, granted: first.granted + 250 }),
    });
    const bought = await purchase(bench.parts({ seller, signsAhead }), first, payOf(key, first, 2 * QUANTUM));
    expect(bought.grant.refusal).toBe(refusal);
    expect(bought.channel.charged).toBe(account);
  }
});

test("a rung that only a refusal's counter calls charged is not booked: its device presents it again", async () => {
  const bench = newBench();
  const { key, channel } = await newPayer(bench);
  const { channel: first } = await purchase(bench.parts(), channel, payOf(key, channel, QUANTUM));
  const sale = { kind: "unpaid", charged: 1000 * QUANTUM, reason: "cumulative_amount_mismatch" } as const;
  const seller: Seller = Object.assign(Object.create(bench.seller), { pay: async (): Promise<Sale> => sale });
  const lied = await purchase(bench.parts({ seller }), first, payOf(key, first, 2 * QUANTUM));
  expect(lied.grant).toMatchObject({ refusal: "seller-unavailable", charged: QUANTUM, granted: UNITS });
  expect(bench.ledger.payment(channel.id, 2 * QUANTUM)).toBeNull();
  expect(bench.notes.join()).toContain("the seller did not sell");

  const again = await purchase(bench.parts(), lied.channel, payOf(key, first, 2 * QUANTUM));
  expect(again.grant).toMatchObject({ refusal: null, charged: 2 * QUANTUM, granted: 2 * UNITS });
});

test("whatever a lying seller says, no device hears of more than it signed, and no frame breaks", async () => {
  const number = fc.constantFrom(0, 1, 50, 99, 100, 101, 150, 199, 200, 201, 1e6, 2 ** 48 - 1);
  const sale: fc.Arbitrary<Sale> = fc.oneof(
    fc
      .record({
        charged: fc.option(number),
        reason: fc.constantFrom("", "cumulative_amount_mismatch", "x".repeat(999)),
      })
      .map((said): Sale => ({ kind: "unpaid", ...said })),
    fc.record({ charged: number, granted: number, price: fc.constantFrom(1, 200_000, 4_294_967_295) }).map(
      ({ charged, granted, price }): Sale => ({
        kind: "paid",
        counters: { charged, granted },
        pricePerMillionUnits: price,
        validUntilSeconds: 0,
        transaction: "",
      }),
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(sale, { minLength: 1, maxLength: 12 }), number, async (said, granted) => {
      const bench = newBench();
      const { key, channel } = await newPayer(bench);
      let call = 0;
      const seller: Seller = Object.assign(Object.create(bench.seller), {
        pay: async () => said[call++ % said.length]!,
        recover: async (_: ChannelRecord, charged: number) => ({ charged, granted }),
      });
      let now = channel;
      for (const rung of [1, 2, 2, 3]) {
        const before = now;
        const presented = call;
        const { grant, channel: after } = await purchase(
          bench.parts({ seller }),
          now,
          payOf(key, now, rung * QUANTUM),
        );
        now = after;
        expect(grant.charged).toBeLessThanOrEqual(rung * QUANTUM);
        expect(grant.charged).toBeGreaterThanOrEqual(before.charged);
        expect(grant.granted).toBeGreaterThanOrEqual(before.granted);
        expect(grant.pricePerMillionUnits).toBeLessThanOrEqual(4_294_967_295);
        if (grant.refusal === null) expect(grant.pricePerMillionUnits).toBeGreaterThan(0);
        expect(call - presented).toBeLessThanOrEqual(70);
      }
    }),
    { numRuns: 120 },
  );
});

// ---- exact ----

async function newExactPayer(bench: Bench) {
  bench.seller.scheme = "exact";
  const payer = await newPayer(bench);
  bench.chain.wallets.set(payer.key.address, 10_000);
  return payer;
}

test("an exact payment whose answer was lost is found on chain and granted, not made again", async () => {
  const bench = newBench();
  const { key, channel } = await newExactPayer(bench);
  const road = { lose: "answer" as "answer" | "nothing" };
  const pay = payOf(key, channel, QUANTUM);
  const lost = await purchase(bench.parts({ seller: onRoad(bench.seller, road) }), channel, pay);
  expect(lost.grant.refusal).toBe("seller-unavailable");
  const { grant } = await purchase(bench.parts(), lost.channel, pay);
  expect(grant).toMatchObject({ refusal: null, charged: QUANTUM, granted: UNITS });
  expect(bench.chain.wallets.get(PAY_TO)).toBe(QUANTUM);
});

test("a nonce that its owner spent elsewhere buys nothing", async () => {
  const bench = newBench();
  const { key, channel } = await newExactPayer(bench);
  const pay = payOf(key, channel, QUANTUM);
  const { authorizationPayload } = await import("#gateway/purchase/payload");
  const { nonce } = (authorizationPayload(channel, pay).payload as { authorization: { nonce: string } })
    .authorization;
  bench.chain.transfer(key.address, key.address, 0, nonce);
  const { grant } = await purchase(bench.parts(), channel, pay);
  expect(grant).toMatchObject({ charged: 0, granted: 0 });
  expect(grant.refusal).not.toBeNull();
  expect(await bench.chain.paidByAuthorization(TOKEN, key.address, nonce, PAY_TO)).toBeNull();
});

test("a nonce that paid a smaller purchase counts as that purchase, not as the one now asked for", async () => {
  const bench = newBench();
  const { key, channel } = await newExactPayer(bench);
  await purchase(bench.parts({ ledger: new MemoryLedger() }), channel, payOf(key, channel, 50));
  expect(bench.chain.wallets.get(PAY_TO)).toBe(50);
  const { grant } = await purchase(bench.parts(), channel, payOf(key, channel, QUANTUM));
  expect(grant).toMatchObject({ refusal: null, charged: 50, granted: UNITS / 2 });
});

test.each([
  ["a voucher on an exact account", "exact", 0],
  ["an authorization on a channel", "batch-settlement", 1_900_000_000],
] as const)("%s is a counter mismatch, and no seller is asked", async (_, scheme, validBeforeSeconds) => {
  const bench = newBench();
  bench.seller.scheme = scheme;
  const { key, channel } = await newPayer(bench);
  const { grant } = await purchase(bench.parts(), channel, {
    ...payOf(key, channel, QUANTUM),
    validBeforeSeconds,
  });
  expect(grant.refusal).toBe("counter-mismatch");
  expect(bench.seller.presented).toBe(0);
});

test("a foreign signature is refused as such and charges nothing", async () => {
  const bench = newBench();
  const { channel } = await newPayer(bench);
  const { grant } = await purchase(bench.parts(), channel, payOf(newKey(), channel, QUANTUM));
  expect(grant).toMatchObject({ refusal: "bad-signature", charged: 0, granted: 0 });
  expect(bench.seller.charges).toHaveLength(0);
});
