/**
 * What a charge point says, heard: cars that come and go, transactions, meter values, its clock.
 *
 * Promise: every message is bounded in what it costs and changes; one about another connector, of a card that may not
 * charge or about a transaction that is over is named and changes nothing of what is served. A transaction that began
 * without this side, or while this side was away, goes on here.
 */
import type { Clock } from "#core/ports";
import { PRICED_UNITS } from "#core/units";
import type { CarVisit, Transaction } from "./car-visit.ts";
import { CostDisplay } from "./cost-display.ts";
import { textOf } from "./limits/limiter.ts";
import type { ChargeMeter } from "./metering/charge-meter.ts";
import { isOtherCount } from "./metering/energy-register.ts";
import {
  type ConnectorStatus,
  OWN_ID_TAG,
  type Station,
  type StationCommands,
  type StationEvents,
  type StationSample,
  type TransactionEnd,
} from "./ocpp/ports.ts";
import type { Oddities } from "./oddities.ts";
import type { ChargerSettings } from "./settings.ts";

/** Answers to one message are sent before the commands that follow from it. */
const SOON_MS = 20;
/** A charge point's clock that is off by more is named. */
const CLOCK_OFF_SECONDS = 300;
/** Rounding, drift and the way of its messages. */
const CLOCK_SLACK_SECONDS = 5;
/** Transactions that were refused and may still be heard of. */
const REFUSED_MAX = 16;
/** Status notifications within a minute that are named a storm. */
const STATUSES_MAX = 60;
/** Transaction ids of 1.6 are positive and have 31 bits. */
const TRANSACTION_ID_MAX = 2 ** 31 - 1;

export interface ConversationParts {
  readonly settings: ChargerSettings;
  readonly clock: Clock;
  readonly meter: ChargeMeter;
  readonly visit: CarVisit;
  readonly oddities: Oddities;
  readonly lastTransaction: number;
  /** What is paid for in all, in the meter's own counter; null while it is not served. */
  readonly paidUntil: () => number | null;
  /** Of one purchase, mWh; Infinity while unknown. */
  readonly quantumUnits: () => number;
  /** Atomic units per million units; 0 while unknown. */
  readonly price: () => number;
  /** Limits that were set by the clock before begin and end at other times. */
  readonly onClockChange: () => void;
  readonly onChange: () => void;
  /** A car came. */
  readonly onCar: () => void;
  /** Something that must survive a restart of this side. */
  readonly onKeep: () => void;
}

export class Conversation implements StationEvents {
  readonly #parts: ConversationParts;
  readonly #display: CostDisplay;
  readonly #refused = new Set<string>();
  #commands: StationCommands | null = null;
  #station: Station | null = null;
  /**
   * The charge point's own clock at monotonic 0, Unix seconds; null until it was heard. Not held against this side's wall
   * clock: that may step, or be trusted only later, and the charge point's does not follow it.
   */
  #stationEpoch: number | null = null;
  /** False while the charge point's clock is not known, or was just found to be another: how old its message is cannot be said then. */
  #knowsAges = false;
  /** Unix seconds at monotonic 0, for as long as this side's clock is not trusted: not before anything that is remembered. */
  readonly #fallbackSeconds: number;
  #lastTransaction: number;
  /** When a car was last said to be there, by the charge point's own clock. */
  #pluggedSeconds = 0;
  /** The latest transaction's end said that its car is gone, and nothing was said of another one. */
  #isLeft = false;
  #statuses = { minute: 0, count: 0 };

  constructor(parts: ConversationParts) {
    this.#parts = parts;
    this.#lastTransaction = parts.lastTransaction;
    this.#fallbackSeconds = parts.meter.latestSeconds() - parts.clock.nowMs() / 1000;
    this.#display = new CostDisplay(parts.clock, parts.settings.token_decimals);
  }

  attach(commands: StationCommands | null): void {
    this.#commands = commands;
    this.#display.attach(commands);
  }

  station(): Station | null {
    return this.#station;
  }

  lastTransaction(): number {
    return this.#lastTransaction;
  }

  wallSeconds(): number {
    const { clock } = this.#parts;
    return clock.wallSeconds() ?? this.#fallbackSeconds + this.#monotonicSeconds();
  }

  /** Unix seconds, as the charge point's own clock shows them. */
  stationSeconds(): number {
    return this.#stationEpoch === null ? this.wallSeconds() : this.#stationEpoch + this.#monotonicSeconds();
  }

  clockFault(): string | null {
    const off = Math.round(this.stationSeconds() - this.wallSeconds());
    if (Math.abs(off) <= CLOCK_OFF_SECONDS) return null;
    return `expected the charge point's clock within ${CLOCK_OFF_SECONDS} s, found it off by ${off} s; limits are set by its own clock`;
  }

