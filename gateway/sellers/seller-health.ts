/**
 * Whether devices should buy from a seller: what its circuit says, made slow enough to change sellers by.
 *
 * Promise: a seller in trouble keeps its devices for `awayAfterMs` and then loses them, whatever it answers as long
 * as it sells to none; one whose payments had failed gets them back by one device's payment that goes through,
 * tried at growing intervals. What
 * it refuses to one device while it sells to others moves no device.
 */
import type { Timer } from "./circuit.ts";

/**
 * "new": not heard yet. "good": sells. "troubled": fails, and may yet recover. "away": devices buy elsewhere.
 * "trial": answers again, and one device tries whether it sells.
 */
export const HEALTH_NAMES = ["new", "good", "troubled", "away", "trial"] as const;
export type HealthName = (typeof HEALTH_NAMES)[number];

const TRIAL_FIRST_MS = 30_000;
const TRIAL_MAX_MS = 30 * 60_000;

/** Payments that fail one after the other, none going through between them, until a seller is in trouble. */
const FAILED_PAYMENTS_MAX = 2;

/** Devices that were sold to so lately are waited for, before the refusals of a single other one count for all. */
const SOLD_LATELY_MS = 120_000;

/** It takes payments, as far as is known. */
export function isSelling(name: HealthName): boolean {
  return name === "good" || name === "trial";
}

/** Devices buy from it, if it is the best one. */
const OPEN: readonly HealthName[] = ["new", "good", "troubled"];

/** A device that the seller sold to, and when, in monotonic milliseconds. */
interface LateSale {
  readonly device: string;
  readonly atMs: number;
}

export class SellerHealth {
  readonly #timer: Timer;
  readonly #awayAfterMs: number;
  readonly #changed: (moves: boolean, before: HealthName) => void;
  #name: HealthName = "new";
  #reason = "it has not answered yet";
  #sinceMs: number;
  /** Payments that failed since one went through. */
  #failedPayments = 0;
  /** Quotes that failed since one was given. */
  #failedQuotes = 0;
  /** The one device that was refused since a payment went through; null when there were none, or several. */
  #refusedAlone: string | null = null;
  /** Of the two devices that were sold to last. */
  #sales: readonly LateSale[] = [];
  #trials = 0;
  #trialAtMs = 0;
  #cancel = () => {};

  /** @param changed called after every change from `before`; `moves`: devices may have to buy elsewhere by it */
  constructor(timer: Timer, awayAfterMs: number, changed: (moves: boolean, before: HealthName) => void) {
    this.#timer = timer;
    this.#awayAfterMs = awayAfterMs;
    this.#changed = changed;
    this.#sinceMs = timer.nowMs();
  }

  get name(): HealthName {
    return this.#name;
  }

  /** Why it is not good; empty when it is. */
  get reason(): string {
    return this.#reason;
  }

  /** Monotonic milliseconds of the last change. */
  get sinceMs(): number {
    return this.#sinceMs;
  }

  /** The circuit opened, or the very first call failed. */
  failing(reason: string): void {
    if (this.#name === "good") this.#become("troubled", reason);
    else if (this.#name === "new") this.#become("away", reason);
    else if (this.#name === "trial") this.#leave(reason);
    else this.#reason = reason;
    // What answered a while ago and was to be tried does not any more.
    if (this.#name === "away") this.#cancel();
  }

  /** The seller answered something that is no payment, and its circuit is closed. */
  answered(): void {
    const isSettled = this.#name === "good" || this.#name === "trial";
    if (isSettled || this.#failedQuotes > 0) return;
    if (this.#failedPayments === 0) this.#become("good", "");
    else if (this.#name === "away") this.#tryWhenDue();
  }

  /** @param device the device that it sold to */
  paid(device: string): void {
    this.#failedPayments = 0;
    this.#failedQuotes = 0;
    this.#refusedAlone = null;
    const others = this.#sales.filter((sale) => sale.device !== device);
    this.#sales = [{ device, atMs: this.#timer.nowMs() }, ...others].slice(0, 2);
    this.#trials = 0;
    this.#become("good", "");
  }

  /** It is unknown whether it sold: no answer, or none that can be read. */
  paymentFailed(reason: string): void {
    this.#failedPayments += 1;
    this.#refusedAlone = null;
    this.#soldNothing(reason);
  }

  /** It refused a payment of this device, for no reason of the device's own. */
  refused(device: string, reason: string): void {
    this.#refusedAlone = this.#failedPayments === 0 || this.#refusedAlone === device ? device : null;
    this.#failedPayments += 1;
    if (this.#name !== "good" || !this.#isOneDevicesFault()) this.#soldNothing(reason);
  }

  /** It has nothing left to sell: its devices go at once, and one tries from time to time whether it has again. */
  soldOut(reason: string): void {
    this.#failedPayments += 1;
    if (this.#name === "away") this.#reason = reason;
    else this.#leave(reason);
  }

  /** It quoted what it sells. */
  quoted(): void {
    if (this.#failedQuotes === 0) return;
    this.#failedQuotes = 0;
    this.answered();
  }

  /** It quoted nothing. */
  quoteFailed(reason: string): void {
    this.#failedQuotes += 1;
    this.#soldNothing(reason);
  }

  stop(): void {
    this.#cancel();
  }

  #become(next: HealthName, reason: string): void {
    this.#reason = reason;
    const before = this.#name;
    if (next === before) return;
    const moves = before === "new" || !OPEN.includes(before) || !OPEN.includes(next);
    this.#name = next;
    this.#sinceMs = this.#timer.nowMs();
    this.#cancel();
    if (next === "troubled") {
      this.#cancel = this.#timer.after(this.#awayAfterMs, () => this.#become("away", this.#reason));
    }
    this.#changed(moves, before);
  }

  #tryWhenDue(): void {
    const waitMs = this.#trialAtMs - this.#timer.nowMs();
    this.#cancel();
    if (waitMs > 0) this.#cancel = this.#timer.after(waitMs, () => this.answered());
    else this.#become("trial", `it answers again: one device tries whether it sells (${this.#reason})`);
  }

  /** One device's fault is not the seller's: others that it sold to a moment ago will show whether it sells. */
  #isOneDevicesFault(): boolean {
    const nowMs = this.#timer.nowMs();
    const othersBuy = this.#sales.some(
      ({ device, atMs }) => device !== this.#refusedAlone && nowMs - atMs < SOLD_LATELY_MS,
    );
    return this.#refusedAlone !== null && othersBuy;
  }

  #soldNothing(reason: string): void {
    const failed = this.#failedPayments + this.#failedQuotes;
    if (this.#name === "trial") this.#leave(reason);
    else if (this.#name === "good" && failed >= FAILED_PAYMENTS_MAX) this.#become("troubled", reason);
    else if (this.#name !== "good") this.#reason = reason;
  }

  #leave(reason: string): void {
    const full = Math.min(TRIAL_MAX_MS, TRIAL_FIRST_MS * 2 ** Math.min(this.#trials, 10));
    this.#trials += 1;
    this.#trialAtMs = this.#timer.nowMs() + full * (0.5 + this.#timer.random() / 2);
    this.#become("away", reason);
  }
}
