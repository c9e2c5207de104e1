// Conversations: only a right tag is believed, one purchase of a device at a time, all of it bounded.

import { expect, test } from "vitest";
import type { Sale, Seller, SellerClient } from "#gateway/purchase/ports";
import {
  type Bench,
  clientOf,
  type HonestSeller,
  newBench,
  newKey,
  PRICE,
  QUANTUM,
  routerOf,
  UNITS,
} from "./fixtures.ts";
import { enrolled, open, Speaker } from "./speaker.ts";

test("a hello with a right tag brings one retained offer of a channel of its own", async () => {
  const { said, offer, speaker } = await enrolled(newBench());
  expect(said).toHaveLength(1);
  expect(said[0]).toMatchObject({ leaf: "offer", retained: true });
  expect(offer).toMatchObject({ charged: 0, granted: 0, balance: 1000, pricePerMillionUnits: PRICE });
  expect(offer.requirements.amount).toBe(String(QUANTUM));
  expect(offer.channel!.payerAuthorizer).toBe(speaker.key.address);
});

test("hellos that prove nothing are dropped: a foreign key, a wrong tag, another gateway's, not JSON", async () => {
  const { said, sessions, counts, gateway, settled } = open(newBench());
  const [one, two] = [new Speaker(gateway), new Speaker(gateway)];
  const bent = one.hello();
  bent[20]! ^= 1;
  const wrong = [
    two.hello(),
    bent,
    new Speaker(newKey(), one.key).hello(),
    new Uint8Array(0),
    new Uint8Array(300),
  ];
  for (const payload of wrong) sessions.receive(one.device, "hello", payload);
  await settled();
  expect(said).toEqual([]);
  expect(counts).toMatchObject({ hellos: 0, dropped: wrong.length });
  expect(sessions.size).toBe(0);
});

test("a hello replayed changes no counter, and every offer has a higher revision", async () => {
  const { said, sessions, speaker, offer, id, settled } = await enrolled(newBench());
  sessions.receive(speaker.device, "pay", speaker.pay(offer, id, QUANTUM));
  await settled();
  for (let again = 0; again < 3; again += 1) {
    sessions.receive(speaker.device, "hello", speaker.hello());
    await settled();
  }
  const offers = speaker.offersIn(said);
  expect(offers.at(-1)).toMatchObject({ charged: QUANTUM, granted: UNITS });
  const revisions = offers.map(({ revision }) => revision);
  expect(revisions).toEqual([...new Set(revisions)].sort((left, right) => left - right));
});

test("a PAY sent a hundred times while its answer is on the way is carried once", async () => {
  const bench = newBench();
  const { said, sessions, speaker, offer, id, settled } = await enrolled(bench);
  const frame = speaker.pay(offer, id, QUANTUM);
  for (let again = 0; again < 100; again += 1) sessions.receive(speaker.device, "pay", frame);
  await settled();
  expect(bench.seller.presented).toBe(1);
  expect(speaker.grantsIn(said)).toMatchObject([{ refusal: null, charged: QUANTUM, granted: UNITS }]);
  sessions.receive(speaker.device, "pay", frame);
  await settled();
  expect(bench.seller.presented).toBe(1);
  expect(speaker.grantsIn(said)).toHaveLength(2);
});

test("a PAY with a wrong tag, of another length or of an unknown device gets no answer", async () => {
  const bench = newBench();
  const { said, sessions, speaker, offer, id, counts, gateway, settled } = await enrolled(bench);
  const frame = speaker.pay(offer, id, QUANTUM);
  const bent = frame.slice();
  bent[8]! ^= 1;
  const before = counts.dropped;
  sessions.receive(speaker.device, "pay", bent);
  sessions.receive(speaker.device, "pay", frame.slice(0, 98));
  sessions.receive(new Speaker(gateway).device, "pay", frame);
  await settled();
  expect(speaker.grantsIn(said)).toEqual([]);
  expect(counts.dropped - before).toBe(3);
  expect(bench.seller.presented).toBe(0);
});

