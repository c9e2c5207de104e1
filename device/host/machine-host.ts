/**
 * Joins the pure machine of device/core to a platform's ports: the one host of the Pi and of the boards, in
 * the language that the boards run.
 *
 * Promise: events are stepped one at a time and their effects carried out in order, store before send: a
 * checkpoint that was not stored lets no payment out behind it. When every port answers at once, all of
 * it happens inside the call that brought the event; no port is waited for without a limit.
 */
import type { Checkpoint, Effect, Event, Moment, Payment, Reading } from "#core/events";
import { shownLevel } from "#core/lamp";
import { bootMachine, finalCheckpoint, reportOf, type State } from "#core/machine";
import type { SigningRequest } from "#core/ports";
import { nextAttemptMs, type Retry } from "#core/rungs";
import { isCounter } from "#core/units";
import { answerWithin } from "./answer.ts";
import { EventQueue } from "./event-queue.ts";
import type { Opened } from "./inbox.ts";
import type { HostCounters, MachineParts } from "./machine-parts.ts";
import { Outbox } from "./outbox.ts";
import { payFrame, RungSigner } from "./rung-signer.ts";

/** Longest wait for one answer of a port, milliseconds. */
export const PORT_ANSWER_MS = 5000;

/** Trying a failed journal or signer again. */
const PORT_RETRY: Retry = { firstMs: 1000, maxMs: 60_000 };

const SECONDS_PER_DAY = 86_400;

const NO_EFFECTS: readonly Effect[] = [];

export class MachineHost {
  readonly counters: HostCounters = {
    published: 0,
    resent: 0,
    heldBack: 0,
    foreign: 0,
    malformed: 0,
    dropped: 0,
    failedStores: 0,
    failedSignatures: 0,
  };
  private readonly parts: MachineParts;
  private readonly outbox: Outbox;
  private readonly rungs: RungSigner;
  private readonly queue = new EventQueue();
  private machine: State;
  /** Effects of the present step still to be carried out. */
  private effects: readonly Effect[] = NO_EFFECTS;
  private effectsDone = 0;
  private running = false;
  /** An effect waits for its port; nothing is stepped meanwhile. */
  private waiting = false;
  /** Answers of the journal outstanding: the last checkpoint is stored behind them. */
  private storing = 0;
  private reading = false;
  /** The journal lacks a checkpoint the machine relies on: no payment may leave. */
  private storeOwed = false;
  private storeAttempts = 0;
  private signAttempts = 0;
  private planDay: number | null = null;
  private cancelWake: (() => void) | null = null;
  private cancelStoring: (() => void) | null = null;
  private cancelSigning: (() => void) | null = null;
  private stopped = false;
  private whenIdle: (() => void) | null = null;

  /** Throws what `journal.load` throws, with the lamp dark. */
  constructor(parts: MachineParts) {
    // The relay's state at the power cut is unknown, and the machine begins at level 0.
    parts.lamp.set(0);
    this.parts = parts;
    this.outbox = new Outbox(parts);
    this.rungs = new RungSigner(parts.signer, parts.chainSeconds);
    this.machine = bootMachine(parts.settings, parts.journal.load());
  }

  state(): State {
    return this.machine;
  }

  start(): void {
    this.readMeter((reading) => {
      this.hear({ type: "power-up", at: this.moment(), reading });
      this.parts.lamp.onTrouble?.((trouble, refusal) => {
        this.hear({
          type: "load",
          at: this.moment(),
          refusal: trouble === null ? trouble : refusal || "lamp-failed",
        });
      });
      this.hearPlan();
      this.parts.link.onMessage((leaf, payload) => this.takeMessage(leaf, payload));
      this.parts.link.onChange((up) => this.hear({ type: "link", at: this.moment(), up }));
    });
  }

  // ---- events in ----

  hear(event: Event): void {
    if (this.stopped) return;
    if (!this.queue.push(event)) this.counters.dropped++;
    this.run();
  }

  moment(): Moment {
    const { clock, random } = this.parts;
    return { nowMs: clock.nowMs(), wallSeconds: clock.wallSeconds(), random: random() };
  }

