/**
 * One charge point as meter, load and plan of a machine.
 *
 * Promise: it opens at once and never throws afterwards: a charge point that is missing, refuses or disobeys shows in the
 * load's trouble, with the remedy, and nothing is bought meanwhile. What is paid bounds what can flow (limits/). One that
 * breaks a confirmed limit is `load-disobeys`: stopped, and not served again. What is odd and no trouble is said in one
 * bounded line.
 */
import { creditOf } from "#core/credit";
import { detach } from "#core/detach";
import type { State } from "#core/machine";
import type { Almanac, Clock, TakeTrouble } from "#core/ports";
import type { LoadRefusal } from "#core/refusal";
import { unitsForQuantum } from "#core/units";
import type { PricedPlan } from "#market/priced-plan";
import type { OfferWish } from "#node/host-parts";
import type { Load } from "../lamps/lamp-driver.ts";
import type { MeterDriver } from "../meters/meter-driver.ts";
import { CarVisit } from "./car-visit.ts";
import { lookNow, pricedPlan } from "./charge-plan.ts";
import { Conversation } from "./conversation.ts";
import { wantsMore, wishFault } from "./limits/charge-wish.ts";
import { Limiter, textOf } from "./limits/limiter.ts";
import { isWorthBeginning, quantumFault } from "./limits/smallest-quantum.ts";
import { ChargeMeter } from "./metering/charge-meter.ts";
import type { ChargerStore } from "./metering/kept-charger.ts";
import type { StationCommands } from "./ocpp/ports.ts";
import { ODDITY_CHARACTERS, Oddities } from "./oddities.ts";
import type { ChargerSettings } from "./settings.ts";

/** Answers to one message are sent before the commands that follow from it. */
const SOON_MS = 20;
const START_RETRY_MS = 30_000;
/** Between two requests for terms by which the charge point can be served: prices change by the hour. */
const WISH_RETRY_MS = 300_000;

export interface ChargerParts {
  readonly settings: ChargerSettings;
  readonly clock: Clock;
  readonly store: ChargerStore;
}

export class Charger {
  readonly meter: MeterDriver;
  readonly load: Load;
  readonly almanac: Almanac;
  /** The same, where the configuration has prices followed. */
  readonly priced: PricedPlan | null;
  /** While a purchase is too small, no other one is made, so nothing would tell that prices fell. */
  readonly offerWish: OfferWish;
  readonly conversation: Conversation;
  readonly oddities: Oddities;
  readonly #settings: ChargerSettings;
  readonly #clock: Clock;
  readonly #store: ChargerStore;
  readonly #meter: ChargeMeter;
  readonly #limiter: Limiter;
  readonly #visit: CarVisit;
  #commands: StationCommands | null = null;
  #levelPercent = 0;
  /** What may be consumed in all, in the meter's own counter. */
  #paidUntil = 0;
  #quantumUnits = Number.POSITIVE_INFINITY;
  #price = 0;
  #storeTrouble: string | null = null;
  #openTrouble: string | null = null;
  #told: string | null = null;
  #startAtMs = 0;
  #wishAtMs = 0;
  #wanted = false;
  #closed = false;
  #cancelLook: (() => void) | null = null;
  #lookAtMs = Number.POSITIVE_INFINITY;
  #takeTrouble: TakeTrouble = () => {};
  #takePlan: () => void = () => {};
  #takeWish: () => void = () => {};
  #closeServer: () => Promise<void> = async () => {};