test("a PAY on a channel that was not offered gets that refusal", async () => {
  const { said, sessions, speaker, offer, settled } = await enrolled(newBench());
  sessions.receive(speaker.device, "pay", speaker.pay(offer, `0x${"99".repeat(32)}`, QUANTUM));
  await settled();
  expect(speaker.grantsIn(said)).toMatchObject([{ refusal: "unknown-channel", channelTag: 0x99999999 }]);
});

test("over the bound of purchases under way a PAY is refused, not queued, and sold once there is room", async () => {
  const bench = newBench();
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const seller: HonestSeller = Object.assign(Object.create(bench.seller), {
    pay: async (...sale: Parameters<Seller["pay"]>) => {
      await held;
      return bench.seller.pay(...sale);
    },
  });
  const { said, sessions, speaker, offer, id, gateway, settled } = await enrolled(
    bench,
    { router: routerOf(clientOf(seller)) },
    { devicesMax: 9, purchasesMax: 1 },
  );
  const other = new Speaker(gateway);
  sessions.receive(other.device, "hello", other.hello());
  await settled();
  const otherId = [...bench.ledger.channels.values()].find(({ device }) => device === other.device)!.id;
  const otherPay = other.pay(other.offersIn(said)[0]!, otherId, QUANTUM);
  sessions.receive(speaker.device, "pay", speaker.pay(offer, id, QUANTUM));
  sessions.receive(other.device, "pay", otherPay);
  await settled();
  expect(other.grantsIn(said)).toMatchObject([{ refusal: "overloaded", charged: 0 }]);
  release();
  await settled();
  sessions.receive(other.device, "pay", otherPay);
  await settled();
  expect(other.grantsIn(said).at(-1)).toMatchObject({ refusal: null, charged: QUANTUM });
});

test("devices over the bound are turned away; those within go on", async () => {
  const { said, sessions, speaker, gateway, settled } = await enrolled(
    newBench(),
    {},
    { devicesMax: 1, purchasesMax: 9 },
  );
  const late = new Speaker(gateway);
  sessions.receive(late.device, "hello", late.hello());
  sessions.receive(speaker.device, "hello", speaker.hello());
  await settled();
  expect(late.offersIn(said)).toEqual([]);
  expect(speaker.offersIn(said)).toHaveLength(2);
  expect(sessions.size).toBe(1);
});

test("a price that changes moves the quantum on the menu to what lasts as long as before", async () => {
  const bench = newBench();
  const { said, sessions, speaker, offer, id, settled } = await enrolled(bench);
  bench.seller.price = 10 * PRICE;
  sessions.receive(speaker.device, "pay", speaker.pay(offer, id, QUANTUM));
  await settled();
  expect(speaker.offersIn(said).at(-1)!.requirements.amount).toBe("1000");
});

test("the deposit is promised ahead, and never beyond the treasury's limits", async () => {
  const bench = newBench({ depositAtomic: 1000, perChannelAtomic: 2000 });
  const { said, sessions, speaker, offer, id, settled } = await enrolled(bench);
  for (let rung = 1; rung <= 20; rung += 1) {
    sessions.receive(speaker.device, "pay", speaker.pay(offer, id, rung * QUANTUM));
    await settled();
    const { balance, charged } = speaker.offersIn(said).at(-1)!;
    expect(balance).toBeLessThanOrEqual(2000);
    if (rung < 16) expect(balance - charged).toBeGreaterThanOrEqual(3 * QUANTUM);
  }
  expect(speaker.grantsIn(said).at(-1)).toMatchObject({ refusal: null, charged: 2000 });
  expect(bench.chain.escrow.get(id)).toBe(2000);
});

test("a gateway that restarted answers a PAY without a new hello, and offers again", async () => {
  const bench = newBench();
  const { speaker, offer, id } = await enrolled(bench);
  const again = open(bench);
  again.sessions.receive(speaker.device, "pay", speaker.pay(offer, id, QUANTUM));
  await again.settled();
  expect(speaker.grantsIn(again.said)).toMatchObject([{ refusal: null, charged: QUANTUM }]);
  expect(speaker.offersIn(again.said)).toHaveLength(1);
});

