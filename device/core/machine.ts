/**
 * The device: one pure function from a state and an event to the next state and the effects to carry out.
 *
 * Promise: with the invariants of DESIGN section 7 held by the files beside this one, the machine only
 * orders them: look at the meter, set the lamp, store, then pay. It reads no clock, draws no random
 * number and touches nothing; the Pi, the Espruino board, the simulated fleet and the world all run it.
 */
import { type Account, creditOf, msUntilCreditEnds, raiseGrant } from "./credit.ts";
import type {
  Budget,
  ChannelMark,
  Checkpoint,
  Effect,
  Event,
  Grant,
  Moment,
  Offer,
  PlanStep,
  Reading,
  Report,
} from "./events.ts";
import { msUntilNextStep, plannedLevel, shownLevel } from "./lamp.ts";
import { budgetOn, type Policy, refuseOffer, refusePrice, spentToday } from "./policy.ts";
import {
  answerChannel,
  type Channel,
  channelTagOf,
  markOf,
  nextAttemptMs,
  nextRung,
  openChannel,
  type Pending,
  type Retry,
  renewChannel,
  reserveRung,
  settleQuantum,
} from "./purchase.ts";
import { type Refusal, reactionTo } from "./refusal.ts";
import { type MeterLimits, NEW_REGISTER, type Register, takeReading } from "./register.ts";
import { energyMilliwattHours, unitsForQuantum } from "./units.ts";

export interface Settings {
  readonly policy: Policy;
  readonly meter: MeterLimits;
  /** Power at full light, milliwatts: what the device assumes when the meter says nothing. */
  readonly ratedMilliwatts: number;
  /** Buy when credit falls below this many thousandths of what one quantum buys, 1..10000. */
  readonly lowMarkPermille: number;
  readonly retry: Retry;
  /** Longest time between two looks at the meter, milliseconds. */
  readonly tickMs: number;
  /** Time between two telemetry readings, milliseconds. */
  readonly readingMs: number;
  /** Level while the wall clock is not trusted and no plan can be followed, 0..100 per cent. */
  readonly levelWithoutClock: number;
}

export interface State {
  readonly settings: Settings;
  readonly register: Register;
  /** Units probably used since the register last moved: a silent, stuck or coarse meter hides them. */
  readonly estimatedUnits: number;
  readonly powerMilliwatts: number;
  readonly lookedAtMs: number;
  readonly countedAtMs: number;
  readonly meterRefusal: Refusal | null;
  readonly account: Account | null;
  readonly channel: Channel | null;
  /** Channels left behind, latest first: their late grants still count. */
  readonly former: readonly ChannelMark[];
  readonly pending: Pending | null;
  readonly budget: Budget;
  readonly plan: readonly PlanStep[];
  readonly wantedPercent: number;
  readonly levelPercent: number;
  readonly linkUp: boolean;
  /** When to say hello again while no offer came; Infinity once one did. */
  readonly helloAtMs: number;
  readonly helloAttempts: number;
  /** The channel said stop: wait for a newer offer. */
  readonly halted: boolean;
  readonly offerRefusal: Refusal | null;
  readonly answerRefusal: Refusal | null;
  readonly hostRefusal: Refusal | null;
  readonly persistDue: boolean;
  readonly readingAtMs: number;
  readonly reported: string;
}

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** Channels remembered after a change of seller; older ones are forgotten with whatever was in flight on them. */
const FORMER_CHANNELS_MAX = 4;

/** Shortest sleep, milliseconds: an estimate of when credit ends converges on it from below. */
const WAKE_MIN_MS = 5;

/** The state of a device at power-up. Without a checkpoint it is new-born. */
export function bootMachine(settings: Settings, checkpoint: Checkpoint | null): State {
  return {
    settings,
    register: checkpoint === null ? NEW_REGISTER : checkpoint.register,
    estimatedUnits: 0,
    powerMilliwatts: 0,
    lookedAtMs: 0,
    countedAtMs: -Infinity,
    meterRefusal: null,
    account: checkpoint === null ? null : checkpoint.account,
    channel: null,
    former: checkpoint === null ? [] : checkpoint.channels,
    pending: null,
    budget: checkpoint === null ? { day: 0, spentBefore: 0, signedAtStart: 0 } : checkpoint.budget,
    plan: [],
    wantedPercent: 0,
    levelPercent: 0,
    linkUp: false,
    helloAtMs: Infinity,
    helloAttempts: 0,
    halted: false,
    offerRefusal: null,
    answerRefusal: null,
    hostRefusal: null,
    persistDue: false,
    readingAtMs: -Infinity,
    reported: "",
  };
}

/** Units the device may still consume, by the register and what the meter may be hiding. */
export function creditLeft(state: State): number {
  if (state.account === null) return 0;
  return creditOf(state.account, state.register.total + Math.floor(state.estimatedUnits));
}

