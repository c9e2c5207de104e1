/**
 * One light's night without faults, without a machine: the core's own decisions on plain numbers.
 *
 * Promise: every purchase, grant and lamp level is the machine's, at the same instant, to the last bit: what
 * is left out is only what never differs when nothing goes wrong (links, resends, refusals on the wire).
 */
import { creditOf } from "#core/credit";
import type { PlanStep } from "#core/events";
import { msUntilNextStep, plannedLevel, shownLevel } from "#core/lamp";
import { WAKE_MIN_MS } from "#core/machine";
import { budgetOn, refusePrice, refuseQuantum, spentToday } from "#core/policy";
import { NEW_REGISTER, type Register, takeReading } from "#core/register";
import { nextAttemptMs } from "#core/rungs";
import { energyMilliwattHours, msUntilUsed, PRICED_UNITS, unitsForQuantum } from "#core/units";
import type { Pole } from "../surroundings/simulated-site.ts";

/** From a PAY to its GRANT, milliseconds. */
export const ROUND_TRIP_MS = 120;
/** From a change of price to the offer that tells of it, milliseconds. */
export const OFFER_MS = 1000;
/** The machine's jitter, in the middle. */
export const JITTER = 0.5;

/** What is sold from some instant on. */
export interface FastPrice {
  /** World milliseconds; the first price also holds before. */
  readonly fromMs: number;
  readonly pricePerMillionUnits: number;
  /** What the gateway offers this light at this price. */
  readonly quantumAtomic: number;
}

export interface FastTerms {
  readonly epochSeconds: number;
  readonly endMs: number;
  /** At least one, in the order of their instants. */
  readonly prices: readonly FastPrice[];
  readonly balanceAtomic: number;
}

const SECONDS_PER_DAY = 86_400;

/** What a night came to. */
export interface FastResult {
  register: number;
  registerAtOpen: number;
  /** By the device, by the seller. */
  signed: number;
  charged: number;
  credited: number;
  granted: number;
  /** What the energy granted was worth at the prices it was sold at, millionths of an atomic unit. */
  boughtMicroAtomic: number;
  purchases: number;
  events: number;
  deliveredMilliwattHours: number;
  litMs: number;
  /** Time in which the lamp should have shone and did not. */
  starvedMs: number;
  /** The longest of it in one piece. */
  longestStarvedMs: number;
  /** Delivered when the meter was read last. */
  drawnWhenReadMilliwattHours: number;
  /** Mixed from the instants and amounts of everything bought. */
  digest: number;
  /** Most that was delivered beyond what was granted, mWh, at any event. */
  aheadMilliwattHours: number;
}

/** Told of every purchase, grant and level, for those who compare. */
export type FastWatch = (atMs: number, what: "pay" | "grant" | "lamp", value: number) => void;

/** Looks at a light at instants of its own, in order: what it saw last, and has bought and shows. */
export interface FastEye {
  /** Next instant at which it looks, world milliseconds; Infinity when it looks no more. */
  nextMs(): number;
  look(
    creditUnits: number,
    levelPercent: number,
    wantedPercent: number,
    purchases: number,
    chargedAtomic: number,
  ): void;
}

/** Nobody looks. */
const NO_EYE: FastEye = { nextMs: () => Number.POSITIVE_INFINITY, look: () => {} };