test("a disk that fails at the hello brings no offer; the next hello does", async () => {
  const bench = newBench();
  const disk = { fails: true };
  const ledger = Object.assign(Object.create(bench.ledger), {
    saveDevice: (record: Parameters<typeof bench.ledger.saveDevice>[0]) =>
      disk.fails ? Promise.reject(new Error("disk full")) : bench.ledger.saveDevice(record),
  });
  const { said, sessions, gateway, settled } = open(bench, { ledger });
  const speaker = new Speaker(gateway);
  sessions.receive(speaker.device, "hello", speaker.hello());
  await settled();
  expect(said).toEqual([]);
  disk.fails = false;
  sessions.receive(speaker.device, "hello", speaker.hello());
  await settled();
  expect(speaker.offersIn(said)).toHaveLength(1);
});

test("after drain nothing more is taken, and what was under way is answered", async () => {
  const bench = newBench();
  const { said, sessions, speaker, offer, id, settled } = await enrolled(bench);
  sessions.receive(speaker.device, "pay", speaker.pay(offer, id, QUANTUM));
  await sessions.drain();
  expect(speaker.grantsIn(said)).toHaveLength(1);
  sessions.receive(speaker.device, "pay", speaker.pay(offer, id, 2 * QUANTUM));
  await settled();
  expect(bench.seller.presented).toBe(1);
});

test("a gateway that gives a device away finishes its purchase first, and reads the ledger anew when it comes back", async () => {
  const bench = newBench();
  const { said, sessions, speaker, offer, id, settled } = await enrolled(bench);
  sessions.receive(speaker.device, "pay", speaker.pay(offer, id, QUANTUM));
  await sessions.leave((device) => device === speaker.device);
  expect(speaker.grantsIn(said)).toMatchObject([{ refusal: null, charged: QUANTUM }]);
  expect(sessions.size).toBe(0);
  // Another gateway sells the next two rungs.
  const other = open(bench);
  for (const rung of [2, 3]) {
    other.sessions.receive(speaker.device, "pay", speaker.pay(offer, id, rung * QUANTUM));
    await settled();
  }
  await other.sessions.leave(() => true);
  sessions.receive(speaker.device, "pay", speaker.pay(offer, id, 4 * QUANTUM));
  await settled();
  expect(speaker.grantsIn(said).at(-1)).toMatchObject({ refusal: null, charged: 4 * QUANTUM });
  expect([...bench.ledger.payments.values()].map(({ amountAtomic }) => amountAtomic)).toEqual(
    Array.from({ length: 4 }, () => QUANTUM),
  );
});

test("a device is offered another seller's channel when its own is not configured any more, or is not its turn", async () => {
  const bench = newBench();
  const [first, second] = [clientOf(bench.seller, "first"), clientOf(bench.seller, "second")];
  let present = first;
  const router = {
    clientFor: () => present,
    clientOf: ({ seller }: { readonly seller: string }) => (present.owns(seller) ? present : null),
  };
  const { said, sessions, speaker, offer, id, settled } = await enrolled(bench, { router });
  present = second;
  sessions.receive(speaker.device, "pay", speaker.pay(offer, id, QUANTUM));
  await settled();
  expect(bench.seller.presented).toBe(0);
  expect(speaker.grantsIn(said)).toMatchObject([{ refusal: "seller-unavailable", charged: 0 }]);
  const [, other] = speaker.offersIn(said);
  expect(other!.channel).toEqual({ ...offer.channel, salt: `0x${"1".padStart(64, "0")}` });

  present = first;
  sessions.renewOffers();
  sessions.renewOffers();
  await settled();
  const [, , back, ...more] = speaker.offersIn(said);
  expect(back!.channel).toEqual(offer.channel);
  expect(back!.revision).toBeGreaterThan(other!.revision);
  expect(more).toEqual([]);
  expect([...bench.ledger.channels.values()].map(({ seller }) => seller).sort()).toEqual(["first", "second"]);
});

test("a price that falls is offered again to devices whose owner's limits refused the dear offer, and to no others", async () => {
  for (const refusal of ["price-above-ceiling", "quantum-above-limit", "budget-exhausted", null] as const) {
    const bench = newBench();
    const { said, sessions, speaker, settled } = await enrolled(bench);
    sessions.receive(speaker.device, "state", speaker.state(refusal));
    await settled();
    bench.seller.price = PRICE / 2;
    sessions.renewOffers();
    await settled();
    const [, again, ...more] = speaker.offersIn(said);
    expect(again?.pricePerMillionUnits).toBe(refusal === null ? undefined : PRICE / 2);
    expect(more).toEqual([]);
  }
});

