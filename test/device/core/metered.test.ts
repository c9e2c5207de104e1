import { describe, expect, it } from "vitest";
import { Surroundings } from "./fixtures.ts";
import { ON_DEMAND, SETTINGS } from "./seller.ts";

function bought(world: Surroundings): number[] {
  return world.pays.map(({ maxClaimable }) => maxClaimable);
}

describe("a device at a seller that charges 37 of each 100", () => {
  it("signs what was charged and a quantum more, and is lit", () => {
    const world = new Surroundings(ON_DEMAND);
    world.seller.chargedPermille = 370;
    world.setLink(true);
    world.run(120_000);
    const amounts = bought(world);
    expect(amounts.length).toBeGreaterThan(5);
    expect(amounts).toEqual(amounts.map((_, index) => 37 * index + 100));
    expect(world.level).toBe(100);
    expect(world.state.channel).toMatchObject({ charged: 37 * amounts.length, signed: amounts.at(-1) });
  });

  it("goes on after a power cut from what the seller says it charged", () => {
    const world = new Surroundings(ON_DEMAND);
    world.seller.chargedPermille = 370;
    world.setLink(true);
    world.run(60_000);
    world.lose = 1;
    world.run(20_000);
    world.powerCut();
    world.setLink(true);
    world.run(60_000);
    const [channel] = world.seller.channels;
    const purchases = new Set(bought(world)).size;
    expect(channel!.charged).toBe(37 * purchases);
    expect(Math.max(...bought(world))).toBe(channel!.charged + 63);
    expect(world.level).toBe(100);
  });

  it("takes up a larger quantum at once, and a smaller one where it leads above all that was signed", () => {
    const world = new Surroundings(ON_DEMAND);
    world.seller.chargedPermille = 370;
    world.setLink(true);
    world.run(30_000);
    for (const [offered, taken] of [
      [150, 150],
      [40, 150],
      [120, 120],
    ]) {
      world.seller.quantumAtomic = offered!;
      world.announce();
      world.run(90_000);
      expect(world.pays.at(-1)!.amountAtomic).toBe(taken);
      expect(world.state.channel!.quantumAtomic).toBe(taken);
    }
  });

  it("is refused by name on a board that signs ahead, before anything is signed", () => {
    const world = new Surroundings(SETTINGS);
    world.seller.chargedPermille = 370;
    world.setLink(true);
    world.run(60_000);
    expect(world.pays).toEqual([]);
    expect(world.state).toMatchObject({ offerRefusal: "metered-seller", levelPercent: 0 });
  });

  it("that charges nothing sold nothing: the same voucher is presented again", () => {
    const world = new Surroundings(ON_DEMAND);
    world.seller.refusing = "seller-refused";
    world.setLink(true);
    world.run(60_000);
    expect(new Set(bought(world))).toEqual(new Set([100]));
    expect(world.state).toMatchObject({ answerRefusal: "seller-refused", levelPercent: 0 });
  });
});
