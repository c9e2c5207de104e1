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
import { RungBook } from "./rung-book.ts";
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
  resent = 0;
  refused = 0;
  /** PAY frames sent and GRANT frames received, repetitions included. */
  framesUp = 0;
  framesDown = 0;
  private readonly parts: InvariantMonitorParts;
  private registerSeen = 0;
  /** By channel. */
  private readonly books = new Map<string, RungBook>();
  private evening = false;
  private starvedMs = 0;
  private longestStarvedMs = 0;
  private starvedSinceMs: number | null = null;

  constructor(parts: InvariantMonitorParts) {
    this.parts = parts;
  }

  /** Distinct rungs the sellers answered for, and the money of their sum, atomic units. */
  get made(): number {
    return this.total((book) => book.made);
  }

  get madeAtomic(): number {
    return this.total((book) => book.madeAtomic);
  }

  /** What this light has signed on all its channels, as seen on its way to the link, atomic units. */
  signed(): number {
    return this.total((book) => book.signed());
  }

  /** Different rungs that were signed and not answered for. */
  get openRungs(): number {
    return this.total((book) => book.openRungs);
  }

  /** What the seller charged of the rung whose answer is still missing: all of it, a part, or nothing. */
  unanswered(charged: number): number {
    return this.total((book) => book.unanswered(charged));
  }

  /** What it signed on one channel. */
  bookOf(channelId: string): RungBook {
    const book = this.books.get(channelId) ?? new RungBook();
    this.books.set(channelId, book);
    return book;
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

  private watchPurchase(effects: readonly Effect[], { channel }: State): void {
    const sentAtMs = channel === null ? null : this.bookOf(channel.id).charged(channel.charged);
    if (sentAtMs !== null) this.parts.onPurchase(false, this.answersMs() - sentAtMs);
    for (const effect of effects) if (effect.type === "pay") this.beginPurchase(effect.payment);
  }

  private beginPurchase(payment: Payment): void {
    const book = this.bookOf(payment.channelId);
    this.framesUp++;
    if (payment.again) this.resent++;
    if (book.isLower(payment)) {
      this.violate("M1", `a rung above ${book.signed()}, or one signed before`, String(payment.maxClaimable));
    }
    if (book.begin(payment, this.answersMs())) this.parts.onPurchase(true, 0);
  }

  private total(of: (book: RungBook) => number): number {
    let sum = 0;
    for (const book of this.books.values()) sum += of(book);
    return sum;
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