/** A seller whose quotes wait until they are let go. */
function holding(bench: Bench) {
  const held: (() => void)[] = [];
  const client: SellerClient = {
    ...clientOf(bench.seller),
    quote: async (quantum) => {
      await new Promise<void>((resolve) => held.push(resolve));
      return held.length === 1 ? { quote: null, reason: "down" } : bench.seller.quote(quantum);
    },
  };
  return { router: routerOf(client), held };
}

test("an offer wanted while another is being made is made after it, and one serves all who want it", async () => {
  const bench = newBench();
  const { router, held } = holding(bench);
  const { said, sessions, gateway } = open(bench, { router });
  const speaker = new Speaker(gateway);
  sessions.receive(speaker.device, "hello", speaker.hello());
  await expect.poll(() => held.length).toBe(1);
  // The seller is back, and says so while the question of before is not answered yet.
  for (let again = 0; again < 5; again += 1) sessions.renewOffers();
  held[0]!();
  await expect.poll(() => held.length).toBe(2);
  held[1]!();
  await expect.poll(() => speaker.offersIn(said).length).toBe(1);
  await sessions.drain();
  expect(held).toHaveLength(2);
});

test("a changed price is offered before the next rung is signed", async () => {
  const bench = newBench();
  bench.seller.menu = [QUANTUM];
  const { said, sessions, speaker, offer, id, settled } = await enrolled(bench);
  sessions.receive(speaker.device, "pay", speaker.pay(offer, id, QUANTUM));
  await settled();
  bench.seller.menu = [150];
  sessions.renewOffers();
  await settled();
  expect(speaker.offersIn(said).at(-1)!.requirements.amount).toBe("150");
  expect(bench.ledger.channelsOf(speaker.device)).toHaveLength(1);
});

test("a deposit that the chain knows and the seller does not is asked about ever more seldom, and sold on when it does", async () => {
  const bench = newBench();
  let isKnown = false;
  let asked = 0;
  const refusedFor: string[] = [];
  const seller: HonestSeller = Object.assign(Object.create(bench.seller), {
    pay: async (...sale: Parameters<Seller["pay"]>): Promise<Sale> => {
      asked += 1;
      const sold = await bench.seller.pay(...sale);
      if (isKnown || asked > 1) return isKnown ? sold : bench.seller.unpaid(BEHIND, null);
      // It took the deposit and lost the voucher with its answer.
      bench.seller.accounts.clear();
      return { kind: "unavailable", reason: "reset" };
    },
  });
  const client: SellerClient = { ...clientOf(seller), refused: (_device, reason) => refusedFor.push(reason) };
  const { said, sessions, speaker, offer, id } = await enrolled(bench, { router: routerOf(client) });
  const pay = async () => {
    const before = speaker.grantsIn(said).length;
    sessions.receive(speaker.device, "pay", speaker.pay(offer, id, QUANTUM));
    await expect.poll(() => speaker.grantsIn(said).length).toBeGreaterThan(before);
    return speaker.grantsIn(said).at(-1)!;
  };
  for (let second = 0; second < 300; second += 1) {
    bench.nowSeconds += 1;
    expect((await pay()).refusal).toBe("seller-unavailable");
  }
  // The first, the one that found the deposit on the chain, and after 1, 2, 4, ... 60 seconds.
  expect(asked).toBeLessThan(16);
  expect(refusedFor.length).toBeGreaterThan(5);
  expect(refusedFor[0]).toContain("the chain holds 1000 for this channel and the seller does not know it");
  isKnown = true;
  bench.nowSeconds += 60;
  expect(await pay()).toMatchObject({ refusal: null, charged: QUANTUM });
  expect([...bench.ledger.depositRows.values()]).toMatchObject([{ index: 0, state: "confirmed" }]);
  expect(bench.chain.escrow.get(id)).toBe(1000);
});

const BEHIND = "invalid_batch_settlement_evm_cumulative_exceeds_balance";
