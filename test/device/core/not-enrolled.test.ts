/** A device that the operator has not let in yet: it says so, goes on saying hello, and buys once it has an offer. */
import { expect, it } from "vitest";
import type { Grant } from "#core/events";
import { reportOf } from "#core/machine";
import { Surroundings } from "./fixtures.ts";

const NOT_ENROLLED: Grant = {
  refusal: "not-enrolled",
  channelTag: 0,
  charged: 0,
  granted: 0,
  pricePerMillionUnits: 0,
  validUntilSeconds: 0,
};

it("is reported in the state while there is no channel, and an offer ends it", () => {
  const world = new Surroundings();
  world.lose = 1e9;
  world.setLink(true);
  world.run(10_000);
  expect(world.state.channel).toBeNull();
  world.deliver({ type: "grant", grant: NOT_ENROLLED });
  expect(reportOf(world.state).refusal).toBe("not-enrolled");
  world.lose = 0;
  world.run(15 * 60_000);
  expect(world.level).toBe(100);
  expect(reportOf(world.state).refusal).toBeNull();
});

it("replayed to a device that buys, changes nothing", () => {
  const world = new Surroundings();
  world.setLink(true);
  world.run(5 * 60_000);
  const before = JSON.stringify(world.state.channel);
  const counters = world.counters();
  world.deliver({ type: "grant", grant: NOT_ENROLLED });
  expect(world.counters()).toBe(counters);
  expect(JSON.stringify(world.state.channel)).toBe(before);
  expect(reportOf(world.state).refusal).toBeNull();
});

it("reports in the same way that its seller cannot be bought from, and goes on asking", () => {
  for (const refusal of ["seller-unavailable", "seller-refused"] as const) {
    const world = new Surroundings();
    world.lose = 1e9;
    world.setLink(true);
    world.run(10_000);
    world.deliver({ type: "grant", grant: { ...NOT_ENROLLED, refusal } });
    expect(reportOf(world.state).refusal).toBe(refusal);
    world.lose = 0;
    world.run(15 * 60_000);
    expect(world.level).toBe(100);
    expect(reportOf(world.state).refusal).toBeNull();
  }
});