/** Takes one event. Pure: same state and event, same step. */
export function stepMachine(before: State, event: Event): Step {
  const effects: Effect[] = [];
  const heard = hear(before, event, effects);
  const lit = lightLamp(heard, event.at, effects);
  const bought = buy(lit, event.at);
  effects.push({ type: "wake", atMs: wakeAtMs(bought.state, event.at) });
  let state = bought.state;
  if (state.persistDue && state.hostRefusal !== "journal-failed") {
    effects.push({ type: "persist", checkpoint: checkpointOf(state) });
    state = { ...state, persistDue: false };
  }
  if (bought.pay !== null) effects.push(bought.pay);
  return { state: report(state, event.at, effects), effects };
}

function hear(state: State, event: Event, effects: Effect[]): State {
  switch (event.type) {
    case "power-up":
      return lookAtMeter({ ...state, lookedAtMs: event.at.nowMs }, event.reading, event.at);
    case "tick":
      return sayHello(lookAtMeter(state, event.reading, event.at), event.at, effects);
    case "link":
      return changeLink(state, event.up, event.at, effects);
    case "offer":
      return takeOffer(state, event.offer);
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
  }
}

// ---- meter ----

function lookAtMeter(state: State, reading: Reading | null, at: Moment): State {
  const load = presentLoadMilliwatts(state);
  const estimatedUnits =
    state.estimatedUnits + energyMilliwattHours(load, Math.max(0, at.nowMs - state.lookedAtMs));
  const looked = { ...state, estimatedUnits, lookedAtMs: at.nowMs };
  if (reading === null) return { ...looked, meterRefusal: "meter-silent" };

  const elapsedMs = at.nowMs - state.countedAtMs;
  const taken = takeReading(
    state.register,
    reading.raw,
    elapsedMs,
    Math.floor(estimatedUnits),
    state.settings.meter,
  );
  if (taken.note === "implausible") {
    return { ...looked, register: taken.register, meterRefusal: "meter-implausible" };
  }
  const moved = taken.note !== "counted" || taken.register.raw !== state.register.raw;
  return {
    ...looked,
    register: taken.register,
    account: state.account === null ? { granted: 0, registerAtOpen: taken.register.total } : state.account,
    estimatedUnits: moved ? 0 : estimatedUnits,
    powerMilliwatts: reading.powerMilliwatts,
    countedAtMs: at.nowMs,
    meterRefusal: null,
    // A new epoch moves the raw counter's base: losing that over a power cut would lose energy.
    persistDue: state.persistDue || taken.note !== "counted",
  };
}

/** What the lamp draws now: measured, or by its rating when the meter shows nothing. */
function presentLoadMilliwatts(state: State): number {
  if (state.levelPercent === 0) return 0;
  return state.powerMilliwatts > 0 ? state.powerMilliwatts : ratedLoadMilliwatts(state);
}

function ratedLoadMilliwatts(state: State): number {
  return (state.settings.ratedMilliwatts * state.levelPercent) / 100;
}

// ---- link and offers ----

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

function takeOffer(state: State, offer: Offer): State {
  const answered = { ...state, helloAtMs: Infinity };
  const current = state.channel;
  if (current !== null && offer.revision <= current.revision) return answered;

  const refusal = refuseOffer(state.settings.policy, offer);
  if (refusal !== null) {
    const same = current !== null && current.id === offer.channelId;
    return { ...answered, offerRefusal: refusal, halted: state.halted || same };
  }
  if (current !== null && current.id === offer.channelId) {
    if (offer.charged > current.reserved) return { ...answered, offerRefusal: "charged-above-signed" };
    return adoptChannel({ ...answered, channel: renewChannel(current, offer) }, current.granted);
  }

  const mark = markIn(state.former, offer.channelId);
  if (mark !== null && offer.charged > mark.reserved) {
    return { ...answered, offerRefusal: "charged-above-signed" };
  }
  const channel = openChannel(offer, mark);
  const left = current === null ? [] : [markOf(current)];
  const former = left.concat(withoutMark(state.former, offer.channelId)).slice(0, FORMER_CHANNELS_MAX);
  // Energy granted on a channel this device has no memory of was consumed in a life it forgot.
  const grantedBefore = mark === null ? channel.granted : mark.granted;
  const switched = {
    ...answered,
    channel,
    former,
    pending: null,
    persistDue: true,
    // After a power cut the budget of the same channel goes on; only a real change of channel closes its sum.
    budget:
      current === null && mark !== null
        ? state.budget
        : {
            day: state.budget.day,
            spentBefore: spentToday(state.budget, signedBefore(state)),
            signedAtStart: channel.signed,
          },
  };
  return adoptChannel(switched, grantedBefore);
}

