/**
 * Money that a device spends beside its channel, held against the same day's budget.
 *
 * Promise (P1, S1): an amount is counted in the day's budget, and that is stored, before its reservation is answered: a
 * power cut forgets no payment that may have been signed. What is counted stays counted, whatever becomes of it.
 */
import { signedBefore } from "#core/apply-offer";
import type { Checkpoint, Event, Moment } from "#core/events";
import type { State, Step } from "#core/machine";
import { budgetOn, spentToday } from "#core/policy";
import type { Journal } from "#core/ports";
import type { DeviceRefusal } from "#core/refusal";
import { isCounter } from "#core/units";
import { isSameToken, type PaymentToken } from "#protocol/payment-token";

/** Reservations that wait for the next step at once. */
export const RESERVATIONS_MAX = 16;

interface Reservation {
  readonly amountAtomic: number;
  readonly token: PaymentToken;
  readonly answer: (refusal: DeviceRefusal | null) => void;
}

export class SideSpending {
  #asked: Reservation[] = [];
  /** In the budget, and not known to be stored. */
  #counted: Reservation[] = [];
  /** Lets the machine take a step. */
  onAsk: () => void = () => {};

  /** Counts an amount; resolves with null once that would survive a power cut, or with the rule against it. */
  reserve(amountAtomic: number, token: PaymentToken): Promise<DeviceRefusal | null> {
    if (this.#asked.length >= RESERVATIONS_MAX || !isCounter(amountAtomic) || amountAtomic === 0) {
      return Promise.resolve("quantum-above-limit");
    }
    return new Promise((answer) => {
      this.#asked.push({ amountAtomic, token, answer });
      this.onAsk();
    });
  }

  /** A machine's step, with what was asked for since the last one in its budget. */
  step(inner: (state: State, event: Event) => Step): (state: State, event: Event) => Step {
    return (state, event) => inner(this.#count(state, event.at), event);
  }

  /** A journal that answers reservations when what covers them is stored. */
  journal(inner: Journal): Journal {
    return {
      load: () => inner.load(),
      store: (checkpoint: Checkpoint, done) => {
        const covered = this.#counted;
        this.#counted = [];
        inner.store(checkpoint, (error) => {
          if (error === null) for (const { answer } of covered) answer(null);
          else this.#counted = [...covered, ...this.#counted];
          done(error);
        });
      },
    };
  }

  #count(before: State, at: Moment): State {
    if (this.#asked.length === 0) return before;
    const asked = this.#asked;
    this.#asked = [];
    let state = before;
    for (const reservation of asked) {
      const { counted, refusal } = count(state, reservation, at);
      state = counted;
      if (refusal === null) this.#counted.push(reservation);
      else reservation.answer(refusal);
    }
    return state;
  }
}

function count(
  state: State,
  { amountAtomic, token }: Reservation,
  at: Moment,
): { readonly counted: State; readonly refusal: DeviceRefusal | null } {
  const { policy } = state.settings;
  const refused = (refusal: DeviceRefusal) => ({ counted: state, refusal });
  if (!isSameToken(policy, token)) return refused("token-not-allowed");
  if (amountAtomic > policy.quantumMaxAtomic) return refused("quantum-above-limit");
  // A day that begins while the channel is unknown begins at what was surely signed on it: more is counted, never less.
  const signed = state.channel === null ? (state.former[0]?.signed ?? 0) : state.channel.signed;
  const budget = budgetOn(state.budget, at.wallSeconds, signed);
  if (spentToday(budget, signedBefore(state)) + amountAtomic > policy.dailyBudgetAtomic) {
    return refused("budget-exhausted");
  }
  const spent = { ...budget, spentBefore: budget.spentBefore + amountAtomic };
  return { counted: { ...state, budget: spent, persistDue: true }, refusal: null };
}
