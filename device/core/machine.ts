/**
 * The device: one pure function from a state and an event to the next state and the effects to carry out.
 *
 * Promise: with the invariants of device/INVARIANTS.md held by the files beside this one, the machine only
 * orders them: look at the meter, set the lamp, store, then pay. It reads no clock, draws no random
 * number and touches nothing; the Pi, the Espruino board, the simulated fleet and the world all run it.
 */

import { takeGrant } from "./apply-grant.ts";
import { takeOffer } from "./apply-offer.ts";
import { buy, lowMarkUnits } from "./buying.ts";
import { msUntilCreditEnds } from "./credit.ts";
import type { Effect, Event, Moment } from "./events.ts";
import { msUntilNextStep, plannedLevel, shownLevel } from "./lamp.ts";
import { loadMilliwatts, lookAtMeter, reckonUntil } from "./metering.ts";
import { nextAttemptMs } from "./rungs.ts";
import { creditLeft, finalCheckpoint, isCounting, reportOf, type State } from "./state.ts";

export {
  bootMachine,
  creditLeft,
  finalCheckpoint,
  reportOf,
  type Settings,
  type State,
} from "./state.ts";

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** Shortest sleep, milliseconds: an estimate of when credit ends converges on it from below. */
export const WAKE_MIN_MS = 5;

/** Takes one event. Pure: same state and event, same step. */
export function stepMachine(before: State, event: Event): Step {
  const { at } = event;
  const effects: Effect[] = [];
  const heard = hear(reckonUntil(before, at.nowMs), event, effects);
  const lit = lightLamp(heard, at, effects);
  const bought = buy(lit, at);
  let state = sendReport(bought.state, at, effects);
  // All that needs no durable memory comes before the persist, whose failure forbids what is behind it.
  effects.push({ type: "wake", atMs: wakeAtMs(state, at) });
  if (state.persistDue && state.hostRefusal !== "journal-failed") {
    effects.push({ type: "persist", checkpoint: finalCheckpoint(state) });
    state = { ...state, persistDue: false };
  }
  if (bought.pay !== null) effects.push(bought.pay);
  return { state, effects };
}

function hear(state: State, event: Event, effects: Effect[]): State {
  switch (event.type) {
    case "power-up":
      return lookAtMeter(state, event.reading, event.at);
    case "tick":
      return sayHello(lookAtMeter(state, event.reading, event.at), event.at, effects);
    case "link":
      return changeLink(state, event.up, event.at, effects);
    case "offer":
      return takeOffer(state, event.offer, event.at);
    case "offer-refused":
      return { ...state, offerRefusal: event.refusal };
    case "grant":
      return takeGrant(state, event.grant, event.at);
    case "plan":
      return { ...state, plan: event.plan };
    case "host-failed":
      return {
        ...state,
        hostRefusal: event.refusal,
        persistDue: state.persistDue || event.refusal === "journal-failed",
      };
    case "host-recovered":
      return state.hostRefusal === event.refusal ? { ...state, hostRefusal: null } : state;
    case "load":
      return { ...state, lampRefusal: event.refusal };
  }
}

// ---- link ----

function changeLink(state: State, up: boolean, at: Moment, effects: Effect[]): State {
  if (!up) return { ...state, linkUp: false, helloAtMs: Infinity };
  const linked = {
    ...state,
    linkUp: true,
    helloAtMs: at.nowMs,
    helloAttempts: 0,
    // The report went out with the old connection, or its will replaced it.
    reported: "",
    pending: state.pending === null ? null : { ...state.pending, nextMs: at.nowMs },
  };
  return sayHello(linked, at, effects);
}

/** Hello on every connect, and again with back-off until an offer answers it. */
function sayHello(state: State, at: Moment, effects: Effect[]): State {
  if (!state.linkUp || at.nowMs < state.helloAtMs) return state;
  effects.push({ type: "hello" });
  const attempts = state.helloAttempts + 1;
  const helloAtMs = nextAttemptMs(state.settings.retry, attempts, at.nowMs, at.random);
  return { ...state, helloAttempts: attempts, helloAtMs };
}

// ---- lamp ----

function lightLamp(state: State, at: Moment, effects: Effect[]): State {
  const settings = state.settings;
  const wantedPercent =
    at.wallSeconds === null ? settings.levelWithoutClock : plannedLevel(state.plan, at.wallSeconds);
  const levelPercent = shownLevel(wantedPercent, creditLeft(state) > 0, settings.policy.unpaid);
  if (levelPercent !== state.levelPercent) effects.push({ type: "lamp", levelPercent });
  return { ...state, wantedPercent, levelPercent };
}

// ---- reporting, waking ----

function sendReport(before: State, at: Moment, effects: Effect[]): State {
  let state = before;
  // Before the meter was believed, the register is that of the last checkpoint.
  if (isCounting(state) && at.nowMs - state.readingAtMs >= state.settings.readingMs) {
    const { register, powerMilliwatts } = state;
    effects.push({ type: "reading", register: register.total, powerMilliwatts });
    state = { ...state, readingAtMs: at.nowMs };
  }
  const report = reportOf(state);
  const { levelPercent, wantedPercent, starved, refusal, channelId, epoch } = report;
  const reported = [levelPercent, wantedPercent, starved, refusal, channelId, epoch].join("|");
  if (!state.linkUp || reported === state.reported) return state;
  effects.push({ type: "report", report });
  return { ...state, reported };
}

function wakeAtMs(state: State, at: Moment): number {
  const settings = state.settings;
  let inMs = settings.tickMs;
  if (isCounting(state)) inMs = Math.min(inMs, state.readingAtMs + settings.readingMs - at.nowMs);
  if (at.wallSeconds !== null) inMs = Math.min(inMs, msUntilNextStep(state.plan, at.wallSeconds));
  if (state.linkUp) inMs = Math.min(inMs, state.helloAtMs - at.nowMs);
  // A rung overdue is held back by something that ends with an event, or with the day: no use to wake for it.
  const overdue = state.pending === null || state.pending.nextMs <= at.nowMs;
  if (state.linkUp && !overdue) inMs = Math.min(inMs, state.pending.nextMs - at.nowMs);
  const credit = creditLeft(state);
  if (state.levelPercent > 0 && credit > 0) {
    const load = loadMilliwatts(state);
    inMs = Math.min(inMs, msUntilCreditEnds(credit, load));
    // Buying starts below the low mark, so that the answer is back before the light is out.
    const spare = state.channel === null || state.pending !== null ? 0 : credit - lowMarkUnits(state) + 1;
    if (spare > 0) inMs = Math.min(inMs, msUntilCreditEnds(spare, load));
  }
  return at.nowMs + Math.max(WAKE_MIN_MS, inMs);
}
