/**
 * Whether devices should buy from a seller: what its circuit says, made slow enough to change sellers by.
 *
 * Promise: a seller in trouble keeps its devices for `awayAfterMs` and then loses them, whatever it answers as long
 * as it sells to nobody; one whose payments had failed gets them back by one device's payment that goes through,
 * tried at growing intervals; one that breaks the rules of payment is dismissed until the gateway starts again. What
 * it refuses to one device while it sells to others moves nobody.
 */
import type { Timer } from "./circuit.ts";

/**
 * "new": not heard yet. "good": sells. "troubled": fails, and may yet recover. "away": devices buy elsewhere.
 * "trial": answers again, and one device tries whether it sells. "dismissed": not bought from any more.
 */
export const HEALTH_NAMES = ["new", "good", "troubled", "away", "trial", "dismissed"] as const;
export type HealthName = (typeof HEALTH_NAMES)[number];

export interface SellerHealth {
  readonly name: HealthName;
  /** Why it is not good; empty when it is. */
  readonly reason: string;
  /** Monotonic milliseconds of the last change. */
  readonly sinceMs: number;
  /** The circuit opened, or the very first call failed. */
  failing(reason: string): void;
  /** The seller answered something that is no payment, and its circuit is closed. */
  answered(): void;
  /** @param device whom it sold to */
  paid(device: string): void;
  /** Nobody knows whether it sold: no answer, or none that can be read. */
  paymentFailed(reason: string): void;
  /** It refused a payment of this device, for no reason of the device's own. */
  refused(device: string, reason: string): void;
  /** It quoted what it sells, or would not. */
  quoted(): void;
  quoteFailed(reason: string): void;
  dismiss(reason: string): void;
  stop(): void;
}

const TRIAL_FIRST_MS = 30_000;
const TRIAL_MAX_MS = 30 * 60_000;

/** Payments that fail one after the other, none going through between them, until a seller is in trouble. */
const FAILED_PAYMENTS_MAX = 2;

/** Devices that were sold to so lately are waited for, before the refusals of a single other one count for all. */
const SOLD_LATELY_MS = 120_000;

/** It takes payments, as far as anybody knows. */
export function isSelling(name: HealthName): boolean {
  return name === "good" || name === "trial";
}

/** Devices buy from it, if it is the best one. */
const OPEN: readonly HealthName[] = ["new", "good", "troubled"];

/** @param changed called after every change from `before`; `moves`: devices may have to buy elsewhere by it */
export function openSellerHealth(
  timer: Timer,
  awayAfterMs: number,
  changed: (moves: boolean, before: HealthName) => void,
): SellerHealth {
  let name: HealthName = "new";
  let reason = "it has not answered yet";
  let sinceMs = timer.nowMs();
  /** Payments that failed since one went through. */
  let failedPayments = 0;
  /** Quotes that failed since one was given. */
  let failedQuotes = 0;
  /** The one device that was refused since a payment went through; null when there were none, or several. */
  let refusedAlone: string | null = null;
  /** The two devices that were sold to last, and when, in monotonic milliseconds. */
  let sales: readonly { readonly device: string; readonly atMs: number }[] = [];
  let trials = 0;
  let trialAtMs = 0;
  let cancel = () => {};

  function become(next: HealthName, why: string): void {
    reason = why;
    if (next === name) return;
    const moves = name === "new" || !OPEN.includes(name) || !OPEN.includes(next);
    const before = name;
    name = next;
    sinceMs = timer.nowMs();
    cancel();
    if (next === "troubled") cancel = timer.after(awayAfterMs, () => become("away", reason));
    changed(moves, before);
  }

  /** One device's fault is not the seller's: others that it sold to a moment ago will say whether it sells. */
  function isOneDevicesFault(): boolean {
    const nowMs = timer.nowMs();
    const othersBuy = sales.some(
      ({ device, atMs }) => device !== refusedAlone && nowMs - atMs < SOLD_LATELY_MS,
    );
    return refusedAlone !== null && othersBuy;
  }

  function soldNothing(why: string): void {
    if (name === "trial") leave(why);
    else if (name === "good" && failedPayments + failedQuotes >= FAILED_PAYMENTS_MAX) become("troubled", why);
    else if (name !== "good" && name !== "dismissed") reason = why;
  }

  function leave(why: string): void {
    const full = Math.min(TRIAL_MAX_MS, TRIAL_FIRST_MS * 2 ** Math.min(trials, 10));
    trials += 1;
    trialAtMs = timer.nowMs() + full * (0.5 + timer.random() / 2);
    become("away", why);
  }

  const standing: SellerHealth = {
    get name() {
      return name;
    },
    get reason() {
      return reason;
    },
    get sinceMs() {
      return sinceMs;
    },
    failing(why) {
      if (name === "dismissed") return;
      if (name === "good") become("troubled", why);
      else if (name === "new") become("away", why);
      else if (name === "trial") leave(why);
      else reason = why;
      // What answered a while ago and was to be tried does not any more.
      if (name === "away") cancel();
    },
    answered() {
      if (name === "dismissed" || name === "good" || name === "trial" || failedQuotes > 0) return;
      if (failedPayments === 0) return become("good", "");
      if (name !== "away") return;
      const waitMs = trialAtMs - timer.nowMs();
      cancel();
      if (waitMs <= 0) become("trial", `it answers again: one device tries whether it sells (${reason})`);
      else cancel = timer.after(waitMs, standing.answered);
    },
    paid(device) {
      failedPayments = 0;
      failedQuotes = 0;
      refusedAlone = null;
      sales = [{ device, atMs: timer.nowMs() }, ...sales.filter((sale) => sale.device !== device)].slice(
        0,
        2,
      );
      trials = 0;
      if (name !== "dismissed") become("good", "");
    },
    paymentFailed(why) {
      failedPayments += 1;
      refusedAlone = null;
      soldNothing(why);
    },
    refused(device, why) {
      refusedAlone = failedPayments === 0 || refusedAlone === device ? device : null;
      failedPayments += 1;
      if (name !== "good" || !isOneDevicesFault()) soldNothing(why);
    },
    quoted() {
      if (failedQuotes === 0) return;
      failedQuotes = 0;
      standing.answered();
    },
    quoteFailed(why) {
      failedQuotes += 1;
      soldNothing(why);
    },
    dismiss: (why) => become("dismissed", why),
    stop: () => cancel(),
  };
  return standing;
}