  /** Looks at the meter at once, and steps. */
  wake(): void {
    this.cancelWake = null;
    // The tick that an outstanding reading brings sets the next wake.
    if (this.reading) return;
    this.readMeter((reading) => {
      this.hearPlan();
      this.hear({ type: "tick", at: this.moment(), reading });
      if (this.machine.linkUp) this.outbox.repeatTrouble(reportOf(this.machine));
    });
  }

  private readMeter(take: (reading: Reading | null) => void): void {
    this.reading = true;
    this.ask<Reading | null>(
      null,
      (done) => this.parts.meter.read(done),
      (reading) => {
        this.reading = false;
        const sound = soundReading(reading);
        this.outbox.look(sound);
        if (!this.stopped) take(sound);
      },
    );
  }

  private hearPlan(): void {
    const at = this.moment();
    if (at.wallSeconds === null) return;
    const day = Math.floor(at.wallSeconds / SECONDS_PER_DAY);
    if (day === this.planDay) return;
    this.planDay = day;
    this.hear({ type: "plan", at, plan: this.parts.almanac.plan(at.wallSeconds) });
  }

  private takeMessage(leaf: string, payload: Uint8Array): void {
    this.parts.open(leaf, payload, (opened) => this.takeOpened(opened));
  }

  private takeOpened(opened: Opened): void {
    if (opened.kind === "foreign") this.counters.foreign++;
    else if (opened.kind === "malformed") this.counters.malformed++;
    else if (opened.kind === "grant") this.hear({ type: "grant", at: this.moment(), grant: opened.grant });
    else if (opened.kind === "offer") this.hear({ type: "offer", at: this.moment(), offer: opened.offer });
    else if (opened.kind === "offer-refused") {
      this.hear({ type: "offer-refused", at: this.moment(), refusal: opened.refusal });
    }
  }

  // ---- the loop ----

  /** Steps and carries out until nothing is left or a port has yet to answer. */
  private run(): void {
    if (this.running) return;
    this.running = true;
    try {
      while (!this.waiting) {
        if (this.effectsDone < this.effects.length) {
          this.carryOut(this.effects[this.effectsDone++]!);
          continue;
        }
        // What is done is let go: a device at rest holds no effect and no payment.
        this.dropEffects();
        const event = this.queue.shift();
        if (event === null) break;
        const step = this.parts.step(this.machine, event);
        this.machine = step.state;
        this.effects = step.effects;
        this.effectsDone = 0;
        this.parts.observe?.(event, step.effects, step.state);
      }
    } finally {
      this.running = false;
    }
  }

  private dropEffects(): void {
    this.effects = NO_EFFECTS;
    this.effectsDone = 0;
  }

  /** Asks a port; the answer is taken in this call or a later one, at most PORT_ANSWER_MS after. */
  private ask<Answer>(
    late: Answer,
    question: (done: (answer: Answer) => void) => void,
    take: (answer: Answer) => void,
  ): void {
    answerWithin(this.parts.clock, PORT_ANSWER_MS, late, question, take);
  }

  // ---- effects out ----

  private carryOut(effect: Effect): void {
    switch (effect.type) {
      case "lamp":
        this.parts.lamp.set(effect.levelPercent);
        break;
      case "wake":
        this.cancelWake?.();
        this.cancelWake = this.parts.clock.at(effect.atMs, () => this.wake());
        break;
      case "persist":
        this.persist(effect.checkpoint);
        break;
      case "pay":
        this.pay(effect.payment);
        break;
      case "hello":
        this.outbox.hello(this.machine.register.total);
        break;
      case "report":
        this.outbox.state("online", effect.report);
        break;
      case "reading":
        this.outbox.reading(effect.register, effect.powerMilliwatts);
        break;
    }
  }

  private persist(checkpoint: Checkpoint): void {
    this.waiting = true;
    this.store(checkpoint, (error) => {
      this.waiting = false;
      if (error !== null) this.dropEffects();
      this.run();
    });
  }

  private store(checkpoint: Checkpoint, done: (error: string | null) => void): void {
    this.storing++;
    this.ask<string | null>(
      `no answer within ${PORT_ANSWER_MS} ms`,
      (answer) => this.parts.journal.store(checkpoint, answer),
      (error) => {
        this.storing--;
        this.storeOwed = error !== null;
        if (error === null) this.storeAttempts = 0;
        else this.storeFailed();
        done(error);
        if (this.storing === 0) this.whenIdle?.();
      },
    );
  }