export function runFastLight(
  pole: Pole,
  terms: FastTerms,
  watch: FastWatch | null,
  eye: FastEye = NO_EYE,
): FastResult {
  const { lamp, meter, settings, almanac } = pole;
  const { policy, retry } = settings;
  const { endMs, epochSeconds, prices, balanceAtomic } = terms;
  const [first] = prices;
  if (first === undefined) throw new Error("fast light: expected at least one price, found none");
  for (const { pricePerMillionUnits, quantumAtomic } of prices) {
    const refusal = refuseQuantum(policy, quantumAtomic) ?? refusePrice(policy, pricePerMillionUnits);
    if (refusal === null) continue;
    // A light that stands still asks for a better offer, which is the machine's and not told here.
    throw new Error(
      `fast light: expected prices and purchases within the light's policy, found ${quantumAtomic} atomic units ` +
        `at ${pricePerMillionUnits} (${refusal}); take a cheaper tariff, or few lights`,
    );
  }
  // The offer heard last, and the ladder walked.
  let price = first.pricePerMillionUnits;
  let quantumOffered = first.quantumAtomic;
  let quantumAtomic = first.quantumAtomic;
  let lowMark = 0;
  const quote = (): void => {
    // An offered quantum is taken up between two purchases.
    if (pendingRung === 0) quantumAtomic = quantumOffered;
    lowMark = Math.ceil((unitsForQuantum(quantumAtomic, price) * settings.lowMarkPermille) / 1000);
  };
  let offers = 1;
  let offerAtMs = prices[1] === undefined ? Number.POSITIVE_INFINITY : prices[1].fromMs + OFFER_MS;
  // The price at which the seller sells.
  let selling = 0;

  let register: Register = NEW_REGISTER;
  let estimated = 0;
  let powerMilliwatts = 0;
  let reckonedAtMs = 0;
  let countedAtMs = Number.NEGATIVE_INFINITY;
  let account: { granted: number; registerAtOpen: number } | null = null;
  let budget = { day: 0, spentBefore: 0, signedAtStart: 0 };
  let charged = 0;
  let signed = 0;
  let pendingRung = 0;
  let pendingPrice = 0;
  let pendingNextMs = 0;
  let grantAtMs = Number.POSITIVE_INFINITY;
  let readingAtMs = Number.NEGATIVE_INFINITY;
  let level = 0;
  // The lamp and its meter.
  let energy = 0;
  let sinceMs = 0;
  let startedAtMs = Number.NEGATIVE_INFINITY;
  let litMs = 0;
  // The seller's account.
  let soldCharged = 0;
  let soldGranted = 0;
  let remainder = 0;
  let boughtMicroAtomic = 0;

  let plan: readonly PlanStep[] = [];
  let planDay = -1;
  let wantedPercent = 0;
  let starvedMs = 0;
  let starvedInOneMs = 0;
  let longestStarvedMs = 0;
  let drawnWhenRead = 0;
  let hasChannel = false;
  let events = 0;
  let purchases = 0;
  let digest = 0;
  let ahead = 0;
  let nowMs = 0;
  let wakeAtMs = 0;

  const drawnMilliwatts = (atMs: number): number => {
    const steady = (lamp.ratedMilliwatts * level) / 100;
    return atMs - startedAtMs < lamp.startUpMs ? (steady * lamp.startUpPermille) / 1000 : steady;
  };
  const integrate = (): void => {
    const startUpEnds = Math.min(nowMs, Math.max(sinceMs, startedAtMs + lamp.startUpMs));
    energy +=
      energyMilliwattHours(drawnMilliwatts(sinceMs), startUpEnds - sinceMs) +
      energyMilliwattHours(drawnMilliwatts(startUpEnds), nowMs - startUpEnds);
    if (level > 0) litMs += nowMs - sinceMs;
    sinceMs = nowMs;
  };
  const loadMilliwatts = (): number =>
    level === 0 ? 0 : Math.max(powerMilliwatts, (settings.ratedMilliwatts * level) / 100);
  const credit = (): number =>
    account === null ? 0 : creditOf(account, register.total + Math.floor(estimated));

  const look = (): void => {
    integrate();
    drawnWhenRead = energy;
    const { resolutionMilliwattHours } = meter;
    const shown = pole.meterInitial + energy;
    const raw = Math.floor(shown / resolutionMilliwattHours) * resolutionMilliwattHours;
    const before = register;
    const taken = takeReading(register, raw, nowMs - countedAtMs, Math.floor(estimated), settings.meter);
    register = taken.register;
    account ??= { granted: 0, registerAtOpen: register.total };
    if (taken.note !== "counted" || register.raw !== before.raw) estimated = 0;
    powerMilliwatts = Math.round(drawnMilliwatts(sinceMs));
    countedAtMs = nowMs;
  };
  const hearGrant = (): void => {
    grantAtMs = Number.POSITIVE_INFINITY;
    const money = (pendingRung - soldCharged) * PRICED_UNITS + remainder;
    remainder = money % pendingPrice;
    const units = (money - remainder) / pendingPrice;
    soldCharged = pendingRung;
    soldGranted += units;
    boughtMicroAtomic += units * pendingPrice;
    charged = soldCharged;
    account = { granted: account!.granted + units, registerAtOpen: account!.registerAtOpen };
    pendingRung = 0;
    price = pendingPrice;
    quote();
    watch?.(nowMs, "grant", soldGranted);
  };
  const hearOffer = (): void => {
    const offer = prices[offers++]!;
    const next = prices[offers];
    offerAtMs = next === undefined ? Number.POSITIVE_INFINITY : next.fromMs + OFFER_MS;
    price = offer.pricePerMillionUnits;
    quantumOffered = offer.quantumAtomic;
    quote();
  };
  const buy = (wallSeconds: number): void => {
    budget = budgetOn(budget, wallSeconds, signed);
    if (pendingRung === 0 && credit() >= lowMark) return;
    const rung = pendingRung === 0 ? charged + quantumAtomic : pendingRung;
    if (rung > balanceAtomic) return;
    if (rung > signed && spentToday(budget, rung) > policy.dailyBudgetAtomic) return;
    if (pendingRung !== 0) return;
    signed = rung;
    pendingRung = rung;
    while (selling + 1 < prices.length && prices[selling + 1]!.fromMs <= nowMs) selling++;
    pendingPrice = prices[selling]!.pricePerMillionUnits;
    pendingNextMs = nextAttemptMs(retry, 1, nowMs, JITTER);
    grantAtMs = nowMs + ROUND_TRIP_MS;
    purchases++;
    digest = (Math.imul(digest ^ rung, 0x85ebca6b) + Math.floor(nowMs)) >>> 0;
    watch?.(nowMs, "pay", rung);
  };
  const wakeIn = (wallSeconds: number): number => {
    let inMs = Math.min(settings.tickMs, readingAtMs + settings.readingMs - nowMs);
    inMs = Math.min(inMs, msUntilNextStep(plan, wallSeconds));
    if (pendingRung !== 0 && pendingNextMs > nowMs) inMs = Math.min(inMs, pendingNextMs - nowMs);
    const left = credit();
    if (level > 0 && left > 0) {
      const load = loadMilliwatts();
      inMs = Math.min(inMs, msUntilUsed(left, load));
      const spare = !hasChannel || pendingRung !== 0 ? 0 : left - lowMark + 1;
      if (spare > 0) inMs = Math.min(inMs, msUntilUsed(spare, load));
    }
    return Math.max(WAKE_MIN_MS, inMs);
  };
  const step = (hear: () => void): void => {
    events++;
    estimated += energyMilliwattHours(loadMilliwatts(), Math.max(0, nowMs - reckonedAtMs));
    if (wantedPercent > 0 && level === 0) {
      starvedMs += nowMs - reckonedAtMs;
      starvedInOneMs += nowMs - reckonedAtMs;
      longestStarvedMs = Math.max(longestStarvedMs, starvedInOneMs);
    } else starvedInOneMs = 0;
    reckonedAtMs = nowMs;
    hear();
    const wallSeconds = epochSeconds + nowMs / 1000;
    wantedPercent = plannedLevel(plan, wallSeconds);
    const shown = shownLevel(wantedPercent, credit() > 0, policy.unpaid);
    const isNew = shown !== level;
    const loadBefore = level;
    // The machine reckons with the level it decided; the lamp follows within the same instant.
    if (isNew) {
      integrate();
      if (loadBefore === 0 && shown > 0) startedAtMs = sinceMs;
      level = shown;
      watch?.(nowMs, "lamp", shown);
    }
    if (hasChannel) buy(wallSeconds);
    if (nowMs - readingAtMs >= settings.readingMs) readingAtMs = nowMs;
    wakeAtMs = nowMs + wakeIn(wallSeconds);
    ahead = Math.max(ahead, energy - soldGranted);
  };

  /** A day's plan is heard on waking, before the meter is looked at. */
  const hearPlan = (): void => {
    const wallSeconds = epochSeconds + nowMs / 1000;
    const day = Math.floor(wallSeconds / SECONDS_PER_DAY);
    if (day === planDay) return;
    planDay = day;
    const heard = almanac.plan(wallSeconds);
    step(() => {
      plan = heard;
    });
  };

  step(look);
  hearPlan();
  step(() => {});
  step(() => {
    hasChannel = true;
    quote();
  });
  for (;;) {
    const nextMs = Math.min(grantAtMs, offerAtMs, wakeAtMs);
    for (let atMs = eye.nextMs(); atMs <= endMs && atMs < nextMs; atMs = eye.nextMs()) {
      eye.look(Math.max(0, credit()), level, wantedPercent, purchases, soldCharged);
    }
    if (nextMs > endMs) break;
    nowMs = nextMs;
    if (nextMs === grantAtMs) step(hearGrant);
    else if (nextMs === offerAtMs) step(hearOffer);
    else {
      hearPlan();
      step(look);
    }
  }
  nowMs = endMs;
  integrate();
  return {
    register: register.total,
    registerAtOpen: account === null ? 0 : (account as { registerAtOpen: number }).registerAtOpen,
    signed,
    charged: soldCharged,
    credited: account === null ? 0 : (account as { granted: number }).granted,
    granted: soldGranted,
    boughtMicroAtomic,
    purchases,
    events,
    deliveredMilliwattHours: energy,
    litMs,
    starvedMs,
    longestStarvedMs,
    drawnWhenReadMilliwattHours: drawnWhenRead,
    digest,
    aheadMilliwattHours: ahead,
  };
}
