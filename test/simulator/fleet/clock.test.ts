/** The fleet's clock against real time that the test sets: order, instants, late machines, the throttle. */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FleetClock } from "#simulator/fleet/fleet-clock";

const UNTHROTTLED = () => Number.POSITIVE_INFINITY;

/** Real time passed while the machine was busy and no timer could run, milliseconds. */
let busyMs = 0;
const realMs = () => Date.now() + busyMs;
const spend = (ms: number) => {
  busyMs += ms;
};

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a clock sixty times as fast", () => {
  test("fires every timer that was not cancelled, in order, at exactly its simulated instant", () => {
    const timers = fc.array(
      fc.record({ atMs: fc.double({ min: 0, max: 60_000, noNaN: true }), cancelled: fc.boolean() }),
      { maxLength: 60 },
    );
    const jumps = fc.array(fc.record({ idleMs: fc.nat(40), busyMs: fc.nat(200) }), { maxLength: 30 });
    fc.assert(
      fc.property(timers, jumps, (asked, realJumps) => {
        const clock = new FleetClock(60, 0, UNTHROTTLED, realMs);
        const fired: { index: number; nowMs: number }[] = [];
        asked.forEach(({ atMs, cancelled }, index) => {
          const cancel = clock.at(atMs, () => fired.push({ index, nowMs: clock.nowMs() }));
          if (cancelled) cancel();
        });
        clock.start();
        for (const jump of realJumps) {
          spend(jump.busyMs);
          vi.advanceTimersByTime(jump.idleMs);
          // Time has passed no timer that has not fired.
          const waiting = asked.filter(
            ({ cancelled }, index) => !cancelled && !fired.some((one) => one.index === index),
          );
          for (const { atMs } of waiting) expect(clock.nowMs()).toBeLessThanOrEqual(atMs);
        }
        vi.advanceTimersByTime(2_000);
        clock.stop();
        const expected = asked
          .map(({ atMs, cancelled }, index) => ({ index, nowMs: atMs, cancelled }))
          .filter(({ cancelled }) => !cancelled)
          .sort((left, right) => left.nowMs - right.nowMs || left.index - right.index)
          .map(({ index, nowMs }) => ({ index, nowMs }));
        expect(fired).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  });

  test("a timer set by another fires in its turn, and one for the past fires now", () => {
    const clock = new FleetClock(60, 0, UNTHROTTLED, realMs);
    const fired: [string, number][] = [];
    const note = (name: string) => () => void fired.push([name, clock.nowMs()]);
    clock.at(2_000, note("two"));
    clock.at(1_000, () => {
      note("one")();
      clock.at(1_500, note("between"));
      clock.at(10, note("past"));
    });
    clock.start();
    vi.advanceTimersByTime(100);
    clock.stop();
    expect(fired).toEqual([
      ["one", 1_000],
      ["past", 1_000],
      ["between", 1_500],
      ["two", 2_000],
    ]);
  });

  test("a machine too late for its timers slows the clock, and skips none of them", () => {
    const clock = new FleetClock(60, 0, UNTHROTTLED, realMs);
    const fired: number[] = [];
    for (let index = 1; index <= 100; index++) {
      clock.at(index * 10, () => {
        fired.push(clock.nowMs());
        // Each takes 3 ms of real time for 10 ms of simulated time that 60x would pass in 0.17 ms.
        spend(3);
      });
    }
    const beganMs = realMs();
    clock.start();
    const shownLate: number[] = [];
    while (fired.length < 100 && realMs() - beganMs < 5_000) {
      vi.advanceTimersByTime(1);
      if (fired.length === 100) break;
      expect(clock.nowMs()).toBeLessThanOrEqual((fired.length + 1) * 10);
      shownLate.push(60 * (realMs() - beganMs) - clock.nowMs());
    }
    // 300 ms of work at 60x would be 18 s: the clock shows little more than the second of its timers.
    expect(Math.max(...shownLate)).toBeGreaterThan(10_000);
    expect(clock.nowMs()).toBeLessThan(3_000);
    clock.stop();
    expect(fired).toEqual(Array.from({ length: 100 }, (_, index) => (index + 1) * 10));
  });

  test("beyond the throttle, time runs at real speed; released, at full speed again", () => {
    let throttleAtMs = 6_000;
    const clock = new FleetClock(60, 0, () => throttleAtMs, realMs);
    clock.start();
    vi.advanceTimersByTime(100);
    expect(clock.nowMs()).toBeCloseTo(6_000, 6);
    vi.advanceTimersByTime(1_000);
    expect(clock.nowMs()).toBeCloseTo(7_000, 6);
    throttleAtMs = Number.POSITIVE_INFINITY;
    vi.advanceTimersByTime(1_000);
    expect(clock.nowMs()).toBeCloseTo(67_000, 6);
    clock.stop();
  });

  test("shows the wall clock of its simulated day, catches up on demand, and stands once stopped", () => {
    const clock = new FleetClock(60, 1_768_507_200, UNTHROTTLED, realMs);
    clock.start();
    clock.beginEvening();
    spend(500);
    clock.catchUp();
    expect(clock.nowMs()).toBeCloseTo(30_000, 6);
    expect(clock.wallSeconds()).toBeCloseTo(1_768_507_230, 6);
    clock.stop();
    const fired = vi.fn();
    clock.at(30_001, fired);
    vi.advanceTimersByTime(10_000);
    clock.catchUp();
    expect(clock.nowMs()).toBeCloseTo(30_000, 6);
    expect(fired).not.toHaveBeenCalled();
  });
});

test("the wall clock stands at the epoch until the evening begins, however long connecting takes", () => {
  let nowMs = 0;
  const clock = new FleetClock(60, 1_000, UNTHROTTLED, () => nowMs);
  clock.start();
  nowMs = 5_000;
  clock.catchUp();
  expect(clock.nowMs()).toBe(300_000);
  expect(clock.wallSeconds()).toBe(1_000);
  expect(clock.beginEvening()).toBe(300_000);
  nowMs = 6_000;
  clock.catchUp();
  expect(clock.wallSeconds()).toBe(1_060);
  clock.stop();
});
