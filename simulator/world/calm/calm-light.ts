/**
 * One light through calm nights: nothing fails, every answer takes the same short while.
 *
 * Promise: every decision is the machine's own, event by event as a host would feed it; only what is
 * around it is short: no sockets, no signatures, no queue, for in calm weather lights do not touch.
 */
import type { Event, Grant, Offer, Payment, Terms } from "#core/events";
import { bootMachine, type Settings, type State, stepMachine } from "#core/machine";
import { channelTagOf } from "#core/purchase";
import { unitsForQuantum } from "#core/units";
import { chooseQuantum } from "#gateway/purchase/channels";
import { LampModel } from "../../fleet/lamp-model.ts";
import type { Pole } from "../../fleet/street.ts";
import { type Account, newAccount, purchase } from "../../utility/accounts.ts";
import type { Quote } from "../../utility/tariff.ts";

export interface CalmOptions {
  readonly epochSeconds: number;
  readonly durationMs: number;
  /** The seller's price at a Unix time. */
  readonly quote: (seconds: number) => Quote;
  /** Quanta on sale, atomic units, ascending. */
  readonly menu: readonly number[];
  readonly terms: Terms;
  /** In escrow for each light, atomic units. */
  readonly balance: number;
  /** From a PAY to its GRANT, milliseconds. */
  readonly answerMs: number;
}

/** Counters of one light at the end, by whoever writes them. */
export interface CalmCounters {
  /** By the device: atomic units signed, units credited, units counted since its account was opened. */
  signed: number;
  credited: number;
  consumed: number;
  /** By the seller. */
  charged: number;
  granted: number;
  purchases: number;
  /** By the lamp model, mWh. */
  delivered: number;
  starvedMs: number;
  events: number;
  /** FNV-1a over every payment's amount and instant, 32 bits. */
  hash: number;
  /** 0, or which invariant broke first: 1 is E1, 2 is E2, 3 is M1. */
  broken: number;
}

export const E1_BROKEN = 1;
export const E2_BROKEN = 2;
export const M1_BROKEN = 3;

const SECONDS_PER_DAY = 86_400;
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Told of every step: for tests that compare event by event. */
export type Onlooker = (event: Event, state: State) => void;

