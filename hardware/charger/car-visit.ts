/**
 * A car's visit: from plugging in to leaving, with the transaction of it.
 *
 * Promise: one transaction at a time; one that its car or its driver ended is not begun again from here until the car was
 * unplugged, one that was stopped for want of credit, or by a restart, is.
 */
import { type ChargeWish, deadlineOf } from "./limits/charge-wish.ts";

export interface Transaction {
  readonly id: string;
  /** Register at its beginning, milliwatt-hours. */
  readonly startedAt: number;
  costAtomic: number;
}

export class CarVisit {
  readonly #usual: ChargeWish;
  #wish: ChargeWish;
  #deadlineSeconds: number | null = null;
  #plugged = false;
  #pluggedAt: number;
  #transaction: Transaction | null = null;
  #former: string | null = null;
  #mayStart = false;
  #askedAtMs = Number.NEGATIVE_INFINITY;

  constructor(usual: ChargeWish, total: number) {
    this.#usual = usual;
    this.#wish = usual;
    this.#pluggedAt = total;
  }

  transaction(): Transaction | null {
    return this.#transaction;
  }

  isPlugged(): boolean {
    return this.#plugged;
  }

  /** Register when the car came, milliwatt-hours. */
  pluggedAt(): number {
    return this.#pluggedAt;
  }

  wishNow(): ChargeWish {
    return this.#wish;
  }

  /** Unix seconds; null where the wish has no time. */
  deadline(): number | null {
    return this.#deadlineSeconds;
  }

  mayStart(): boolean {
    return this.#mayStart && this.#transaction === null;
  }

  /** Whether a transaction ended here a moment ago: its late words do not begin it again. */
  knewOf(transactionId: string): boolean {
    return this.#former === transactionId;
  }

  /** True when it changed. A car that is gone takes its transaction along. */
  plug(plugged: boolean, total: number, wallSeconds: number): boolean {
    if (plugged === this.#plugged) return false;
    this.#plugged = plugged;
    this.#mayStart = plugged;
    if (!plugged) this.end(false);
    this.#arrive(total, wallSeconds);
    return true;
  }

  begin(id: string, total: number, wallSeconds: number): void {
    if (this.#transaction?.id === id) return;
    if (!this.#plugged) this.#arrive(total, wallSeconds);
    this.#plugged = true;
    this.#transaction = { id, startedAt: total, costAtomic: 0 };
  }

  /** @param mayGoOn false when its car or its driver ended it */
  end(mayGoOn: boolean): void {
    this.#former = this.#transaction?.id ?? this.#former;
    this.#transaction = null;
    this.#mayStart = mayGoOn && this.#plugged;
  }

  /** What the car itself asked for goes before the configuration. */
  wish(energyMilliwattHours: number | null, readyBySeconds: number | null): void {
    this.#wish = { energyMilliwattHours, readyByMinute: null };
    this.#deadlineSeconds = readyBySeconds;
  }

  /** At most once an interval. */
  mayAsk(nowMs: number, intervalMs: number): boolean {
    if (nowMs - this.#askedAtMs < intervalMs) return false;
    this.#askedAtMs = nowMs;
    return true;
  }

  #arrive(total: number, wallSeconds: number): void {
    this.#pluggedAt = total;
    this.#wish = this.#usual;
    this.#deadlineSeconds = deadlineOf(this.#usual, wallSeconds);
  }
}
