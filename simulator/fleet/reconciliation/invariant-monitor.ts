/**
 * The observer of one simulated light, which believes nothing the device says of itself.
 *
 * Promise: invariants E1, E2 and M1 are held against the lamp's own energy and the payments on their way
 * to the link, at every step; a breach is a violation with both values. Purchases, repetitions and time
 * without light are counted here, and nowhere else.
 */
import { performance } from "node:perf_hooks";
import type { Effect, Event, Payment } from "#core/events";
import type { State } from "#core/machine";
import { unitsForQuantum } from "#core/units";
import type { Violation } from "./violation.ts";

interface InvariantMonitorParts {
  readonly name: string;
  /** Simulated milliseconds. */
  readonly nowMs: () => number;
  /** What the load really drew since its birth, metered units. */
  readonly deliveredUnits: () => number;
  /** Called at every purchase that begins (true) or ends, with its round trip by `answersMs`. */
  readonly onPurchase: (begins: boolean, roundTripMs: number) => void;
  /** Clock that answers are timed by, milliseconds; real time when absent. */
  readonly answersMs?: () => number;
}

/** Violations kept of one light: the first ones show the cause. */
const VIOLATIONS_MAX = 8;

export class InvariantMonitor {
  readonly violations: Violation[] = [];
  /** Distinct rungs the seller answered for, and the money of their sum, atomic units. */
  made = 0;
  madeAtomic = 0;
  resent = 0;
  refused = 0;
  /** PAY frames sent and GRANT frames received, repetitions included. */
  framesUp = 0;
  framesDown = 0;
  private readonly parts: InvariantMonitorParts;
  private sentAtMs = 0;
  private pending: Payment | null = null;
  private registerSeen = 0;
  private signedMax = 0;
  private answeredMax = 0;
  private readonly signedRungs = new Set<number>();
  private evening = false;
  private starvedMs = 0;
  private longestStarvedMs = 0;
  private starvedSinceMs: number | null = null;

  constructor(parts: InvariantMonitorParts) {
    this.parts = parts;
  }

  /** The highest amount this light has signed, as seen on its way to the link, atomic units. */
  signed(): number {
    return this.signedMax;
  }

  /** Different rungs that were signed and not answered for. */
  get openRungs(): number {
    return this.signedRungs.size - (this.signedRungs.has(this.answeredMax) ? 1 : 0);
  }

  /** What the seller charged of the rung whose answer is still missing: all of it, a part, or nothing. */
  unanswered(charged: number): number {
    return this.pending === null ? 0 : Math.max(0, charged - baseOf(this.pending));
  }

  /** Time without light counts from here on: before, a light cannot have bought. */
  beginEvening(): void {
    this.evening = true;
    if (this.starvedSinceMs !== null) this.starvedSinceMs = this.parts.nowMs();
  }

  /** Simulated time in which the lamp should have shone and did not: in all, and the longest in one piece. */
  starvation(): { readonly totalMs: number; readonly longestMs: number } {
    const presentMs =
      this.evening && this.starvedSinceMs !== null ? this.parts.nowMs() - this.starvedSinceMs : 0;
    return {
      totalMs: this.starvedMs + presentMs,
      longestMs: Math.max(this.longestStarvedMs, presentMs),
    };
  }

  /** Takes one step of the machine, before its effects are carried out. */
  observe(event: Event, effects: readonly Effect[], state: State): void {
    this.watchEnergy(state);
    if (event.type === "grant") {
      this.framesDown++;
      if (event.grant.refusal !== null) this.refused++;
    }
    this.watchPurchase(effects, state);
    this.watchStarvation(state);
  }

  private watchEnergy(state: State): void {
    if (state.register.total < this.registerSeen) {
      this.violate("E1", `register >= ${this.registerSeen}`, String(state.register.total));
    }
    this.registerSeen = state.register.total;
    const allowed = (state.account?.granted ?? 0) + quantumUnits(state);
    const delivered = this.parts.deliveredUnits();
    if (delivered > allowed) this.violate("E2", `delivered <= ${allowed} mWh`, `${delivered.toFixed(3)} mWh`);
  }

  private watchPurchase(effects: readonly Effect[], state: State): void {
    if (this.pending !== null && state.channel !== null) {
      const { charged } = state.channel;
      if (charged > baseOf(this.pending)) this.endPurchase(this.pending, charged);
    }
    for (const effect of effects) if (effect.type === "pay") this.beginPurchase(effect.payment);
  }

  private beginPurchase(payment: Payment): void {
    const { maxClaimable, again } = payment;
    this.framesUp++;
    if (again) this.resent++;
    if (maxClaimable < this.signedMax && !this.signedRungs.has(maxClaimable)) {
      this.violate("M1", `a rung above ${this.signedMax}, or one signed before`, String(maxClaimable));
    }
    this.signedMax = Math.max(this.signedMax, maxClaimable);
    this.signedRungs.add(maxClaimable);
    if (maxClaimable === this.pending?.maxClaimable || maxClaimable <= this.answeredMax) return;
    this.pending = payment;
    this.sentAtMs = this.answersMs();
    this.parts.onPurchase(true, 0);
  }

  private endPurchase(payment: Payment, charged: number): void {
    this.made++;
    this.madeAtomic += charged - baseOf(payment);
    this.pending = null;
    this.answeredMax = payment.maxClaimable;
    // A rung that was charged can only be a repetition of itself from now on.
    for (const rung of this.signedRungs) if (rung < payment.maxClaimable) this.signedRungs.delete(rung);
    this.parts.onPurchase(false, this.answersMs() - this.sentAtMs);
  }

  private watchStarvation(state: State): void {
    const starved = state.wantedPercent > 0 && state.levelPercent === 0;
    if (starved) this.starvedSinceMs ??= this.parts.nowMs();
    else if (this.starvedSinceMs !== null) {
      const { totalMs, longestMs } = this.starvation();
      this.starvedMs = totalMs;
      this.longestStarvedMs = longestMs;
      this.starvedSinceMs = null;
    }
  }

  private answersMs(): number {
    return this.parts.answersMs?.() ?? performance.now();
  }

  private violate(invariant: Violation["invariant"], expected: string, actual: string): void {
    if (this.violations.length >= VIOLATIONS_MAX) return;
    this.violations.push({ invariant, light: this.parts.name, expected, actual });
  }
}

/** What one more purchase would bring, mWh; 0 while there is no channel to buy on. */
function quantumUnits({ channel }: State): number {
  if (channel === null) return 0;
  return unitsForQuantum(channel.quantumAtomic, Math.max(1, channel.pricePerMillionUnits));
}

/** What was charged before a payment: a seller charges any part of what is signed above it. */
function baseOf({ maxClaimable, amountAtomic }: Payment): number {
  return maxClaimable - amountAtomic;
}