  private storeFailed(): void {
    this.counters.failedStores++;
    if (this.stopped || this.cancelStoring !== null) return;
    this.hear({ type: "host-failed", at: this.moment(), refusal: "journal-failed" });
    this.storeAttempts++;
    this.cancelStoring = this.later(this.storeAttempts, () => {
      this.cancelStoring = null;
      // The present checkpoint covers every one that failed before.
      this.store(finalCheckpoint(this.machine), (error) => {
        if (error === null)
          this.hear({ type: "host-recovered", at: this.moment(), refusal: "journal-failed" });
      });
    });
  }

  private pay(payment: Payment): void {
    const request = this.storeOwed ? null : this.rungs.requestFor(payment);
    if (request === null) {
      this.counters.heldBack++;
      return;
    }
    this.waiting = true;
    this.sign(request, (signature) => {
      this.waiting = false;
      if (signature === null) this.counters.heldBack++;
      else if (!this.stopped) this.sendPay(payment, request, signature);
      this.run();
    });
  }

  private sign(request: SigningRequest, done: (signature: Uint8Array | null) => void): void {
    this.ask<Uint8Array | null>(
      null,
      (answer) => this.rungs.sign(request, answer),
      (signature) => {
        if (signature === null) this.signingFailed(request);
        else this.signAttempts = 0;
        done(signature);
      },
    );
  }

  /** Signs the same rung until it works, for as long as it is allowed; nothing else may be signed before it. */
  private signingFailed(request: SigningRequest): void {
    this.counters.failedSignatures++;
    if (this.stopped || this.cancelSigning !== null) return;
    this.hear({ type: "host-failed", at: this.moment(), refusal: "signer-failed" });
    this.signAttempts++;
    this.cancelSigning = this.later(this.signAttempts, () => {
      this.cancelSigning = null;
      const recovered = () =>
        this.hear({ type: "host-recovered", at: this.moment(), refusal: "signer-failed" });
      // What was allowed then may be forbidden by now; the next rung allowed shows whether the signer works.
      if (!this.isWanted(request)) return recovered();
      this.sign(request, (signature) => {
        if (signature !== null) recovered();
      });
    });
  }

  private isWanted({ channelId, maxClaimable }: SigningRequest): boolean {
    const { halted, channel, pending } = this.machine;
    // A rung is pending on a channel.
    return !halted && pending !== null && channel!.id === channelId && pending.maxClaimable === maxClaimable;
  }

  private later(attempts: number, act: () => void): () => void {
    const { clock, random } = this.parts;
    return clock.at(nextAttemptMs(PORT_RETRY, attempts, clock.nowMs(), random()), act);
  }

  private sendPay(payment: Payment, request: SigningRequest, signature: Uint8Array): void {
    if (payment.again) this.counters.resent++;
    else this.counters.published++;
    this.outbox.pay(payFrame(payment, request, signature));
  }

  // ---- the end ----

  /**
   * Lamp to its unpaid level, last checkpoint stored, farewell state published; meter and signer are not waited
   * for. To be called once; answers with why the checkpoint could not be stored.
   */
  stop(done: (error: string | null) => void): void {
    this.stopped = true;
    this.cancelWake?.();
    this.cancelStoring?.();
    this.cancelSigning?.();
    this.queue.clear();
    this.dropEffects();
    const { wantedPercent, settings } = this.machine;
    const levelPercent = shownLevel(wantedPercent, false, settings.policy.unpaid);
    this.parts.lamp.set(levelPercent);

    const end = () => {
      this.whenIdle = null;
      this.store(finalCheckpoint(this.machine), (error) => {
        // A link closed in good order delivers no last will, so the farewell is said here.
        this.outbox.state("lost", { ...reportOf(this.machine), levelPercent });
        done(error);
      });
    };
    if (this.storing > 0) this.whenIdle = end;
    else end();
  }
}

/** A driver's reading within the wire's bounds; null when its counter is none. */
function soundReading(reading: Reading | null): Reading | null {
  if (reading === null || !isCounter(reading.raw)) return null;
  const powerMilliwatts = Math.max(0, Math.round(reading.powerMilliwatts));
  return isCounter(powerMilliwatts) ? { ...reading, powerMilliwatts } : null;
}
