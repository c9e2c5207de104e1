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
import { energyMilliwattHours, msUntilUsed, unitsForQuantum } from "#core/units";
import type { Site } from "../surroundings/simulated-site.ts";
import { FastMeter } from "./fast-meter.ts";
import { type FastPrice, FastSales } from "./fast-sales.ts";

/** From a PAY to its GRANT, milliseconds. */
export const ROUND_TRIP_MS = 120;
/** From a change of price to the offer that states it, milliseconds. */
export const OFFER_MS = 1000;
/** The machine's jitter, in the middle. */
export const JITTER = 0.5;

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

/** Called for every purchase, grant and level: what a test compares with the machine's. */
type FastWatch = (atMs: number, what: "pay" | "grant" | "lamp", value: number) => void;

/** Samples a light at instants of its own, in order: the light's state after the event before each. */
export interface FastSampler {
  /** Next instant of a sample, world milliseconds; Infinity when there is none. */
  nextMs(): number;
  sample(
    creditUnits: number,
    levelPercent: number,
    wantedPercent: number,
    purchases: number,
    chargedAtomic: number,
  ): void;
}

const NO_SAMPLER: FastSampler = { nextMs: () => Number.POSITIVE_INFINITY, sample: () => {} };

/** The machine's events: the first offer comes after the link. A tick brings a reading of the meter. */
type FastEvent = "tick" | "plan" | "link" | "first-offer" | "offer" | "grant";

/** One light's nights, from power-up to the end of its terms. @param watch null when nothing is compared */
export function runFastLight(
  site: Site,
  terms: FastTerms,
  watch: FastWatch | null,
  sampler: FastSampler = NO_SAMPLER,
): FastResult {
  requireAffordable(site, terms.prices);
  const light = new FastLight(site, terms, watch);
  light.run(sampler);
  return light.result();
}

/** A light that refuses an offer asks for a better one; only the machine does that. */
function requireAffordable({ settings: { policy } }: Site, prices: readonly FastPrice[]): void {
  if (prices.length === 0) throw new Error("fast light: expected at least one price, found none");
  for (const { pricePerMillionUnits, quantumAtomic } of prices) {
    const refusal = refuseQuantum(policy, quantumAtomic) ?? refusePrice(policy, pricePerMillionUnits);
    if (refusal === null) continue;
    throw new Error(
      `fast light: expected prices and purchases within the light's policy, found ${quantumAtomic} atomic units ` +
        `at ${pricePerMillionUnits} (${refusal}); take a cheaper tariff, or few lights`,
    );
  }
}

class FastLight {
  readonly #site: Site;
  readonly #terms: FastTerms;
  readonly #watch: FastWatch | null;
  readonly #meter: FastMeter;
  readonly #sales: FastSales;
  #nowMs = 0;
  #wakeAtMs = 0;
  #grantAtMs = Number.POSITIVE_INFINITY;
  #offerAtMs = Number.POSITIVE_INFINITY;
  #offers = 1;
  // The latest offer, and the quantum of the ladder walked.
  #price: number;
  #quantumOffered: number;
  #quantumAtomic: number;
  #lowMark = 0;
  #hasChannel = false;
  // What the machine keeps of its meter.
  #register: Register = NEW_REGISTER;
  #estimated = 0;
  #powerMilliwatts = 0;
  #reckonedAtMs = 0;
  #countedAtMs = Number.NEGATIVE_INFINITY;
  #readingAtMs = Number.NEGATIVE_INFINITY;
  #account: { granted: number; registerAtOpen: number } | null = null;
  // What it keeps of its purchases.
  #budget = { day: 0, spentBefore: 0, signedAtStart: 0 };
  #charged = 0;
  #signed = 0;
  #pendingRung = 0;
  #pendingNextMs = 0;
  #purchases = 0;
  // Its plan, and the time it stood dark.
  #plan: readonly PlanStep[] = [];
  #planNext: readonly PlanStep[] = [];
  #planDay = -1;
  #wantedPercent = 0;
  #starvedMs = 0;
  #starvedInOneMs = 0;
  #longestStarvedMs = 0;
  #events = 0;
  #digest = 0;
  #ahead = 0;

  constructor(site: Site, terms: FastTerms, watch: FastWatch | null) {
    const [first, second] = terms.prices;
    this.#site = site;
    this.#terms = terms;
    this.#watch = watch;
    this.#meter = new FastMeter(site);
    this.#sales = new FastSales(terms.prices);
    this.#price = first!.pricePerMillionUnits;
    this.#quantumOffered = first!.quantumAtomic;
    this.#quantumAtomic = first!.quantumAtomic;
    if (second !== undefined) this.#offerAtMs = second.fromMs + OFFER_MS;
  }

