/**
 * All that surrounds a device: lamp, meter, journal, signer, link, a gateway with its seller, and faults
 * in each. It drives the machine by its own wakes and checks the invariants after every step.
 *
 * Promise: nothing here is generous. Energy is physics (true power times true time), whatever the meter
 * says; messages can be lost, doubled, delayed and replayed from any earlier life.
 */
import type { Checkpoint, Effect, Event, Grant, Offer, Payment } from "#core/events";
import { bootMachine, creditLeft, finalCheckpoint, type Settings, type State } from "#core/machine";
import { policyFor, stepTokens } from "#host/several-tokens";
import { tokenName } from "#protocol/payment-token";
import { QUANTUM_UNITS_MAX, SETTINGS, Seller } from "./seller.ts";

const MS_PER_HOUR = 3_600_000;
export const DAY_SECONDS = 86_400;

export type Down =
  | { readonly type: "grant"; readonly grant: Grant }
  | { readonly type: "offer"; readonly offer: Offer };

export type Traced =
  | { readonly boot: Checkpoint | null }
  | { readonly event: Event; readonly effects: readonly Effect[] };

/** A broken invariant, by its letter in device/INVARIANTS.md. */
function must(letter: string, holds: boolean, found: () => string): void {
  if (!holds) throw new Error(`${letter}: ${found()}`);
}

export class Surroundings {
  readonly seller = new Seller();
  readonly settings: Settings;
  state: State;
  nowMs = 0;
  /** Unix seconds minus monotonic ones; null while the wall clock is not trusted. */
  wallOffset: number | null = 20_000 * DAY_SECONDS;
  linkUp = false;
  journalFails = false;
  signerFails = false;
  lose = 0;
  /** Every message arrives twice, the second time late. */
  double = false;
  delayMs = 50;
  meterMode: "true" | "silent" | "stuck" | "spike" = "true";
  /** True share of the rated power that the lamp draws. */
  loadShare = 1;
  /** Faulty gateways break energy promises; money promises hold against them too. */
  honest = true;
  readonly sent: Down[] = [];
  readonly pays: Payment[] = [];
  /** All that was put to the machine, and what it said. */
  readonly trace: Traced[] = [];
  wakes = 0;
  consumedUnits = 0;
  private meterBase = 0;
  private stuckAt = 0;
  private levelPercent = 0;
  private wakeAt = 0;
  private stored: string | null = null;
  private inFlight: { readonly atMs: number; readonly message: Down | { type: "pay"; payment: Payment } }[] =
    [];
  private signed = new Map<string, { max: number; all: Set<number> }>();
  /** By token and day. */
  private spent = new Map<string, number>();
  private seed = 1;

  constructor(settings: Settings = SETTINGS, checkpoint: Checkpoint | null = null) {
    this.settings = settings;
    if (settings.policies !== undefined) this.seller.sellInTwoTokens();
    this.state = bootMachine(settings, checkpoint);
    this.trace.push({ boot: checkpoint });
    this.powerUp();
  }

  // ---- what can happen ----

  powerCut(): void {
    this.inFlight = this.inFlight.filter((one) => one.message.type === "pay");
    const checkpoint = this.stored === null ? null : (JSON.parse(this.stored) as Checkpoint);
    this.state = bootMachine(this.settings, checkpoint);
    this.trace.push({ boot: checkpoint });
    this.levelPercent = 0;
    this.linkUp = false;
    this.journalFails = false;
    this.signerFails = false;
    if (this.meterMode === "stuck") this.meterMode = "true";
    this.powerUp();
  }

  setLink(up: boolean): void {
    if (this.linkUp === up) return;
    this.linkUp = up;
    this.hear({ type: "link", at: this.at(), up });
  }

  setMeter(mode: Surroundings["meterMode"]): void {
    this.stuckAt = this.trueRaw();
    this.meterMode = mode;
  }

  /**
   * The meter begins at zero again, before the device's eyes: E2 is not promised for a counter that
   * forgets while the device is without power or cannot store what it sees.
   */
  resetMeter(): void {
    if (this.meterMode !== "true" || this.journalFails) return;
    this.meterBase = this.consumedUnits;
    this.hear({ type: "tick", at: this.at(), reading: this.reading() });
  }

