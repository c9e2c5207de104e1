/**
 * The device's look at its meter, and its reckoning of what the meter does not show.
 *
 * Promise: between two readings, and without any, consumption is reckoned at the higher of measured and
 * rated load, so a silent or stuck meter shortens credit and never stretches it.
 */
import type { Moment, Reading } from "./events.ts";
import { takeReading } from "./register.ts";
import type { State } from "./state.ts";
import { energyMilliwattHours } from "./units.ts";

/** What the lamp may be drawing at its present level, milliwatts. */
export function loadMilliwatts(state: State): number {
  if (state.levelPercent === 0) return 0;
  return Math.max(state.powerMilliwatts, (state.settings.ratedMilliwatts * state.levelPercent) / 100);
}

/** The state at a later moment: what the lamp drew meanwhile is reckoned, at the level it had. */
export function reckonUntil(state: State, nowMs: number): State {
  const passedMs = Math.max(0, nowMs - state.reckonedAtMs);
  const units = energyMilliwattHours(loadMilliwatts(state), passedMs);
  return { ...state, estimatedUnits: state.estimatedUnits + units, reckonedAtMs: nowMs };
}

/** The state after a look at the meter; the caller has reckoned until now. */
export function lookAtMeter(state: State, reading: Reading | null, at: Moment): State {
  if (reading === null) return { ...state, meterRefusal: "meter-silent" };
  const quality = reading.quality === undefined ? "good" : reading.quality.kind;
  if (quality !== "good")
    return { ...state, meterRefusal: quality === "stale" ? "meter-silent" : "meter-implausible" };
  const { register, note } = takeReading(
    state.register,
    reading.raw,
    at.nowMs - state.countedAtMs,
    Math.floor(state.estimatedUnits),
    state.settings.meter,
  );
  if (note === "implausible") return { ...state, register, meterRefusal: "meter-implausible" };

  const moved = note !== "counted" || register.raw !== state.register.raw;
  return {
    ...state,
    register,
    account: state.account === null ? { granted: 0, registerAtOpen: register.total } : state.account,
    estimatedUnits: moved ? 0 : state.estimatedUnits,
    powerMilliwatts: reading.powerMilliwatts,
    countedAtMs: at.nowMs,
    meterRefusal: null,
    // A new epoch moves the raw counter's base: losing that over a power cut would lose energy.
    persistDue: state.persistDue || note !== "counted",
  };
}