/** @param channelId 0x and 64 hex digits, this light's own */
export function runCalmLight(
  pole: Pole,
  settings: Settings,
  wantedUnits: number,
  channelId: string,
  options: CalmOptions,
  onlooker?: Onlooker,
): CalmCounters {
  const { epochSeconds, durationMs, menu, answerMs } = options;
  let nowMs = 0;
  let wakeAtMs = 0;
  let grantAtMs = Number.POSITIVE_INFINITY;
  let paying: Payment | null = null;
  let planDay = -1;
  let revision = 0;
  let offeredPrice = 0;
  let starvedSinceMs = -1;
  let account: Account = newAccount(channelId, "batch-settlement");
  let state = bootMachine(settings, null);
  const model = new LampModel(pole.lamp, pole.meter, pole.meterInitial, () => nowMs);
  const counters = newCounters();

  const moment = () => ({ nowMs, wallSeconds: epochSeconds + nowMs / 1000, random: pole.random() });
  const readMeter = () => {
    let taken = null as Parameters<Parameters<LampModel["read"]>[0]>[0];
    model.read((reading) => {
      taken = reading;
    });
    return taken;
  };

  function take(event: Event): void {
    const before = state.register.total;
    const step = stepMachine(state, event);
    state = step.state;
    counters.events++;
    for (const effect of step.effects) {
      if (effect.type === "lamp") model.set(effect.levelPercent);
      else if (effect.type === "wake") wakeAtMs = effect.atMs;
      else if (effect.type === "pay") pay(effect.payment);
    }
    if (state.register.total < before) counters.broken ||= E1_BROKEN;
    watchEnergy();
    watchStarvation();
    onlooker?.(event, state);
  }

  function pay(payment: Payment): void {
    if (payment.maxClaimable <= counters.signed || payment.maxClaimable > options.balance) {
      counters.broken ||= M1_BROKEN;
    }
    counters.signed = payment.maxClaimable;
    counters.hash = mixed(mixed(counters.hash, payment.maxClaimable), Math.round(nowMs));
    paying = payment;
    grantAtMs = nowMs + answerMs;
  }

  function watchEnergy(): void {
    const { channel, account: own } = state;
    if (channel === null || own === null) return;
    const allowed = own.granted + unitsForQuantum(channel.quantumAtomic, channel.pricePerMillionUnits);
    if (model.deliveredMilliwattHours() > allowed) counters.broken ||= E2_BROKEN;
  }

  function watchStarvation(): void {
    const starved = state.wantedPercent > 0 && state.levelPercent === 0;
    if (starvedSinceMs >= 0) counters.starvedMs += nowMs - starvedSinceMs;
    starvedSinceMs = starved ? nowMs : -1;
  }

  function offer(price: number): void {
    offeredPrice = price;
    const tariff = { unit: "mWh", pricePerMillionUnits: price, validUntilSeconds: 0, menu };
    const made: Offer = {
      revision: ++revision,
      channelId,
      terms: options.terms,
      unit: "mWh",
      quantumAtomic: chooseQuantum(tariff, wantedUnits),
      pricePerMillionUnits: price,
      balance: options.balance,
      charged: account.charged,
      granted: account.granted,
    };
    take({ type: "offer", at: moment(), offer: made });
  }

  function answer(payment: Payment): void {
    const quote = options.quote(epochSeconds + nowMs / 1000);
    // The seller's own rule: one rung, one charge, at the price of this moment.
    account = purchase(account, payment.maxClaimable - account.charged, quote).account;
    paying = null;
    grantAtMs = Number.POSITIVE_INFINITY;
    const grant: Grant = {
      refusal: null,
      channelTag: channelTagOf(channelId),
      charged: account.charged,
      granted: account.granted,
      pricePerMillionUnits: quote.pricePerMillionUnits,
      validUntilSeconds: quote.validUntilSeconds,
    };
    take({ type: "grant", at: moment(), grant });
    if (quote.pricePerMillionUnits !== offeredPrice) offer(quote.pricePerMillionUnits);
  }

  function keepPlan(): void {
    const wallSeconds = epochSeconds + nowMs / 1000;
    const day = Math.floor(wallSeconds / SECONDS_PER_DAY);
    if (day === planDay) return;
    planDay = day;
    take({ type: "plan", at: moment(), plan: pole.almanac.plan(wallSeconds) });
  }

  take({ type: "power-up", at: moment(), reading: readMeter() });
  keepPlan();
  take({ type: "link", at: moment(), up: true });
  offer(options.quote(epochSeconds).pricePerMillionUnits);
  for (;;) {
    const next = Math.min(wakeAtMs, grantAtMs);
    if (next > durationMs && paying === null) break;
    nowMs = next;
    if (paying !== null && grantAtMs <= wakeAtMs) answer(paying);
    else {
      const reading = readMeter();
      keepPlan();
      take({ type: "tick", at: moment(), reading });
    }
  }
  nowMs = Math.max(nowMs, durationMs);
  counters.charged = account.charged;
  counters.granted = account.granted;
  counters.purchases = account.purchases;
  counters.credited = state.account?.granted ?? 0;
  counters.consumed = state.register.total - (state.account?.registerAtOpen ?? 0);
  counters.delivered = model.deliveredMilliwattHours();
  return counters;
}

function newCounters(): CalmCounters {
  return {
    signed: 0,
    credited: 0,
    consumed: 0,
    charged: 0,
    granted: 0,
    purchases: 0,
    delivered: 0,
    starvedMs: 0,
    events: 0,
    hash: FNV_OFFSET,
    broken: 0,
  };
}

/** One FNV-1a step over a 32-bit word. */
export function mixed(hash: number, word: number): number {
  return Math.imul(hash ^ (word | 0), FNV_PRIME) >>> 0;
}
