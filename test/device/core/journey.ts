/**
 * A device that moves between sellers of one unit, with an honest gateway, and faults between the two.
 *
 * Promise: nothing here is generous. What is used is physics (level times time, where the device really is); messages are
 * lost, doubled and late in any order; after a power cut only what was stored is known. After every step what was used at
 * each seller is held against what that one granted.
 */
import type { Checkpoint, Event, Grant, Offer, Payment } from "#core/events";
import { bootMachine, creditLeft, finalCheckpoint, type Settings, type State } from "#core/machine";
import { channelTagOf } from "#core/rungs";
import { unitsForQuantum } from "#core/units";
import { creditElsewhere, payeeAt, stepBySeller } from "#host/credit-by-seller";
import { readCheckpoint } from "#node/journal/checkpoint";
import { ON_DEMAND, TERMS } from "./seller.ts";

export const SELLERS = 6;
const QUANTUM = 100;
const PRICE = 5_000;
/** 20,000 units, which are milliseconds of use. */
export const QUANTUM_UNITS = unitsForQuantum(QUANTUM, PRICE);
const MS_PER_HOUR = 3_600_000;
/** An estimate of when credit ends converges on it from below, in steps of so many milliseconds. */
const SLACK_UNITS = 10;

const payeeOf = (index: number) => `0x${`b${index}`.repeat(20)}`;

export const MOVING: Settings = {
  ...ON_DEMAND,
  ratedMilliwatts: MS_PER_HOUR,
  meter: { rollOverAt: 0, powerMaxMilliwatts: MS_PER_HOUR },
  policy: {
    ...ON_DEMAND.policy,
    payees: Array.from({ length: SELLERS }, (_, index) => payeeOf(index)),
    unit: "ms",
    dailyBudgetAtomic: 1_000_000,
  },
};

interface Shop {
  readonly payee: string;
  readonly channelId: string;
  charged: number;
  granted: number;
  /** Really used in its region. */
  used: number;
}

type Message =
  | { readonly kind: "hello"; readonly payee: string }
  | { readonly kind: "offer"; readonly offer: Offer }
  | { readonly kind: "pay"; readonly payment: Payment }
  | { readonly kind: "grant"; readonly grant: Grant };

function must(holds: boolean, found: () => string): void {
  if (!holds) throw new Error(found());
}

export class Journey {
  readonly shops: Shop[] = Array.from({ length: SELLERS }, (_, index) => ({
    payee: payeeOf(index),
    channelId: `0x${`0${index + 1}`.repeat(32)}`,
    charged: 0,
    granted: 0,
    used: 0,
  }));
  state: State;
  nowMs = 0;
  /** Number of the seller; null where nobody sells. */
  at: number | null = 0;
  /** When its region ends; Infinity: the device does not know. */
  leavesAtMs = Number.POSITIVE_INFINITY;
  /** Of the next messages, what becomes of each: lost, doubled, or so many milliseconds late. */
  fates: ("lost" | "doubled" | number)[] = [];
  /** Different rungs by channel. */
  readonly rungs = new Map<string, Set<number>>();
  private settings: Settings = MOVING;
  private heardAt: string | null = null;
  private revision = 0;
  private used = 0;
  private level = 0;
  private wakeAt = 0;
  private linkUp = true;
  private stored: string | null = null;
  private inFlight: { readonly atMs: number; readonly message: Message }[] = [];

  constructor() {
    this.state = bootMachine(this.settings, null);
    this.boot();
  }

  // ---- what can happen ----

  move(to: number | null, leavesAtMs = Number.POSITIVE_INFINITY): void {
    this.at = to;
    this.leavesAtMs = leavesAtMs;
    this.hear({ type: "tick", at: this.moment(), reading: this.reading() });
  }

  link(up: boolean): void {
    if (this.linkUp === up) return;
    this.linkUp = up;
    this.hear({ type: "link", at: this.moment(), up });
  }

  /** @param movedTo where it is when the power comes back */
  powerCut(movedTo = this.at): void {
    const kept = this.stored === null ? null : readCheckpoint(this.stored);
    this.state = bootMachine(this.settings, kept);
    this.level = 0;
    this.at = movedTo;
    this.leavesAtMs = Number.POSITIVE_INFINITY;
    this.inFlight = this.inFlight.filter(({ message }) => message.kind === "pay" || message.kind === "hello");
    this.boot();
  }

  nameOnly(payees: readonly number[]): void {
    this.settings = { ...MOVING, policy: { ...MOVING.policy, payees: payees.map(payeeOf) } };
  }

  run(durationMs: number): void {
    const endMs = this.nowMs + durationMs;
    for (;;) {
      const next = this.inFlight.reduce((first, { atMs }) => Math.min(first, atMs), this.wakeAt);
      if (next > endMs) break;
      this.passTo(Math.max(this.nowMs, next));
      const due = this.inFlight.findIndex(({ atMs }) => atMs <= this.nowMs);
      if (due >= 0) this.arrive(this.inFlight.splice(due, 1)[0]!.message);
      else this.hear({ type: "tick", at: this.moment(), reading: this.reading() });
    }
    this.passTo(endMs);
  }

