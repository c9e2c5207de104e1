import { describe, expect, it } from "vitest";
import { creditLeft, reportOf } from "#core/machine";
import { DAY_SECONDS, Surroundings } from "./fixtures.ts";
import { SETTINGS } from "./seller.ts";

const RICH = { ...SETTINGS, policy: { ...SETTINGS.policy, dailyBudgetAtomic: 100_000 } };

function lit(settings = SETTINGS): Surroundings {
  const world = new Surroundings(settings);
  world.setLink(true);
  world.run(1_000);
  expect(world.level).toBe(100);
  return world;
}

describe("a paid lamp", () => {
  it("shines without a flicker for an hour at constant load, buying a quantum for every 30 s", () => {
    const world = lit(RICH);
    let dark = 0;
    for (let ms = 0; ms < 3_600_000; ms += 100) {
      world.run(100);
      if (world.level === 0) dark++;
    }
    expect(dark).toBe(0);
    expect(world.pays.length).toBeGreaterThanOrEqual(120);
    expect(world.pays.length).toBeLessThanOrEqual(123);
  });

  it("wakes a bounded number of times an hour: lit, starved, dark, unlinked, with failing parts", () => {
    const bound = 1_500;
    const cases: ((world: Surroundings) => void)[] = [
      () => {},
      (world) => world.setLink(false),
      (world) => {
        world.signerFails = true;
      },
      (world) => {
        world.journalFails = true;
      },
      (world) => {
        world.lose = 1e9;
      },
      (world) => {
        world.seller.refusing = "seller-unavailable";
      },
      (world) => {
        world.seller.refusing = "channel-closing";
      },
      (world) => {
        world.seller.refusing = "unknown-channel";
      },
      (world) => {
        world.loadShare = 0.01;
      },
      (world) => world.setMeter("silent"),
      (world) => world.setMeter("stuck"),
      (world) => world.setMeter("spike"),
    ];
    for (const fail of cases) {
      const world = lit(RICH);
      fail(world);
      // The link comes back once, which makes a rung in flight due at once.
      world.run(40_000);
      if (world.linkUp) {
        world.setLink(false);
        world.setLink(true);
      }
      world.wakes = 0;
      world.run(3_600_000);
      expect(world.wakes).toBeLessThanOrEqual(bound);
      expect(world.wakes).toBeGreaterThanOrEqual(360);
    }
  });

  it("opens the relay no later than its credit ends, to one step of the meter and the shortest sleep", () => {
    const world = lit();
    world.setLink(false);
    world.run(0);
    while (world.level > 0) world.run(1);
    expect(world.consumedUnits).toBeLessThanOrEqual(world.seller.grantedUnits() + 1 + 0.1);
    expect(world.consumedUnits).toBeGreaterThanOrEqual(world.seller.grantedUnits() - 1);
  });

  it("reckons at its rating when the meter falls silent the moment it is lit", () => {
    const world = new Surroundings();
    world.setMeter("true");
    world.setLink(true);
    world.run(100);
    world.setMeter("silent");
    world.setLink(false);
    world.run(600_000);
    expect(world.level).toBe(0);
    expect(world.consumedUnits).toBeLessThanOrEqual(world.seller.grantedUnits() + 1);
  });

  it("stays dark after a power cut, and buys nothing, until its meter is heard", () => {
    const world = lit();
    world.setMeter("silent");
    world.powerCut();
    world.setLink(true);
    const bought = world.pays.length;
    world.run(60_000);
    expect(world.level).toBe(0);
    expect(world.pays.length).toBe(bought);
    world.setMeter("true");
    world.run(20_000);
    expect(world.level).toBe(100);
  });
});

describe("a refused rung", () => {
  it("is put off no further by the same refusal heard a thousand times", () => {
    const world = lit();
    world.seller.refusing = "seller-unavailable";
    world.run(40_000);
    expect(world.level).toBe(0);
    const refused = world.sent.findLast((message) => message.type === "grant")!;
    world.seller.refusing = null;
    for (let second = 0; second < 25; second++) {
      world.run(1_000);
      world.deliver(refused);
    }
    expect(world.level).toBe(100);
  });

  it("that ends a channel makes the device ask for another offer, and go on with it", () => {
    const world = lit();
    world.seller.refusing = "channel-closing";
    world.run(40_000);
    expect(world.level).toBe(0);
    world.seller.refusing = null;
    world.seller.present = 1;
    world.run(20_000);
    expect(world.level).toBe(100);
    expect(world.state.channel!.id).toBe(world.seller.channels[1]!.id);
  });

  it("that ends a channel is presented no sooner for an offer of the same channel after each refusal", () => {
    const world = lit();
    world.seller.refusing = "channel-closing";
    while (!world.state.halted) world.run(100);
    const before = world.pays.length;
    for (let times = 0; times < 6_000; times++) {
      if (world.state.halted) world.announce();
      world.run(100);
    }
    const presented = world.pays.length - before;
    expect(presented).toBeGreaterThan(1);
    // Retries end at 20 s, less jitter of one half.
    expect(presented).toBeLessThanOrEqual(6 * 10 + 5);
    world.seller.refusing = null;
    world.run(20_000);
    expect(world.level).toBe(100);
  });

  it("is sent again byte for byte, and marked so", () => {
    const world = lit();
    world.lose = 2;
    world.run(60_000);
    const again = world.pays.filter((payment) => payment.again);
    expect(again.length).toBeGreaterThanOrEqual(1);
    for (const payment of again) {
      const first = world.pays.find((one) => one.maxClaimable === payment.maxClaimable)!;
      expect({ ...payment, register: 0, again: false }).toEqual({ ...first, register: 0 });
    }
  });
});