/** What the budget must assume was signed on the channel now left; after a power cut, all its reserve. */
function signedBefore(state: State): number {
  if (state.channel !== null) return state.channel.signed;
  return state.former.length > 0 ? state.former[0]!.reserved : 0;
}

/** Settles what every accepted offer settles: grants counted, refusals forgotten, an answered rung closed. */
function adoptChannel(state: State, grantedBefore: number): State {
  const channel = settleQuantum(state.channel!);
  const pending =
    state.pending !== null && channel.charged >= state.pending.maxClaimable ? null : state.pending;
  return {
    ...state,
    channel,
    pending,
    halted: false,
    offerRefusal: null,
    answerRefusal: null,
    account: state.account === null ? null : raiseGrant(state.account, grantedBefore, channel.granted),
  };
}

// ---- answers ----

function takeGrant(state: State, grant: Grant, at: Moment): State {
  const channel = state.channel;
  if (channel === null || channelTagOf(channel.id) !== grant.channelTag) return takeLateGrant(state, grant);
  // Only what this device signed can have been charged; whoever says otherwise is not believed in anything.
  if (grant.charged > channel.reserved) return { ...state, answerRefusal: "charged-above-signed" };

  const answered = settleQuantum(answerChannel(channel, grant));
  const account =
    state.account === null ? null : raiseGrant(state.account, channel.granted, answered.granted);
  const next = { ...state, channel: answered, account };
  const pending = state.pending;
  if (pending !== null && answered.charged >= pending.maxClaimable) {
    return { ...next, pending: null, answerRefusal: null };
  }
  // A refusal speaks of the rung after the counters it carries; with older counters it is an echo.
  if (grant.refusal === null || pending === null || grant.charged < channel.charged) return next;
  return takeRefusal(next, pending, grant, at);
}

function takeRefusal(state: State, pending: Pending, grant: Grant, at: Moment): State {
  const refusal = grant.refusal!;
  const reaction = reactionTo(refusal);
  if (reaction === "halt") return { ...state, pending: null, halted: true, answerRefusal: refusal };
  const nextMs = nextAttemptMs(state.settings.retry, pending.attempts, at.nowMs, at.random);
  const waiting = { ...pending, nextMs };
  if (reaction === "again") {
    const strange = refusal === "unknown-channel" && state.linkUp;
    return {
      ...state,
      pending: waiting,
      answerRefusal: refusal,
      helloAtMs: strange ? Math.min(state.helloAtMs, nextMs) : state.helloAtMs,
    };
  }
  const rung = nextRung(state.channel!);
  if (rung === null) return { ...state, pending: null, answerRefusal: "counter-off-ladder" };
  return { ...state, pending: { ...waiting, maxClaimable: rung }, answerRefusal: refusal };
}