  // ---- StationEvents ----

  booted(station: Station): void {
    this.#station = station;
    // The answer sets its clock.
    this.#setStationClock(this.wallSeconds());
  }

  clockSeen(atSeconds: number, certain: boolean): void {
    if (!Number.isFinite(atSeconds)) return;
    const ahead = atSeconds - this.stationSeconds();
    // What may be late makes the clock no slower than it is known to be, but for a jump.
    const isOther = this.#stationEpoch === null || Math.abs(ahead) > CLOCK_OFF_SECONDS;
    this.#knowsAges = certain || (!isOther && ahead < CLOCK_SLACK_SECONDS);
    if (certain || isOther || ahead > 0) this.#setStationClock(atSeconds);
  }

  status({ connector, plugged, word, faulted, atSeconds }: ConnectorStatus): void {
    const { settings, visit, oddities } = this.#parts;
    this.#countStatus();
    if (faulted) oddities.note(`connector ${connector} is faulted`);
    if (connector !== settings.connector) {
      if (connector !== 0 && plugged === true)
        oddities.note(
          `expected cars on connector ${settings.connector}, found one on ${connector}; it is not served`,
        );
      return;
    }
    // It says so once more of the cable that a car has left.
    if (word === "Finishing" && this.#isLeft) return;
    if (plugged !== null) this.#isLeft = false;
    if (plugged === true) this.#pluggedSeconds = Number.isNaN(atSeconds) ? this.stationSeconds() : atSeconds;
    const transaction = visit.transaction();
    if (plugged === null || !visit.plug(plugged, this.#total(), this.wallSeconds())) return;
    if (!plugged && transaction !== null)
      oddities.note(
        `expected transaction ${shortOf(transaction.id)} to be stopped, found the car gone (${word})`,
      );
    if (plugged) this.#parts.onCar();
    this.#parts.onChange();
  }

  authorizes(idTag: string): boolean {
    return this.#mayCharge(idTag);
  }

  started({ connector, idTag, transactionId: given }: Parameters<StationEvents["started"]>[0]) {
    const { settings, visit, oddities } = this.#parts;
    const bySeconds = Math.floor(this.wallSeconds()) % TRANSACTION_ID_MAX;
    if (given === null) this.#lastTransaction = Math.max(this.#lastTransaction + 1, bySeconds);
    const transactionId = given ?? String(this.#lastTransaction);
    const here = connector === settings.connector;
    if (!here || !this.#mayCharge(idTag)) {
      oddities.note(
        here
          ? `refused a transaction of card ${JSON.stringify((idTag ?? "").slice(0, 20))}`
          : `expected transactions on connector ${settings.connector}, found one on ${connector}; it is stopped`,
      );
      this.#refuse(transactionId);
      return { transactionId, accepted: false };
    }
    const former = visit.transaction();
    if (former !== null && former.id !== transactionId)
      oddities.note(`expected transaction ${shortOf(former.id)} to be stopped, found another one begun`);
    if (idTag !== OWN_ID_TAG)
      oddities.note(`the charge point began transaction ${shortOf(transactionId)} by itself`);
    visit.begin(transactionId, this.#total(), this.wallSeconds());
    this.#parts.onKeep();
    this.#parts.onChange();
    return { transactionId, accepted: true };
  }

  sampled(sample: StationSample): void {
    const { settings, visit, clock, meter, oddities, price } = this.#parts;
    if (sample.connector !== settings.connector) return;
    this.#adopt(sample.transactionId);
    const ageSeconds = Number.isFinite(sample.atSeconds) ? this.stationSeconds() - sample.atSeconds : 0;
    // What is from later than its clock shows says that this is not its clock.
    const isKnown = this.#knowsAges && ageSeconds > -CLOCK_SLACK_SECONDS;
    const ageMs = isKnown ? ageSeconds * 1000 : null;
    const before = meter.register();
    const { note, step } = meter.report(sample, clock.nowMs(), ageMs, this.#parts.quantumUnits());
    if (note === "backwards" || note === "implausible" || note === "rebased")
      oddities.note(`the charge point's register is ${note}: ${sample.value.energyMilliwattHours} mWh`);
    const transaction = visit.transaction();
    if (transaction !== null && step > 0) {
      transaction.costAtomic += (step * price()) / PRICED_UNITS;
      this.#showCost(transaction, false);
    }
    const after = meter.register();
    // What a register that begins anew showed of a transaction that ends unseen is nowhere else.
    const isOther = note === "rebased" || isOtherCount(before, after) || (after.countsAnew && step > 0);
    if (isOther || meter.obedience().disobeys) this.#parts.onKeep();
    this.#parts.onChange();
  }

  ended(transactionId: string, end: TransactionEnd, atSeconds: number): void {
    const { visit } = this.#parts;
    this.#refused.delete(transactionId);
    const transaction = visit.transaction();
    if (transaction?.id === transactionId) {
      this.#showCost(transaction, true);
      visit.end(end === "stopped");
      if (end === "car-gone") this.#left(atSeconds);
    }
    this.#parts.onKeep();
    this.#parts.onChange();
  }

  wished(energyMilliwattHours: number | null, readyBySeconds: number | null): void {
    this.#parts.visit.wish(energyMilliwattHours, readyBySeconds);
    this.#parts.onChange();
  }

  transactionLimit(transactionId: string): number | null {
    const transaction = this.#parts.visit.transaction();
    const paidUntil = this.#parts.paidUntil();
    // Before anything is paid the profile holds it: a limit of 0 would end it.
    if (transaction?.id !== transactionId || paidUntil === null || paidUntil <= this.#total()) return null;
    return paidUntil - transaction.startedAt;
  }

  costSoFar(transactionId: string): number | null {
    const transaction = this.#parts.visit.transaction();
    return transaction?.id === transactionId ? this.#display.inCurrency(transaction.costAtomic) : null;
  }

  // ---- ----

  /** Limits that were set by another clock begin and end at other times. */
  #setStationClock(nowSeconds: number): void {
    const isOther = Math.abs(nowSeconds - this.stationSeconds()) > CLOCK_SLACK_SECONDS;
    this.#stationEpoch = nowSeconds - this.#monotonicSeconds();
    if (isOther) this.#parts.onClockChange();
  }

  #monotonicSeconds(): number {
    return this.#parts.clock.nowMs() / 1000;
  }

  /** Each is looked at, for the last one is how things are. */
  #countStatus(): void {
    const minute = Math.floor(this.#parts.clock.nowMs() / 60_000);
    this.#statuses = { minute, count: this.#statuses.minute === minute ? this.#statuses.count + 1 : 1 };
    if (this.#statuses.count === STATUSES_MAX)
      this.#parts.oddities.note(
        `expected fewer than ${STATUSES_MAX} status notifications a minute, found a storm`,
      );
  }

  #mayCharge(idTag: string | null): boolean {
    const { settings, meter } = this.#parts;
    if (meter.obedience().disobeys) return false;
    return (
      idTag === null || idTag === OWN_ID_TAG || settings.cards.length === 0 || settings.cards.includes(idTag)
    );
  }

  #refuse(transactionId: string): void {
    const { clock, oddities } = this.#parts;
    if (this.#refused.size < REFUSED_MAX) this.#refused.add(transactionId);
    clock.at(clock.nowMs() + SOON_MS, () => {
      this.#commands?.stop(transactionId).catch((error: unknown) => oddities.note(`stop: ${textOf(error)}`));
    });
  }

  /** A transaction that is heard of for the first time in the middle of it. */
  #adopt(transactionId: string | null): void {
    const { visit, oddities } = this.#parts;
    if (transactionId === null || visit.transaction() !== null) return;
    if (this.#refused.has(transactionId) || visit.knewOf(transactionId)) return;
    oddities.note(`found transaction ${shortOf(transactionId)} under way; it goes on here`);
    visit.begin(transactionId, this.#total(), this.wallSeconds());
  }

  /** Its car is gone; what was heard of a later time is about the next one. */
  #left(atSeconds: number): void {
    const { visit } = this.#parts;
    const isNext = this.#pluggedSeconds > atSeconds;
    this.#isLeft = !isNext;
    for (const plugged of isNext ? [false, true] : [false])
      visit.plug(plugged, this.#total(), this.wallSeconds());
    if (isNext) this.#parts.onCar();
  }

  #showCost(transaction: Transaction, final: boolean): void {
    const { meter, clock, price } = this.#parts;
    if (price() === 0) return;
    this.#display.show(transaction.id, {
      cost: this.#display.inCurrency(transaction.costAtomic),
      pricePerKilowattHour: this.#display.inCurrency(price()),
      energyMilliwattHours: this.#total() - transaction.startedAt,
      charging: (meter.reading(clock.nowMs())?.powerMilliwatts ?? 0) > 0,
      final,
    });
  }

  #total(): number {
    return this.#parts.meter.register().total;
  }
}

function shortOf(transactionId: string): string {
  return JSON.stringify(transactionId.slice(0, 36));
}
