/** A device that an offer made stand still: nobody but itself knows, so it has to ask for the one that helps. */
import { describe, expect, it } from "vitest";
import { Surroundings } from "./surroundings.ts";

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