/** A grant of a channel left behind still counts; nothing else of it does. */
function takeLateGrant(state: State, grant: Grant): State {
  for (const mark of state.former) {
    if (channelTagOf(mark.id) !== grant.channelTag) continue;
    if (grant.charged > mark.reserved || grant.granted <= mark.granted || state.account === null)
      return state;
    const raised = { ...mark, granted: grant.granted };
    return {
      ...state,
      former: [raised].concat(withoutMark(state.former, mark.id)),
      account: raiseGrant(state.account, mark.granted, grant.granted),
      persistDue: true,
    };
  }
  return state;
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

// ---- buying ----

interface Bought {
  readonly state: State;
  readonly pay: Effect | null;
}

function buy(before: State, at: Moment): Bought {
  const channel = before.channel;
  if (channel === null || before.account === null) return { state: before, pay: null };
  let state: State = { ...before, budget: budgetOn(before.budget, at.wallSeconds, channel.signed) };
  if (state.pending === null && creditLeft(state) >= lowMarkUnits(state)) return { state, pay: null };

  const rung = state.pending === null ? nextRung(channel) : state.pending.maxClaimable;
  const refusal = rung === null ? "counter-off-ladder" : refuseRung(state, channel, rung, at);
  if (rung === null || refusal !== null) return { state: { ...state, answerRefusal: refusal }, pay: null };
  if (state.hostRefusal !== null || state.halted || !state.linkUp) return { state, pay: null };
  if (state.pending !== null && at.nowMs < state.pending.nextMs) return { state, pay: null };

  const attempts = state.pending === null ? 1 : state.pending.attempts + 1;
  const nextMs = nextAttemptMs(state.settings.retry, attempts, at.nowMs, at.random);
  const reserved = reserveRung(channel, rung);
  state = {
    ...state,
    channel: { ...reserved, signed: Math.max(channel.signed, rung) },
    pending: { maxClaimable: rung, attempts, nextMs },
    persistDue: state.persistDue || reserved !== channel,
  };
  return {
    state,
    pay: {
      type: "pay",
      payment: {
        channelId: channel.id,
        terms: channel.terms,
        maxClaimable: rung,
        amountAtomic: rung - channel.charged,
        register: state.register.total,
        again: attempts > 1,
      },
    },
  };
}

/** Why a rung may not be signed now; the standing reasons, besides link and back-off. */
function refuseRung(state: State, channel: Channel, rung: number, at: Moment): Refusal | null {
  const policy = state.settings.policy;
  if (rung > channel.balance) return "deposit-exhausted";
  if (channel.terms.scheme === "exact" && at.wallSeconds === null) return "clock-unset";
  // What was signed once may be sent again under any later price or budget: it adds nothing to what is owed.
  if (rung <= channel.signed) return null;
  const overPrice = refusePrice(policy, channel.pricePerMillionUnits);
  if (overPrice !== null) return overPrice;
  if (spentToday(state.budget, rung) > policy.dailyBudgetAtomic) return "budget-exhausted";
  return null;
}

/** Credit below which the next quantum is bought, metered units. */
function lowMarkUnits(state: State): number {
  const channel = state.channel!;
  const quantumUnits = unitsForQuantum(channel.quantumAtomic, Math.max(1, channel.pricePerMillionUnits));
  return Math.ceil((quantumUnits * state.settings.lowMarkPermille) / 1000);
}

// ---- waking, storing, telling ----

function wakeAtMs(state: State, at: Moment): number {
  const settings = state.settings;
  let inMs = Math.min(settings.tickMs, state.readingAtMs + settings.readingMs - at.nowMs);
  if (at.wallSeconds !== null) inMs = Math.min(inMs, msUntilNextStep(state.plan, at.wallSeconds));
  if (state.linkUp) inMs = Math.min(inMs, state.helloAtMs - at.nowMs);
  if (state.linkUp && state.pending !== null) inMs = Math.min(inMs, state.pending.nextMs - at.nowMs);
  const credit = creditLeft(state);
  if (state.levelPercent > 0 && credit > 0) {
    const load = Math.max(state.powerMilliwatts, ratedLoadMilliwatts(state));
    inMs = Math.min(inMs, msUntilCreditEnds(credit, load));
    // Buying starts at the low mark, so that the answer is back before the light is out.
    const spare = state.channel === null || state.pending !== null ? 0 : credit - lowMarkUnits(state);
    if (spare > 0) inMs = Math.min(inMs, msUntilCreditEnds(spare, load));
  }
  return at.nowMs + Math.max(WAKE_MIN_MS, inMs);
}

function checkpointOf(state: State): Checkpoint {
  const present = state.channel === null ? [] : [markOf(state.channel)];
  return {
    register: state.register,
    account: state.account,
    channels: present.concat(state.former.slice()),
    budget: state.budget,
  };
}

/** The checkpoint a host stores when it stops in good order. */
export function finalCheckpoint(state: State): Checkpoint {
  return checkpointOf(state);
}

function report(state: State, at: Moment, effects: Effect[]): State {
  let next = state;
  if (at.nowMs - state.readingAtMs >= state.settings.readingMs) {
    effects.push({
      type: "reading",
      register: state.register.total,
      powerMilliwatts: state.powerMilliwatts,
    });
    next = { ...next, readingAtMs: at.nowMs };
  }
  const now = reportOf(state);
  const reported = [
    now.levelPercent,
    now.wantedPercent,
    now.starved,
    now.refusal,
    now.channelId,
    now.epoch,
  ].join("|");
  if (!state.linkUp || reported === state.reported) return next;
  effects.push({ type: "report", report: now });
  return { ...next, reported };
}

/** What the outside may know of the device now. */
export function reportOf(state: State): Report {
  const channel = state.channel;
  const credit = creditLeft(state);
  return {
    register: state.register.total,
    credit,
    powerMilliwatts: state.powerMilliwatts,
    levelPercent: state.levelPercent,
    wantedPercent: state.wantedPercent,
    starved: state.wantedPercent > 0 && credit <= 0,
    refusal: state.hostRefusal || state.meterRefusal || state.offerRefusal || state.answerRefusal,
    channelId: channel === null ? null : channel.id,
    charged: channel === null ? 0 : channel.charged,
    maxClaimable: channel === null ? 0 : channel.signed,
    granted: state.account === null ? 0 : state.account.granted,
    epoch: state.register.epoch,
  };
}

function markIn(marks: readonly ChannelMark[], id: string): ChannelMark | null {
  for (const mark of marks) if (mark.id === id) return mark;
  return null;
}

function withoutMark(marks: readonly ChannelMark[], id: string): ChannelMark[] {
  return marks.filter((mark) => mark.id !== id);
}
