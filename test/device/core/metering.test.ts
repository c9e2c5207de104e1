import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lookAtMeter, reckonUntil } from "#core/metering";
import { bootMachine, creditLeft, type State } from "#core/state";
import { SETTINGS } from "./seller.ts";

const TICK_MS = 300_000;
const RATED_MILLIWATTS = 120_000;
const HOUR_MS = 3_600_000;

/** A lamp of 120 W that burns, paid for until the morning, its meter looked at every five minutes. */
function burning(): State {
  const { meter } = SETTINGS;
  const settings = {
    ...SETTINGS,
    ratedMilliwatts: RATED_MILLIWATTS,
    meter: { ...meter, powerMaxMilliwatts: 2 * RATED_MILLIWATTS },
  };
  const booted = bootMachine(settings, null);
  const account = { granted: 2_000_000, registerAtOpen: 0 };
  return { ...look(booted, 0, 0), account, levelPercent: 100 };
}

function look(state: State, nowMs: number, raw: number): State {
  const at = { nowMs, wallSeconds: null, random: 0 };
  return lookAtMeter(reckonUntil(state, nowMs), { raw, powerMilliwatts: RATED_MILLIWATTS }, at);
}

const usedAt = (ms: number, share: number): number => Math.floor((share * RATED_MILLIWATTS * ms) / HOUR_MS);

describe("a meter that sticks between two looks", () => {
  it("gives back all that it hid when it moves again, however long it was stuck (E2)", () => {
    const stuckAfterMs = fc.integer({ min: TICK_MS, max: 2 * TICK_MS - 1 });
    const share = fc.double({ min: 0.5, max: 1, noNaN: true });
    fc.assert(
      fc.property(stuckAfterMs, fc.integer({ min: 0, max: 24 }), share, (stuckAtMs, looks, drawn) => {
        let state = look(burning(), TICK_MS, usedAt(TICK_MS, drawn));
        let nowMs = TICK_MS;
        for (let stuck = 0; stuck < looks; stuck++) {
          nowMs += TICK_MS;
          state = look(state, nowMs, usedAt(stuckAtMs, drawn));
          const hidden = usedAt(nowMs, drawn) - (2_000_000 - creditLeft(state));
          expect(hidden, "hidden meanwhile").toBeLessThanOrEqual(usedAt(TICK_MS, 1) + 1);
        }
        nowMs += TICK_MS;
        state = look(state, nowMs, usedAt(nowMs, drawn));
        expect(state.register).toMatchObject({ total: usedAt(nowMs, drawn), epoch: 0 });
        expect(state.meterRefusal).toBeNull();
      }),
    );
  });
});