  repairJournal(): void {
    this.journalFails = false;
    this.hear({ type: "host-recovered", at: this.at(), refusal: "journal-failed" });
  }

  repairSigner(): void {
    this.signerFails = false;
    this.hear({ type: "host-recovered", at: this.at(), refusal: "signer-failed" });
  }

  announce(offer: Offer = this.seller.offer()): void {
    this.send({ type: "offer", offer });
  }

  /** Hands the device a message at once, as a replay or a forgery with a right tag would come. */
  deliver(message: Down): void {
    if (message.type === "grant") this.hear({ type: "grant", at: this.at(), grant: message.grant });
    else this.hear({ type: "offer", at: this.at(), offer: message.offer });
  }

  /** Lets time pass, with every wake and message in its turn. */
  run(durationMs: number): void {
    const endMs = this.nowMs + durationMs;
    for (;;) {
      const next = this.inFlight.reduce((first, one) => Math.min(first, one.atMs), this.wakeAt);
      if (next > endMs) break;
      this.passTo(Math.max(this.nowMs, next));
      const due = this.inFlight.findIndex((one) => one.atMs <= this.nowMs);
      if (due >= 0) this.arrive(this.inFlight.splice(due, 1)[0]!.message);
      else {
        this.wakes++;
        this.hear({ type: "tick", at: this.at(), reading: this.reading() });
      }
    }
    this.passTo(endMs);
  }

  get level(): number {
    return this.levelPercent;
  }

  /** What a replay must not change: every counter, price and mark. */
  counters(): string {
    const { channel, former, account, budget, register } = this.state;
    return JSON.stringify([channel, former, account, budget, register]);
  }

  // ---- the device's host ----

  private powerUp(): void {
    this.hear({ type: "power-up", at: this.at(), reading: this.reading() });
    this.hear({ type: "plan", at: this.at(), plan: [{ minuteOfDay: 0, levelPercent: 100 }] });
  }

  private at() {
    this.seed = (this.seed * 48_271) % 2_147_483_647;
    const wallSeconds = this.wallOffset === null ? null : this.wallOffset + this.nowMs / 1000;
    return { nowMs: this.nowMs, wallSeconds, random: this.seed / 2_147_483_647 };
  }

  private hear(event: Event): void {
    const events: Event[] = [event];
    for (let first = events.shift(); first !== undefined; first = events.shift()) {
      const before = this.state;
      const step = stepTokens(before, first);
      this.state = step.state;
      this.trace.push({ event: first, effects: step.effects });
      for (const effect of step.effects) {
        const failed = this.carryOut(effect);
        if (failed === null) continue;
        events.push({ type: "host-failed", at: first.at, refusal: failed });
        if (failed === "journal-failed") break;
      }
      this.check(before, step.effects);
    }
  }

  private carryOut(effect: Effect): "journal-failed" | "signer-failed" | null {
    if (effect.type === "lamp") this.levelPercent = effect.levelPercent;
    if (effect.type === "wake") this.wakeAt = effect.atMs;
    if (effect.type === "hello" && this.linkUp) this.announce();
    if (effect.type === "persist") {
      if (this.journalFails) return "journal-failed";
      this.stored = JSON.stringify(effect.checkpoint);
    }
    if (effect.type === "pay") {
      if (this.signerFails) return "signer-failed";
      this.pay(effect.payment);
    }
    return null;
  }

