import { expect, test } from "vitest";
import { plannedLevel } from "#core/lamp";
import { buildStreet } from "#simulator/fleet/lights/street";

/** 2026-01-15, 20:00 UTC. */
const EVENING_SECONDS = Date.UTC(2026, 0, 15, 20) / 1000;

const drawn = (lights: number, seed: number) =>
  buildStreet(lights, seed).map(({ name, lamp, meter, meterInitial, almanac, random }) => ({
    site: { name, lamp, meter, meterInitial },
    plan: almanac.plan(EVENING_SECONDS),
    jitter: [random(), random()],
  }));

test("the same seed gives the same street, another seed another one", () => {
  expect(drawn(60, 7)).toEqual(drawn(60, 7));
  expect(drawn(60, 7)).not.toEqual(drawn(60, 8));
});

test("no two sites share a name or their random numbers", () => {
  const street = drawn(300, 1);
  expect(new Set(street.map(({ site }) => site.name)).size).toBe(300);
  expect(new Set(street.map(({ jitter }) => jitter.join())).size).toBe(300);
});

test("every lamp is lit when the fleet's evening begins, or a run would show nothing", () => {
  for (const { plan } of drawn(300, 1)) expect(plannedLevel(plan, EVENING_SECONDS)).toBeGreaterThan(0);
});
