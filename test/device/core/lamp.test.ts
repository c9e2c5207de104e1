import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { msUntilNextStep, plannedLevel, shownLevel } from "#core/lamp";

const DUSK = { minuteOfDay: 1_020, levelPercent: 100 };
const NIGHT = { minuteOfDay: 1_380, levelPercent: 40 };
const DAWN = { minuteOfDay: 360, levelPercent: 0 };
const PLAN = [DAWN, DUSK, NIGHT];
const minute = (value: number) => 20_000 * 86_400 + value * 60;

describe("the lamp's plan", () => {
  it("holds each step until the next, over midnight too", () => {
    expect(plannedLevel(PLAN, minute(0))).toBe(40);
    expect(plannedLevel(PLAN, minute(359.99))).toBe(40);
    expect(plannedLevel(PLAN, minute(360))).toBe(0);
    expect(plannedLevel(PLAN, minute(1_020))).toBe(100);
    expect(plannedLevel(PLAN, minute(1_439))).toBe(40);
    expect(plannedLevel([], minute(0))).toBe(0);
  });

  it("gives the time of its next step, so that the level there is the new one", () => {
    expect(msUntilNextStep(PLAN, minute(1_019))).toBe(60_000);
    expect(msUntilNextStep(PLAN, minute(1_020))).toBe(360 * 60_000);
    expect(msUntilNextStep([DUSK], minute(0))).toBe(Infinity);
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1_439.999, noNaN: true }), (now) => {
        const ms = msUntilNextStep(PLAN, minute(now));
        expect(ms).toBeGreaterThanOrEqual(1);
        expect(ms).toBeLessThanOrEqual(86_400_000);
        const after = minute(now) + (ms + 1) / 1_000;
        expect(plannedLevel(PLAN, after)).not.toBe(plannedLevel(PLAN, minute(now)));
      }),
    );
  });

  it("shows without credit what the policy says for unpaid light, and never more than is wanted", () => {
    expect(shownLevel(80, true, { kind: "off" })).toBe(80);
    expect(shownLevel(80, false, { kind: "off" })).toBe(0);
    expect(shownLevel(80, false, { kind: "dim", levelPercent: 30 })).toBe(30);
    expect(shownLevel(20, false, { kind: "dim", levelPercent: 30 })).toBe(20);
    expect(shownLevel(80, false, { kind: "on" })).toBe(80);
  });
});