  private pay(payment: Payment): void {
    const { channelId, maxClaimable, amountAtomic } = payment;
    const known = this.signed.get(channelId) ?? { max: maxClaimable - amountAtomic, all: new Set() };
    const { terms } = payment;
    const policy = policyFor(this.settings, terms);
    const channel = this.state.channel!;
    // A lying gateway may lead a device that forgot below what it signed: that adds nothing to what can be claimed.
    const isLed = !this.honest && this.settings.signsOnDemand && amountAtomic === channel.quantumAtomic;
    must("M1", maxClaimable > known.max || known.all.has(maxClaimable) || isLed, () => {
      return `signed ${maxClaimable} below ${known.max} and not before`;
    });
    must("M1", maxClaimable <= channel.balance, () => `signed ${maxClaimable}, deposit ${channel.balance}`);
    const day = this.state.budget.day;
    const purse = `${tokenName(terms)} ${day}`;
    // In its first life on a channel a device counts from where its gateway says an earlier one has signed to.
    const signedBefore = Math.max(known.max, channel.remembered ? 0 : maxClaimable - amountAtomic);
    const spent = (this.spent.get(purse) ?? 0) + Math.max(0, maxClaimable - signedBefore);
    must("M1", spent <= policy.dailyBudgetAtomic, () => `signed ${spent} of ${purse}`);
    must("P1", policy.schemes.includes(terms.scheme) && terms.network === policy.network, () => "network");
    must("P1", terms.asset === policy.asset && policy.payees.includes(terms.payTo), () => "token or payee");
    must("P1", policy.contracts.includes(terms.contract), () => "contract");
    must("P1", amountAtomic >= 1 && amountAtomic <= policy.quantumMaxAtomic, () => `quantum ${amountAtomic}`);
    must("S1", this.stored !== null, () => "paid before anything was stored");
    const mark = (JSON.parse(this.stored!) as Checkpoint).channels.find((one) => one.id === channelId);
    must("S1", mark !== undefined && mark.reserved >= maxClaimable, () => `signed beyond ${mark?.reserved}`);

    known.max = Math.max(known.max, maxClaimable);
    known.all.add(maxClaimable);
    this.signed.set(channelId, known);
    this.spent.set(purse, spent);
    this.pays.push(payment);
    if (this.linkUp) this.send({ type: "pay", payment });
  }

  private check(before: State, effects: readonly Effect[]): void {
    const { register, budget } = this.state;
    must(
      "E1",
      register.total >= before.register.total,
      () => `${before.register.total} to ${register.total}`,
    );
    must("M1", budget.day >= before.budget.day, () => `day ${before.budget.day} to ${budget.day}`);
    const wakes = effects.filter((effect) => effect.type === "wake");
    must("wake", wakes.length === 1 && this.wakeAt > this.nowMs, () => `${this.wakeAt} at ${this.nowMs}`);
    const checkpoint = finalCheckpoint(this.state);
    const again = JSON.stringify(finalCheckpoint(bootMachine(this.settings, checkpoint)));
    must("S1", again === JSON.stringify(checkpoint), () => `${JSON.stringify(checkpoint)} to ${again}`);
    const lit = this.levelPercent > 0 && this.settings.policy.unpaid.kind === "off";
    must("E2", !lit || creditLeft(this.state) > 0, () => "lit without credit");
    this.checkEnergy();
  }

  private checkEnergy(): void {
    if (!this.honest || this.settings.policy.unpaid.kind !== "off") return;
    const allowed = this.seller.grantedUnits() + QUANTUM_UNITS_MAX;
    must("E2", this.consumedUnits <= allowed, () => `consumed ${this.consumedUnits} of ${allowed}`);
  }

  // ---- the air, the seller, physics ----

  private send(message: Down | { type: "pay"; payment: Payment }): void {
    if (message.type !== "pay") this.sent.push(message);
    if (this.lose > 0) {
      this.lose--;
      return;
    }
    this.inFlight.push({ atMs: this.nowMs + this.delayMs, message });
    if (this.double) this.inFlight.push({ atMs: this.nowMs + 3 * this.delayMs, message });
  }

  private arrive(message: Down | { type: "pay"; payment: Payment }): void {
    if (message.type !== "pay") {
      if (this.linkUp) this.deliver(message);
      return;
    }
    this.send({ type: "grant", grant: this.seller.answer(message.payment) });
  }

  private passTo(nowMs: number): void {
    const power = (this.settings.ratedMilliwatts * this.levelPercent * this.loadShare) / 100;
    this.consumedUnits += (power * (nowMs - this.nowMs)) / MS_PER_HOUR;
    this.nowMs = nowMs;
    this.checkEnergy();
  }

  private trueRaw(): number {
    return Math.floor(this.consumedUnits - this.meterBase);
  }

  private reading() {
    if (this.meterMode === "silent") return null;
    const powerMilliwatts = Math.round(
      (this.settings.ratedMilliwatts * this.levelPercent * this.loadShare) / 100,
    );
    if (this.meterMode === "spike") return { raw: this.trueRaw() + 900_000_000, powerMilliwatts };
    if (this.meterMode === "stuck") return { raw: this.stuckAt, powerMilliwatts: 0 };
    return { raw: this.trueRaw(), powerMilliwatts };
  }
}
