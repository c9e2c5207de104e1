import { expect, test } from "vitest";
import { ClockThrottle } from "#simulator/fleet/clock-throttle";

const PATIENCE_MS = 7_500;

function brakeAt(): { brake: ClockThrottle; pass: (ms: number) => void } {
  let realMs = 0;
  const brake = new ClockThrottle(PATIENCE_MS, () => realMs);
  return {
    brake,
    pass: (ms) => {
      realMs += ms;
    },
  };
}

test("nobody waiting, nothing holds the clock", () => {
  expect(brakeAt().brake.atMs()).toBe(Number.POSITIVE_INFINITY);
});

test("the light that has waited longest decides, however often it begins again", () => {
  const { brake } = brakeAt();
  brake.begin("one", 1_000);
  brake.begin("two", 5_000);
  brake.begin("one", 9_000);
  expect(brake.atMs()).toBe(1_000 + PATIENCE_MS);
  brake.end("one");
  expect(brake.atMs()).toBe(5_000 + PATIENCE_MS);
  brake.end("two");
  expect(brake.atMs()).toBe(Number.POSITIVE_INFINITY);
});

test("after half a minute of real time a wait is an outage and holds nobody; one that is renewed is none", () => {
  const { brake, pass } = brakeAt();
  brake.begin("start", Number.NEGATIVE_INFINITY);
  brake.begin("cut off", 1_000);
  pass(29_000);
  brake.renew("start");
  brake.begin("late", 60_000);
  pass(2_000);
  expect(brake.atMs()).toBe(Number.NEGATIVE_INFINITY);
  brake.end("start");
  expect(brake.atMs()).toBe(60_000 + PATIENCE_MS);
  pass(29_000);
  expect(brake.atMs()).toBe(Number.POSITIVE_INFINITY);
});
