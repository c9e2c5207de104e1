/**
 * When to buy, and what prevents it.
 *
 * Promise (M1, P1): a rung leaves here only within deposit, policy and the day's budget, and only behind
 * a checkpoint that covers it.
 */

import { askForBetterOffer } from "./ask-for-offer.ts";
import type { Effect, Moment } from "./events.ts";
import { budgetOn, refusePrice, refuseQuantum, spentToday } from "./policy.ts";
import type { Refusal } from "./refusal.ts";
import { type Channel, nextAttemptMs, nextRung, reserveRung } from "./rungs.ts";
import { creditLeft, isCounting, type State } from "./state.ts";
import { unitsForQuantum } from "./units.ts";

export interface Bought {
  readonly state: State;
  /** To be carried out behind the state's persist. */
  readonly pay: Effect | null;
}

/** Takes the next rung when credit is below the low mark, or the pending one again when its time has come. */
export function buy(before: State, at: Moment): Bought {
  const channel = before.channel;
  if (channel === null || before.account === null || !isCounting(before)) return { state: before, pay: null };
  let state = beginDay(before, channel, at);
  if (state.pending === null && creditLeft(state) >= lowMarkUnits(state)) return { state, pay: null };

  const rung = state.pending === null ? nextRung(channel) : state.pending.maxClaimable;
  const refusal = refuseRung(state, channel, rung, at);
  if (refusal !== null) {
    const refused = { ...state, answerRefusal: refusal };
    return { state: onlyOfferHelps(refusal) ? askForBetterOffer(refused, at) : refused, pay: null };
  }
  if (state.hostRefusal !== null || state.lampRefusal !== null) return { state, pay: null };
  if (state.halted || !state.linkUp) return { state, pay: null };
  if (state.pending !== null && at.nowMs < state.pending.nextMs) return { state, pay: null };

  const attempts = state.pending === null ? 1 : state.pending.attempts + 1;
  const nextMs = nextAttemptMs(state.settings.retry, attempts, at.nowMs, at.random);
  const reserved = reserveRung(channel, rung);
  state = {
    ...state,
    channel: {
      ...reserved,
      signed: Math.max(channel.signed, rung),
      maybeSigned: Math.max(channel.maybeSigned, rung),
    },
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

/** Without payments no grant comes either, and the offer that would help may have been lost. */
function onlyOfferHelps(refusal: Refusal): boolean {
  return (
    refusal === "deposit-exhausted" || refusal === "price-above-ceiling" || refusal === "quantum-above-limit"
  );
}

/** A day's first look at the budget is stored: forgotten, a power cut would begin the day twice. */
function beginDay(state: State, channel: Channel, at: Moment): State {
  const budget = budgetOn(state.budget, at.wallSeconds, channel.signed);
  return budget === state.budget ? state : { ...state, budget, persistDue: true };
}

/** Why a rung may not be signed now, besides link and back-off. */
function refuseRung(state: State, channel: Channel, rung: number, at: Moment): Refusal | null {
  const policy = state.settings.policy;
  if (rung > channel.balance) return "deposit-exhausted";
  if (channel.terms.scheme !== "batch-settlement" && at.wallSeconds === null) return "clock-unset";
  // What was signed once may be sent again under any later price or budget: it adds nothing to what is owed.
  if (rung <= channel.signed) return null;
  const outside =
    refuseQuantum(policy, channel.quantumAtomic) || refusePrice(policy, channel.pricePerMillionUnits);
  if (outside !== null) return outside;
  if (spentToday(state.budget, rung) > policy.dailyBudgetAtomic) return "budget-exhausted";
  return null;
}

/** Credit below which the next quantum is bought, metered units; 0 without a channel. */
export function lowMarkUnits(state: State): number {
  if (state.channel === null) return 0;
  const { quantumAtomic, pricePerMillionUnits } = state.channel;
  const quantumUnits = unitsForQuantum(quantumAtomic, pricePerMillionUnits);
  return Math.ceil((quantumUnits * state.settings.lowMarkPermille) / 1000);
}
