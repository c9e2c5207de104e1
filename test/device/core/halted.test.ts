/** A device that an offer halted: only the device knows, so it has to ask for the one that helps. */
import { describe, expect, it } from "vitest";
import { Surroundings } from "./fixtures.ts";

const MINUTE_MS = 60_000;

function lit(): Surroundings {
  const world = new Surroundings();
  world.setLink(true);
  world.run(5 * MINUTE_MS);
  expect(world.level).toBe(100);
  return world;
}

describe("a device whose channel was offered on terms it refuses", () => {
  it("asks for another offer, and is lit again soon after its terms are good", () => {
    const world = lit();
    world.announce({ ...world.seller.offer(), unit: "s" });
    world.run(3 * MINUTE_MS);
    expect(world.level).toBe(100);
    expect(world.state.halted).toBe(false);
  });

  it("goes on asking though an old offer is heard in between", () => {
    const world = lit();
    const old = world.sent.find((message) => message.type === "offer")!;
    world.lose = 100;
    world.run(1000);
    world.deliver({ type: "offer", offer: { ...world.seller.offer(), unit: "s" } });
    world.deliver(old);
    world.lose = 0;
    world.run(5 * MINUTE_MS);
    expect(world.level).toBe(100);
  });
});

describe("a device that refused the first offer it was made", () => {
  it("asks for another", () => {
    const world = new Surroundings();
    world.seller.quantumAtomic = 500;
    world.setLink(true);
    world.run(MINUTE_MS);
    expect(world.level).toBe(0);
    world.seller.quantumAtomic = 100;
    world.run(4 * MINUTE_MS);
    expect(world.level).toBe(100);
  });
});

describe("a device that refused a newer offer", () => {
  it("takes no older one that is heard again, whether it stands still or has no channel yet", () => {
    for (const world of [new Surroundings(), lit()]) {
      const known = world.state.channel;
      const first = world.seller.offer();
      const between = { ...world.seller.offer(), balance: first.balance + 1000 };
      if (known !== null) world.deliver({ type: "offer", offer: first });
      world.deliver({ type: "offer", offer: { ...world.seller.offer(), pricePerMillionUnits: 4_000_000 } });
      const { channel, offerRefusal } = world.state;
      expect(offerRefusal).toBe("price-above-ceiling");
      for (const offer of [between, first]) world.deliver({ type: "offer", offer });
      expect(world.state.channel).toEqual(channel);
      expect(world.state.offerRefusal).toBe("price-above-ceiling");
    }
  });
});

describe("a device that began without a clock", () => {
  it("counts what it signed then to the first day it knows", () => {
    const world = new Surroundings();
    world.wallOffset = null;
    world.setLink(true);
    world.run(30 * MINUTE_MS);
    const before = world.pays.at(-1)!.maxClaimable;
    expect(before).toBeGreaterThan(1000);
    world.wallOffset = 20_000 * 86_400;
    world.run(6 * 60 * MINUTE_MS);
    expect(world.pays.at(-1)!.maxClaimable).toBeLessThanOrEqual(world.settings.policy.dailyBudgetAtomic);
  });
});

describe("a device whose deposit is used up", () => {
  it("asks for an offer, since the one with the next deposit may have been lost", () => {
    const world = new Surroundings();
    world.seller.channels[0]!.balance = 500;
    world.setLink(true);
    world.run(5 * MINUTE_MS);
    expect(world.level).toBe(0);
    world.seller.channels[0]!.balance = 10_000;
    world.run(4 * MINUTE_MS);
    expect(world.level).toBe(100);
  });
});

describe("a device whose deposit is used up, again", () => {
  /** It asked for a long while, and then bought on. */
  function longAsked(): Surroundings {
    const world = new Surroundings();
    world.seller.channels[0]!.balance = 500;
    world.setLink(true);
    world.run(10 * MINUTE_MS);
    world.seller.channels[0]!.balance = 1500;
    world.run(4 * MINUTE_MS);
    expect(world.level).toBe(100);
    return world;
  }

  it("asks at once, not as slowly as it did at the end of the time before", () => {
    const world = longAsked();
    world.seller.channels[0]!.balance = 3500;
    for (let second = 0; second < 600; second++) {
      world.run(1000);
      expect(world.level, `after ${second} s`).toBe(100);
    }
  });

  it("goes on asking when the answer bears a revision that a lie used up", () => {
    const world = longAsked();
    while (world.state.answerRefusal !== "deposit-exhausted") world.run(1000);
    world.run(4 * MINUTE_MS);
    expect(world.level).toBe(0);
    const lie = { ...world.seller.offer(), unit: "s", channelId: `0x${"09".repeat(32)}` };
    world.deliver({ type: "offer", offer: { ...lie, revision: lie.revision + 1 } });
    expect(world.state.offerRefusal).toBe("unit-mismatch");
    expect(world.state.halted).toBe(false);
    world.seller.channels[0]!.balance = 3500;
    const told = world.sent.length;
    while (world.sent.length === told) world.run(1000);
    expect(world.sent[told]).toMatchObject({ type: "offer", offer: { revision: world.state.offerRevision } });
    expect(world.level).toBe(0);
    world.run(world.settings.retry.maxMs + 1000);
    expect(world.level).toBe(100);
  });
});

describe("a device that received a price above its ceiling", () => {
  it("asks for an offer until the price is one it pays", () => {
    const world = lit();
    world.seller.pricePerMillionUnits = 2_000_000;
    world.run(10 * MINUTE_MS);
    expect(world.level).toBe(0);
    world.seller.pricePerMillionUnits = 200_000;
    world.run(4 * MINUTE_MS);
    expect(world.level).toBe(100);
  });
});

describe("a device whose meter is silent since power-up", () => {
  it("sends no reading, for it would be that of its last checkpoint", () => {
    const world = lit();
    world.meterMode = "silent";
    world.powerCut();
    const before = world.trace.length;
    world.run(5 * MINUTE_MS);
    const told = world.trace.slice(before).flatMap((line) => ("effects" in line ? line.effects : []));
    expect(told.filter(({ type }) => type === "reading")).toEqual([]);
    expect(told.length).toBeLessThan(200);
  });
});
