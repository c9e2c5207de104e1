import { expect, test } from "vitest";
import { ClockThrottle } from "#simulator/fleet/clock-throttle";

const PATIENCE_MS = 7_500;

function throttleAt(): { throttle: ClockThrottle; pass: (ms: number) => void } {
  let realMs = 0;
  const throttle = new ClockThrottle(PATIENCE_MS, () => realMs);
  return {
    throttle,
    pass: (ms) => {
      realMs += ms;
    },
  };
}

test("the clock is not held while no light waits", () => {
  expect(throttleAt().throttle.atMs()).toBe(Number.POSITIVE_INFINITY);
});

test("the light that has waited longest decides, however often it begins again", () => {
  const { throttle } = throttleAt();
  throttle.begin("one", 1_000);
  throttle.begin("two", 5_000);
  throttle.begin("one", 9_000);
  expect(throttle.atMs()).toBe(1_000 + PATIENCE_MS);
  throttle.end("one");
  expect(throttle.atMs()).toBe(5_000 + PATIENCE_MS);
  throttle.end("two");
  expect(throttle.atMs()).toBe(Number.POSITIVE_INFINITY);
});

test("after half a minute of real time a wait is an outage and does not hold the clock; one that is renewed is none", () => {
  const { throttle, pass } = throttleAt();
  throttle.begin("start", Number.NEGATIVE_INFINITY);
  throttle.begin("cut off", 1_000);
  pass(29_000);
  throttle.renew("start");
  throttle.begin("late", 60_000);
  pass(2_000);
  expect(throttle.atMs()).toBe(Number.NEGATIVE_INFINITY);
  throttle.end("start");
  expect(throttle.atMs()).toBe(60_000 + PATIENCE_MS);
  pass(29_000);
  expect(throttle.atMs()).toBe(Number.POSITIVE_INFINITY);
});