  run(sampler: FastSampler): void {
    const { endMs } = this.#terms;
    this.#step("tick");
    this.#stepOnNewDay();
    this.#step("link");
    this.#step("first-offer");
    for (;;) {
      const nextMs = Math.min(this.#grantAtMs, this.#offerAtMs, this.#wakeAtMs);
      for (let atMs = sampler.nextMs(); atMs <= endMs && atMs < nextMs; atMs = sampler.nextMs()) {
        const credit = Math.max(0, this.#credit());
        sampler.sample(credit, this.#meter.level, this.#wantedPercent, this.#purchases, this.#sales.charged);
      }
      if (nextMs > endMs) break;
      this.#nowMs = nextMs;
      if (nextMs === this.#grantAtMs) this.#step("grant");
      else if (nextMs === this.#offerAtMs) this.#step("offer");
      else {
        this.#stepOnNewDay();
        this.#step("tick");
      }
    }
    this.#meter.integrate(endMs);
  }

  result(): FastResult {
    return {
      register: this.#register.total,
      registerAtOpen: this.#account?.registerAtOpen ?? 0,
      signed: this.#signed,
      charged: this.#sales.charged,
      credited: this.#account?.granted ?? 0,
      granted: this.#sales.granted,
      boughtMicroAtomic: this.#sales.boughtMicroAtomic,
      purchases: this.#purchases,
      events: this.#events,
      deliveredMilliwattHours: this.#meter.energyMilliwattHours,
      litMs: this.#meter.litMs,
      starvedMs: this.#starvedMs,
      longestStarvedMs: this.#longestStarvedMs,
      drawnWhenReadMilliwattHours: this.#meter.energyWhenRead,
      digest: this.#digest,
      aheadMilliwattHours: this.#ahead,
    };
  }

  /** A day's plan is applied on waking, before the meter is read. */
  #stepOnNewDay(): void {
    const wallSeconds = this.#terms.epochSeconds + this.#nowMs / 1000;
    const day = Math.floor(wallSeconds / SECONDS_PER_DAY);
    if (day === this.#planDay) return;
    this.#planDay = day;
    this.#planNext = this.#site.almanac.plan(wallSeconds);
    this.#step("plan");
  }

  /** One event as the machine takes it: reckon, apply, decide the level, buy, set the alarm. */
  #step(event: FastEvent): void {
    const nowMs = this.#nowMs;
    const { settings } = this.#site;
    const meter = this.#meter;
    this.#events++;
    this.#reckon(nowMs - this.#reckonedAtMs);
    this.#reckonedAtMs = nowMs;
    this.#apply(event);
    const wallSeconds = this.#terms.epochSeconds + nowMs / 1000;
    this.#wantedPercent = plannedLevel(this.#plan, wallSeconds);
    const shown = shownLevel(this.#wantedPercent, this.#credit() > 0, settings.policy.unpaid);
    // The machine reckons with the level it decided; the lamp follows within the same instant.
    if (shown !== meter.level) {
      meter.setLevel(shown, nowMs);
      this.#watch?.(nowMs, "lamp", shown);
    }
    if (this.#hasChannel) this.#buy(wallSeconds);
    if (nowMs - this.#readingAtMs >= settings.readingMs) this.#readingAtMs = nowMs;
    this.#wakeAtMs = nowMs + this.#wakeIn(wallSeconds);
    this.#ahead = Math.max(this.#ahead, meter.energyMilliwattHours - this.#sales.granted);
  }

  /** What was used and how long the light starved since the event before. */
  #reckon(elapsedMs: number): void {
    this.#estimated += energyMilliwattHours(this.#loadMilliwatts(), Math.max(0, elapsedMs));
    if (this.#wantedPercent > 0 && this.#meter.level === 0) {
      this.#starvedMs += elapsedMs;
      this.#starvedInOneMs += elapsedMs;
      this.#longestStarvedMs = Math.max(this.#longestStarvedMs, this.#starvedInOneMs);
    } else this.#starvedInOneMs = 0;
  }

  #apply(event: FastEvent): void {
    if (event === "tick") this.#readMeter();
    else if (event === "grant") this.#applyGrant();
    else if (event === "offer") this.#applyOffer();
    else if (event === "plan") this.#plan = this.#planNext;
    else if (event === "first-offer") {
      this.#hasChannel = true;
      this.#quote();
    }
  }

  #readMeter(): void {
    const nowMs = this.#nowMs;
    const { meter: limits } = this.#site.settings;
    const before = this.#register;
    const raw = this.#meter.read(nowMs);
    const taken = takeReading(before, raw, nowMs - this.#countedAtMs, Math.floor(this.#estimated), limits);
    this.#register = taken.register;
    this.#account ??= { granted: 0, registerAtOpen: taken.register.total };
    if (taken.note !== "counted" || taken.register.raw !== before.raw) this.#estimated = 0;
    this.#powerMilliwatts = Math.round(this.#meter.drawnMilliwatts(nowMs));
    this.#countedAtMs = nowMs;
  }

  #applyGrant(): void {
    const { granted, registerAtOpen } = this.#account!;
    this.#grantAtMs = Number.POSITIVE_INFINITY;
    const units = this.#sales.grant(this.#pendingRung);
    this.#charged = this.#pendingRung;
    this.#account = { granted: granted + units, registerAtOpen };
    this.#pendingRung = 0;
    this.#price = this.#sales.price;
    this.#quote();
    this.#watch?.(this.#nowMs, "grant", this.#sales.granted);
  }

  #applyOffer(): void {
    const { prices } = this.#terms;
    const offer = prices[this.#offers++]!;
    const next = prices[this.#offers];
    this.#offerAtMs = next === undefined ? Number.POSITIVE_INFINITY : next.fromMs + OFFER_MS;
    this.#price = offer.pricePerMillionUnits;
    this.#quantumOffered = offer.quantumAtomic;
    this.#quote();
  }

  #quote(): void {
    // An offered quantum is taken up between two purchases.
    if (this.#pendingRung === 0) this.#quantumAtomic = this.#quantumOffered;
    const units = unitsForQuantum(this.#quantumAtomic, this.#price);
    this.#lowMark = Math.ceil((units * this.#site.settings.lowMarkPermille) / 1000);
  }

  #buy(wallSeconds: number): void {
    const { policy, retry } = this.#site.settings;
    this.#budget = budgetOn(this.#budget, wallSeconds, this.#signed);
    if (this.#pendingRung !== 0 || this.#credit() >= this.#lowMark) return;
    const rung = this.#charged + this.#quantumAtomic;
    if (rung > this.#terms.balanceAtomic) return;
    if (rung > this.#signed && spentToday(this.#budget, rung) > policy.dailyBudgetAtomic) return;
    const nowMs = this.#nowMs;
    this.#signed = rung;
    this.#pendingRung = rung;
    this.#sales.order(nowMs);
    this.#pendingNextMs = nextAttemptMs(retry, 1, nowMs, JITTER);
    this.#grantAtMs = nowMs + ROUND_TRIP_MS;
    this.#purchases++;
    this.#digest = (Math.imul(this.#digest ^ rung, 0x85ebca6b) + Math.floor(nowMs)) >>> 0;
    this.#watch?.(nowMs, "pay", rung);
  }

  #wakeIn(wallSeconds: number): number {
    const nowMs = this.#nowMs;
    const { settings } = this.#site;
    let inMs = Math.min(settings.tickMs, this.#readingAtMs + settings.readingMs - nowMs);
    inMs = Math.min(inMs, msUntilNextStep(this.#plan, wallSeconds));
    if (this.#pendingRung !== 0 && this.#pendingNextMs > nowMs)
      inMs = Math.min(inMs, this.#pendingNextMs - nowMs);
    const left = this.#credit();
    if (this.#meter.level > 0 && left > 0) {
      const load = this.#loadMilliwatts();
      inMs = Math.min(inMs, msUntilUsed(left, load));
      const spare = !this.#hasChannel || this.#pendingRung !== 0 ? 0 : left - this.#lowMark + 1;
      if (spare > 0) inMs = Math.min(inMs, msUntilUsed(spare, load));
    }
    return Math.max(WAKE_MIN_MS, inMs);
  }

  #loadMilliwatts(): number {
    const { level } = this.#meter;
    if (level === 0) return 0;
    return Math.max(this.#powerMilliwatts, (this.#site.settings.ratedMilliwatts * level) / 100);
  }

  #credit(): number {
    if (this.#account === null) return 0;
    return creditOf(this.#account, this.#register.total + Math.floor(this.#estimated));
  }
}
