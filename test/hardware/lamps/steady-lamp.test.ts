import { describe, expect, it } from "vitest";
import type { LampDriver } from "#hardware/lamps/lamp-driver";
import { CHECK_MS, CLOSE_MS, SteadyLamp } from "#hardware/lamps/steady-lamp";
import { BenchClock } from "../../device/node/fixtures.ts";

/** A driver in the test's hands: each level waits until it is let through, or fails. */
function heldDriver() {
  const applied: number[] = [];
  let answer: ((error: Error | null) => void) | null = null;
  const driver: LampDriver = {
    name: "held",
    afterDeath: "is gone",
    apply: (levelPercent) => {
      applied.push(levelPercent);
      return new Promise((resolve, reject) => {
        answer = (error) => (error === null ? resolve() : reject(error));
      });
    },
    probe: async () => [],
    close: async () => void applied.push(-1),
  };
  const settle = async (error: Error | null) => {
    answer!(error);
    for (let i = 0; i < 5; i++) await Promise.resolve();
  };
  return { applied, driver, settle };
}

describe("a steady lamp", () => {
  it("has one level under way at a time, and goes on to the newest only", async () => {
    const { applied, driver, settle } = heldDriver();
    const lamp = new SteadyLamp(driver, new BenchClock(), () => 0.5);
    for (const level of [10, 20, 30, 40]) lamp.set(level);
    expect(applied).toEqual([10]);
    await settle(null);
    expect(applied).toEqual([10, 40]);
  });

  it("tries a level until it holds, backing off to half a minute, and reports begin and end of the trouble once", async () => {
    const clock = new BenchClock();
    const { applied, driver, settle } = heldDriver();
    const lamp = new SteadyLamp(driver, clock, () => 1);
    const reported: (string | null)[] = [];
    lamp.onTrouble!((trouble) => reported.push(trouble));
    lamp.set(100);
    for (let i = 0; i < 5; i++) {
      await settle(new Error("no lamp"));
      clock.advance(29_999);
    }
    const tries = applied.length;
    await settle(new Error("no lamp"));
    clock.advance(29_999);
    expect(applied).toHaveLength(tries);
    clock.advance(1);
    expect(applied).toHaveLength(tries + 1);
    expect(lamp.trouble()).toBe("no lamp");
    await settle(null);
    expect(lamp.trouble()).toBeNull();
    expect(reported.at(-1)).toBeNull();
    expect(reported.filter((one) => one === null)).toHaveLength(1);
    clock.advance(600_000);
    expect(applied).toHaveLength(tries + 1);
  });

  it("is looked at every few seconds while it holds, and set again when it does not", async () => {
    const clock = new BenchClock();
    const { applied, driver, settle } = heldDriver();
    let checks = 0;
    let gone: string | null = null;
    const check = () => {
      checks++;
      if (gone !== null) throw new Error(gone);
      return undefined;
    };
    const lamp = new SteadyLamp({ ...driver, check }, clock, () => 0.5);
    const reported: (string | null)[] = [];
    lamp.onTrouble!((trouble) => reported.push(trouble));
    clock.advance(60_000);
    expect(checks).toBe(0);
    lamp.set(100);
    clock.advance(60_000);
    expect(checks).toBe(0);
    await settle(null);
    clock.advance(60_000);
    expect([checks, applied, reported]).toEqual([60_000 / CHECK_MS, [100], []]);

    gone = "no lamp";
    clock.advance(CHECK_MS);
    expect([reported, lamp.trouble()]).toEqual([["no lamp"], "no lamp"]);
    const before = checks;
    clock.advance(30_000);
    expect(applied).toEqual([100, 100]);
    await settle(new Error("no lamp"));
    gone = null;
    clock.advance(30_000);
    await settle(null);
    expect([applied, reported.at(-1), checks]).toEqual([[100, 100, 100], null, before]);
    clock.advance(CHECK_MS);
    expect(checks).toBe(before + 1);
    await lamp.close();
    expect(clock.armed).toBe(0);
  });

  it("does not take a look at a light that was lost meanwhile for a light that holds", async () => {
    const clock = new BenchClock();
    const { applied, driver, settle } = heldDriver();
    let lose: (trouble: string) => void = () => {};
    let answer: () => void = () => {};
    const lamp = new SteadyLamp(
      {
        ...driver,
        check: () => new Promise((resolve) => (answer = resolve)),
        onLost: (take) => {
          lose = take;
        },
      },
      clock,
      () => 0.5,
    );
    lamp.set(100);
    await settle(null);
    clock.advance(CHECK_MS);
    lose("cable pulled");
    answer();
    for (let i = 0; i < 5; i++) await Promise.resolve();
    expect(lamp.trouble()).toBe("cable pulled");
    clock.advance(30_000);
    expect(applied).toEqual([100, 100]);
    await settle(null);
    expect(lamp.trouble()).toBeNull();
  });

  it("is released only after its last level, and not kept for ever by one that hangs", async () => {
    const clock = new BenchClock();
    const { applied, driver, settle } = heldDriver();
    const lamp = new SteadyLamp(driver, clock, () => 0.5);
    lamp.set(100);
    lamp.set(0);
    const closing = lamp.close();
    await settle(null);
    expect(applied).toEqual([100, 0]);
    await settle(null);
    await closing;
    expect(applied).toEqual([100, 0, -1]);

    const hung = new SteadyLamp(driver, clock, () => 0.5);
    hung.set(100);
    const ending = hung.close();
    clock.advance(CLOSE_MS);
    await ending;
    expect(applied.at(-1)).toBe(-1);
  });
});