  /** Units that the device believes it has with each seller. */
  credits(): number[] {
    const elsewhere = creditElsewhere(this.state.account);
    return this.shops.map(({ payee }) => {
      if (this.state.account?.payee === payee) return creditLeft(this.state);
      return elsewhere.find((one) => one.payee === payee)?.units ?? 0;
    });
  }

  // ---- device ----

  private boot(): void {
    this.hear({ type: "power-up", at: this.moment(), reading: this.reading() });
    this.hear({ type: "plan", at: this.moment(), plan: [{ minuteOfDay: 0, levelPercent: 100 }] });
    this.hear({ type: "link", at: this.moment(), up: this.linkUp });
  }

  private place() {
    const payee = this.at === null ? null : payeeOf(this.at);
    return { payee, unitsAhead: this.leavesAtMs - this.nowMs };
  }

  private moment() {
    return { nowMs: this.nowMs, wallSeconds: 20_000 * 86_400 + this.nowMs / 1000, random: 0.5 };
  }

  private reading() {
    return { raw: Math.floor(this.used), powerMilliwatts: (MS_PER_HOUR * this.level) / 100 };
  }

  private hear(event: Event): void {
    const step = stepBySeller(this.settings, this.place(), this.state, event);
    this.state = step.state;
    for (const effect of step.effects) {
      if (effect.type === "lamp") this.level = effect.levelPercent;
      if (effect.type === "wake") this.wakeAt = effect.atMs;
      if (effect.type === "persist") this.stored = JSON.stringify(effect.checkpoint);
      if (effect.type === "hello") this.send({ kind: "hello", payee: payeeAt(this.place()) });
      if (effect.type === "pay") this.pay(effect.payment);
    }
    this.check();
  }

  private pay(payment: Payment): void {
    const { terms, channelId, maxClaimable } = payment;
    const here = payeeAt(this.place());
    must(terms.payTo === here, () => `signed for ${terms.payTo} at ${here}`);
    const mark = (JSON.parse(this.stored!) as Checkpoint).channels.find(({ id }) => id === channelId);
    must(mark !== undefined && mark.reserved >= maxClaimable, () => `signed beyond ${mark?.reserved}`);
    const rungs = this.rungs.get(channelId) ?? new Set();
    this.rungs.set(channelId, rungs.add(maxClaimable));
    this.send({ kind: "pay", payment });
  }

  private check(): void {
    for (const { payee, used, granted } of this.shops) {
      must(used <= granted + SLACK_UNITS, () => `used ${used} of ${granted} granted by ${payee}`);
    }
    must(this.level === 0 || creditLeft(this.state) > 0, () => "on without credit here");
    must(this.level === 0 || this.at !== null, () => "on where nobody sells");
    const checkpoint = finalCheckpoint(this.state);
    const text = JSON.stringify(checkpoint);
    must(JSON.stringify(readCheckpoint(text)) === text, () => `stored as another: ${text}`);
    must(checkpoint.channels.length <= SELLERS + 5, () => `${checkpoint.channels.length} channels`);
  }

  // ---- gateway and sellers ----

  private send(message: Message): void {
    const isUp = message.kind === "hello" || message.kind === "pay";
    if (isUp && !this.linkUp) return;
    const fate = this.fates.shift() ?? 20;
    if (fate === "lost") return;
    const late = typeof fate === "number" ? [fate] : [20, 5_000];
    for (const ms of late) this.inFlight.push({ atMs: this.nowMs + ms, message });
  }

  private arrive(message: Message): void {
    switch (message.kind) {
      case "hello":
        this.heardAt = message.payee;
        this.offer();
        break;
      case "pay":
        this.send({ kind: "grant", grant: this.sell(message.payment) });
        break;
      case "offer":
        if (this.linkUp) this.hear({ type: "offer", at: this.moment(), offer: message.offer });
        break;
      case "grant":
        if (this.linkUp) this.hear({ type: "grant", at: this.moment(), grant: message.grant });
        break;
    }
  }

  private offer(): void {
    const shop = this.shops.find(({ payee }) => payee === this.heardAt);
    if (shop === undefined) return;
    this.revision += 1;
    const { channelId, payee, charged, granted } = shop;
    const terms = { ...TERMS, payTo: payee };
    const priced = {
      quantumAtomic: QUANTUM,
      pricePerMillionUnits: PRICE,
      balance: 1_000_000,
      metered: false,
    };
    const offer = { revision: this.revision, channelId, terms, unit: "ms", charged, granted, ...priced };
    this.send({ kind: "offer", offer });
  }

  private sell({ channelId, maxClaimable }: Payment): Grant {
    const shop = this.shops.find((one) => one.channelId === channelId)!;
    const isNext = maxClaimable === shop.charged + QUANTUM;
    if (isNext) {
      shop.charged = maxClaimable;
      shop.granted += QUANTUM_UNITS;
    }
    const { charged, granted } = shop;
    const refusal = maxClaimable <= charged ? null : "counter-mismatch";
    const priced = { pricePerMillionUnits: PRICE, validUntilSeconds: 0 };
    return { refusal, channelTag: channelTagOf(channelId), charged, granted, ...priced };
  }

  private passTo(nowMs: number): void {
    const used = ((nowMs - this.nowMs) * this.level) / 100;
    this.used += used;
    if (used > 0) this.shops[this.at!]!.used += used;
    this.nowMs = nowMs;
  }
}