  constructor({ settings, clock, store }: ChargerParts) {
    this.#settings = settings;
    this.#clock = clock;
    this.#store = store;
    const kept = store.load();
    const { times, range } = settings;
    this.oddities = new Oddities(clock);
    this.#meter = new ChargeMeter(kept, times, clock.nowMs());
    this.#visit = new CarVisit(settings.wish, kept.register.total);
    this.#limiter = new Limiter({
      clock,
      meter: this.#meter,
      range,
      times,
      stopAfterMs: settings.stop_after_seconds * 1000,
      onOddity: this.oddities.note,
      onAnswer: () => this.#look(),
    });
    this.conversation = new Conversation({
      settings,
      clock,
      meter: this.#meter,
      visit: this.#visit,
      oddities: this.oddities,
      lastTransaction: kept.lastTransaction,
      paidUntil: () => (this.#serves() ? this.#paidUntil : null),
      quantumUnits: () => this.#quantumUnits,
      price: () => this.#price,
      onClockChange: () => this.#limiter.clockChanged(),
      onChange: () => this.#changed(),
      onCar: () => this.#limiter.forgive(),
      onKeep: () => this.#save(),
    });
    this.meter = this.#asMeter();
    this.load = this.#asLoad();
    this.priced = settings.follow_prices
      ? pricedPlan(this.#visit, range, () => (this.#wants() ? this.#delivered() : null))
      : null;
    if (this.priced !== null) this.#takePlan = () => lookNow(this.priced!, clock);
    this.almanac = this.priced ?? {
      plan: () => [{ minuteOfDay: 0, levelPercent: this.#wants() ? 100 : 0 }],
      onChange: (take) => {
        this.#takePlan = take;
      },
    };
    this.offerWish = {
      onWish: (take) => {
        this.#takeWish = take;
      },
    };
    this.#tellTrouble();
  }

  /** The machine after a step: what is paid bounds what may flow. */
  observe({ account, channel, register }: State): void {
    if (account !== null) this.#paidUntil = register.raw + creditOf(account, register.total);
    if (channel !== null) {
      // What is offered is what the next purchase is: while that is too small, none is made.
      const quantumAtomic = Math.max(channel.quantumAtomic, channel.quantumOfferedAtomic);
      this.#quantumUnits = unitsForQuantum(quantumAtomic, channel.pricePerMillionUnits);
      this.#price = channel.pricePerMillionUnits;
    }
    this.#soon();
  }

  /** How the server that belongs to it is closed; and why it could not be opened, in one line. */
  opened(close: () => Promise<void>): void {
    this.#closeServer = close;
  }
  openFailed(found: string): void {
    this.#openTrouble = found;
    this.#tellTrouble();
  }

  /** A charge point connected, or is gone with null. */
  station(commands: StationCommands | null): void {
    this.#commands = commands;
    this.#startAtMs = 0;
    this.#tellIdle();
    this.conversation.attach(commands);
    const begin = async () => {
      await this.#limiter.attach(commands);
      const refused = await commands?.configure(this.#settings.report_seconds);
      for (const one of refused ?? []) this.oddities.note(`refused ${one}`);
    };
    detach(begin(), (error) => {
      // Of a connection that is over, its end is what is to be known.
      if (this.#commands === commands) this.oddities.note(`configuration: ${textOf(error)}`);
    });
    this.#look();
  }

  /** What is odd and no trouble, a wish that cannot be met first; null when nothing is. */
  remark(): string | null {
    return this.#wishFault() ?? this.conversation.clockFault() ?? this.oddities.latest();
  }

  /** Delivered above confirmed limits, milliwatt-hours. */
  excessMilliwattHours(): number {
    return this.#meter.obedience().excessMilliwattHours;
  }

  /** What must last is stored. */
  isStored(): boolean {
    return this.#storeTrouble === null;
  }

  // ---- ports ----

  #asMeter(): MeterDriver {
    const { identity, connector } = this.#settings;
    return {
      name: "ocpp",
      location: `connector ${connector} of ${identity}`,
      rollOverAt: 0,
      read: (done) => done(this.#meter.reading(this.#clock.nowMs())),
      quality: () => ({ kind: "good" }),
      notes: () => this.#notes(),
      close: async () => {},
    };
  }

  #asLoad(): Load {
    return {
      name: `charge point ${this.#settings.identity}`,
      afterDeath:
        "ends its limit when what is paid could be used up, and goes to its default limit, 0 or its minimum",
      set: (levelPercent) => {
        this.#levelPercent = levelPercent;
        this.#soon();
      },
      onTrouble: (take) => {
        this.#takeTrouble = take;
        if (this.#told !== null) take(this.#told, this.#refusal());
      },
      trouble: () => this.#told,
      close: async () => {
        await this.#limiter.release(this.#visit.transaction()?.id ?? null);
        this.#closed = true;
        this.#cancelLook?.();
        this.#save();
        await this.#closeServer();
      },
    };
  }

  // ---- decisions ----

  #changed(): void {
    this.#tellIdle();
    if (this.#wants() !== this.#wanted) {
      this.#wanted = !this.#wanted;
      this.#takePlan();
    }
    this.#tellTrouble();
    this.#soon();
  }

  #tellIdle(): void {
    const isIdle = this.#commands !== null && this.#visit.transaction() === null;
    this.#meter.setIdle(this.#clock.nowMs(), isIdle);
  }

  #soon(): void {
    this.#lookAt(this.#clock.nowMs() + SOON_MS);
  }

  #lookAt(atMs: number): void {
    if (this.#closed || atMs >= this.#lookAtMs) return;
    this.#cancelLook?.();
    this.#lookAtMs = atMs;
    this.#cancelLook = this.#clock.at(atMs, () => {
      this.#lookAtMs = Number.POSITIVE_INFINITY;
      this.#look();
    });
  }

  #look(): void {
    if (this.#closed) return;
    if (this.#storeTrouble !== null) this.#save();
    this.#tellTrouble();
    const nowMs = this.#clock.nowMs();
    const { reportMs } = this.#settings.times;
    const transaction = this.#visit.transaction();
    const againMs = this.#limiter.aim(
      transaction === null
        ? null
        : {
            transactionId: transaction.id,
            paidMilliwattHours: this.#paidUntil - this.#meter.flow(nowMs).most,
            levelPercent: this.#serves() ? this.#levelPercent : 0,
            wanted: this.#serves() && this.#wants(),
            stop: this.#meter.obedience().disobeys || this.#limiter.fault() !== null,
          },
    );
    if (this.#quantumFault() !== null && nowMs >= this.#wishAtMs) {
      this.#wishAtMs = nowMs + WISH_RETRY_MS;
      this.#takeWish();
    }
    if (transaction === null) this.#mayStart(nowMs);
    else this.#askWhenSilent(nowMs, reportMs);
    // A clock that rounds may wake it a moment early.
    this.#lookAt(Math.max(nowMs + 1, Math.min(againMs, nowMs + reportMs)));
  }

  #serves(): boolean {
    return this.#trouble() === null;
  }

  #wants(): boolean {
    const { disobeys } = this.#meter.obedience();
    return !disobeys && this.#visit.isPlugged() && wantsMore(this.#visit.wishNow(), this.#delivered());
  }

  #mayStart(nowMs: number): void {
    const commands = this.#commands;
    if (commands === null || this.#settings.start !== "plug" || nowMs < this.#startAtMs) return;
    const unmetered = this.#meter.reportedAtMs() === null;
    // What may have flowed since the latest report is known by the transaction's first one; until then nothing does.
    const left = this.#paidUntil - this.#total();
    const paid = unmetered || isWorthBeginning(left, this.#settings.times);
    if (!this.#visit.mayStart() || !this.#wants() || !this.#serves() || !paid) return;
    this.#startAtMs = nowMs + START_RETRY_MS;
    commands.start().then(
      (accepted) => {
        if (!accepted) this.oddities.note("expected the charge point to start, found it refused");
      },
      (error: unknown) => this.oddities.note(`start: ${textOf(error)}`),
    );
  }

  #askWhenSilent(nowMs: number, reportMs: number): void {
    const reportedAtMs = this.#meter.reportedAtMs();
    if (this.#commands === null || reportedAtMs === null || nowMs - reportedAtMs < 2 * reportMs) return;
    if (!this.#visit.mayAsk(nowMs, reportMs)) return;
    this.#commands.askReport().catch((error: unknown) => this.oddities.note(`report: ${textOf(error)}`));
  }

  // ---- what is shown ----

  #trouble(): string | null {
    const { disobeys, excessMilliwattHours } = this.#meter.obedience();
    const { identity } = this.#settings;
    if (disobeys)
      return `load-disobeys: ${identity} delivered ${excessMilliwattHours} mWh above limits that it confirmed; it is stopped and not served again`;
    if (this.#openTrouble !== null) return this.#openTrouble;
    if (this.#storeTrouble !== null) return this.#storeTrouble;
    if (this.#commands === null)
      return `expected the charge point ${identity} to be connected, found nobody; check its address and password`;
    const fault = this.#limiter.fault();
    if (fault !== null) return fault;
    return this.#quantumFault();
  }

  #quantumFault(): string | null {
    const { times } = this.#settings;
    return this.#quantumUnits === Number.POSITIVE_INFINITY ? null : quantumFault(this.#quantumUnits, times);
  }

  #tellTrouble(): void {
    const trouble = this.#trouble();
    if (trouble === this.#told) return;
    this.#told = trouble;
    this.#takeTrouble(trouble, this.#refusal());
  }

  #refusal(): LoadRefusal {
    return this.#meter.obedience().disobeys ? "load-disobeys" : "lamp-failed";
  }

  #notes(): readonly string[] {
    const { vendor = "unknown", model = "model", firmware = null } = this.conversation.station() ?? {};
    const stop = this.#meter.stopLatencyMs();
    const remark = this.remark();
    const excess = this.excessMilliwattHours();
    const version = firmware === null ? "" : `, firmware ${firmware}`;
    const name = `${vendor} ${model}${version}`.slice(0, ODDITY_CHARACTERS);
    return [
      this.#commands === null ? "not connected" : `OCPP ${this.#commands.version}, ${name}`,
      `link latency ${Math.round(this.#limiter.linkLatencyMs())} ms`,
      ...(stop === null ? [] : [`stop latency ${stop} ms`]),
      ...(excess === 0 ? [] : [`excess above limits ${excess} mWh`]),
      ...(remark === null ? [] : [remark]),
    ];
  }

  #wishFault(): string | null {
    if (!this.#visit.isPlugged()) return null;
    const wallSeconds = this.conversation.wallSeconds();
    const wish = this.#visit.wishNow();
    const { maxMilliwatts } = this.#settings.range;
    return wishFault(wish, this.#visit.deadline(), this.#delivered(), wallSeconds, maxMilliwatts);
  }

  #delivered(): number {
    return this.#total() - this.#visit.pluggedAt();
  }

  #total(): number {
    return this.#meter.register().total;
  }

  #save(): void {
    const { excessMilliwattHours, disobeys } = this.#meter.obedience();
    const register = this.#meter.register();
    const lastTransaction = this.conversation.lastTransaction();
    this.#storeTrouble = this.#store.save({ register, lastTransaction, excessMilliwattHours, disobeys });
  }
}