describe("a message with a right tag", () => {
  it("cannot claim a charge that was never signed, though the reserve would cover it", () => {
    const world = lit();
    const channel = world.state.channel!;
    const grant = world.sent.findLast((message) => message.type === "grant")!.grant;
    world.deliver({ type: "grant", grant: { ...grant, charged: channel.signed + 100, granted: 9_999 } });
    expect(world.state.channel).toEqual(channel);
    expect(reportOf(world.state).refusal).toBe("charged-above-signed");
  });

  it("cannot bring back an old price, nor make energy free", () => {
    const world = lit();
    world.run(60_000);
    const grants = world.sent.filter((message) => message.type === "grant");
    const old = grants[0]!.grant;
    world.deliver({ type: "grant", grant: { ...old, pricePerMillionUnits: 399_999 } });
    expect(world.state.channel!.pricePerMillionUnits).toBe(200_000);
    world.seller.pricePerMillionUnits = 0.0001;
    const last = grants.at(-1)!.grant;
    world.deliver({ type: "grant", grant: { ...last, pricePerMillionUnits: 0 } });
    expect(world.state.channel!.pricePerMillionUnits).toBe(200_000);
  });

  it("cannot crash the device by granting more than there is", () => {
    const world = lit();
    world.honest = false;
    for (const present of [0, 1]) {
      world.seller.present = present;
      world.deliver({ type: "offer", offer: world.seller.offer() });
      const renewed = { ...world.seller.offer(), granted: 281_474_976_710_655 };
      world.deliver({ type: "offer", offer: renewed });
    }
    expect(world.state.account!.granted).toBe(281_474_976_710_655);
  });

  it("of a former channel counts late, and leaves the marks in their order", () => {
    const world = lit();
    world.seller.present = 1;
    world.announce();
    world.run(30_000);
    world.seller.present = 2;
    world.announce();
    world.run(1_000);
    const before = world.state;
    const [second, first] = before.former;
    world.deliver({
      type: "grant",
      grant: {
        refusal: null,
        channelTag: 0x01010101,
        charged: first!.signed,
        granted: first!.granted + 40,
        pricePerMillionUnits: 1,
        validUntilSeconds: 0,
      },
    });
    expect(world.state.account!.granted).toBe(before.account!.granted + 40);
    expect(world.state.former.map((mark) => mark.id)).toEqual([second!.id, first!.id]);
  });
});

describe("a power cut", () => {
  it("after midnight does not begin the day's budget twice", () => {
    const world = lit();
    world.wallOffset = 20_001 * DAY_SECONDS;
    for (let cuts = 0; cuts < 12; cuts++) {
      world.setLink(true);
      world.run(300_000);
      world.powerCut();
    }
    // The surroundings hold every payment against its day; the day was used up, and not exceeded.
    expect(world.state.budget.day).toBe(20_001);
    expect(reportOf(world.state).credit).toBeLessThanOrEqual(0);
  });

  it("does not let another remembered channel run on the budget of the one before", () => {
    const world = lit();
    world.seller.present = 1;
    world.announce();
    world.run(600_000);
    world.powerCut();
    world.seller.present = 0;
    world.setLink(true);
    world.run(12 * 3_600_000);
    expect(world.state.channel!.id).toBe(world.seller.channels[0]!.id);
    expect(world.pays.length).toBeLessThanOrEqual(40 + 1);
  });

  it("costs a device its light for the time of one look and one offer, not its credit", () => {
    const world = lit();
    world.run(10_000);
    world.powerCut();
    world.setLink(true);
    world.run(1_000);
    expect(world.level).toBe(100);
    const left = world.seller.grantedUnits() - world.consumedUnits;
    expect(creditLeft(world.state)).toBeGreaterThanOrEqual(Math.floor(left));
  });
});

describe("a device whose memory is gone", () => {
  it("goes on with the counters of a fresh offer, though an old one was first", () => {
    const world = lit();
    world.run(300_000);
    const old = world.sent.find((message) => message.type === "offer")!;
    const forgetful = new Surroundings();
    Object.assign(forgetful.seller, world.seller);
    forgetful.deliver(old);
    forgetful.setLink(true);
    forgetful.run(60_000);
    expect(forgetful.level).toBe(100);
    expect(forgetful.pays.at(-1)!.maxClaimable).toBeGreaterThan(world.pays.at(-1)!.maxClaimable);
  });

  it("believes no gateway above what it signed itself, once that was charged", () => {
    const world = lit();
    world.honest = false;
    const { charged } = world.state.channel!;
    world.deliver({ type: "offer", offer: { ...world.seller.offer(), charged: 4_001 } });
    expect(reportOf(world.state).refusal).toBe("charged-above-signed");
    expect(world.state.channel!.charged).toBe(charged);
    // The day that follows holds what was signed on it to its budget: the surroundings count every payment.
    world.wallOffset = 20_001 * DAY_SECONDS;
    world.run(10_000);
    expect(world.pays.at(-1)!.maxClaimable).toBeLessThan(4_001);
  });
});

describe("a failing journal", () => {
  it("holds back every rung beyond the reserve, and lets them go once it is repaired", () => {
    const world = lit();
    world.journalFails = true;
    world.run(1_800_000);
    const held = world.pays.length;
    expect(held).toBeLessThanOrEqual(16);
    expect(reportOf(world.state).refusal).toBe("journal-failed");
    world.repairJournal();
    world.run(10_000);
    expect(world.pays.length).toBeGreaterThan(held);
    expect(world.level).toBe(100);
  });
});
