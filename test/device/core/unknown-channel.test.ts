/** A gateway that has forgotten a channel has no counters of it to send: its refusal says 0, and means it. */
import { expect, it } from "vitest";
import type { Effect, Grant } from "#core/events";
import { channelTagOf } from "#core/rungs";
import { Surroundings } from "./fixtures.ts";

const MINUTE_MS = 60_000;

function lit(): Surroundings {
  const world = new Surroundings();
  world.setLink(true);
  world.run(5 * MINUTE_MS);
  expect(world.level).toBe(100);
  return world;
}

function unknown(world: Surroundings): Grant {
  const channelTag = channelTagOf(world.state.channel!.id);
  const nothing = { charged: 0, granted: 0, pricePerMillionUnits: 0, validUntilSeconds: 0 };
  return { refusal: "unknown-channel", channelTag, ...nothing };
}

function hellos(world: Surroundings): number {
  const effects = world.trace.flatMap((traced) => ("effects" in traced ? traced.effects : []));
  return effects.filter((effect: Effect) => effect.type === "hello").length;
}

/** A world whose next rung is signed and gets no answer. */
function waiting(): Surroundings {
  const world = lit();
  world.lose = 1e9;
  while (world.state.pending === null) world.run(100);
  world.lose = 0;
  return world;
}

it("a rung refused for an unknown channel makes the device ask for an offer, whatever it was charged before", () => {
  const world = waiting();
  expect(world.state.channel!.charged).toBeGreaterThan(0);
  const before = hellos(world);
  world.seller.refusing = "unknown-channel";
  world.deliver({ type: "grant", grant: unknown(world) });
  world.run(5_000);
  expect(hellos(world)).toBe(before + 1);
});

it("such a refusal, replayed, changes no counter and nothing that is reported", () => {
  const world = waiting();
  const counters = world.counters();
  const { pending, answerRefusal } = world.state;
  for (let times = 0; times < 100; times++) world.deliver({ type: "grant", grant: unknown(world) });
  expect(world.counters()).toBe(counters);
  expect(world.state).toMatchObject({ pending, answerRefusal });
});

it("such a refusal, replayed ten times a second for ten minutes, is worth six questions a minute at most", () => {
  const world = waiting();
  world.seller.refusing = "seller-unavailable";
  const before = hellos(world);
  for (let times = 0; times < 6_000; times++) {
    world.deliver({ type: "grant", grant: unknown(world) });
    world.run(100);
  }
  const asked = hellos(world) - before;
  expect(asked).toBeGreaterThan(1);
  // Retries end at 20 s, less jitter of one half.
  expect(asked).toBeLessThanOrEqual(6 * 10 + 5);
});

it("such a refusal without a rung under way asks nothing", () => {
  const world = lit();
  while (world.state.pending !== null) world.run(100);
  const before = hellos(world);
  world.deliver({ type: "grant", grant: unknown(world) });
  world.run(2_000);
  expect(hellos(world)).toBe(before);
});
