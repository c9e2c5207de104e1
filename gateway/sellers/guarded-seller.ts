/**
 * The one place between the rules and a seller: limits how many calls run at once, breaks the circuit, fences, times
 * and counts.
 *
 * Promise: no call waits beyond the queue's bound or reaches a seller that is to be left alone; no payment is presented for
 * a device that another gateway serves by now; the outcome of each call is counted and goes into the seller's health; a
 * seller that was seen to charge less than was signed is known as metered from then on.
 */
import type {
  AskedQuote,
  AskedTariff,
  ChannelRecord,
  Logger,
  Sale,
  Seller,
  SellerCounters,
  Timing,
} from "../purchase/ports.ts";
import type { TermsTrouble } from "../treasury/token-terms.ts";
import { type CallKind, type Circuit, openCircuit, type Timer } from "./circuit.ts";
import { type ConcurrencyLimit, openConcurrencyLimit } from "./client/concurrency-limit.ts";
import { type HealthName, SellerHealth } from "./seller-health.ts";

/** Each state has a text of its own: the log's limit distinguishes changes by text and reason. */
const HEALTH_TEXTS: Readonly<Record<HealthName, string>> = {
  new: "the seller's health: new",
  good: "the seller's health: good",
  troubled: "the seller's health: troubled",
  away: "the seller's health: away",
  trial: "the seller's health: trial",
};

export interface SellerGuards {
  readonly timer: Timer;
  readonly note: Logger;
  readonly timing: Timing;
  /** Does this gateway serve the device now? */
  readonly holds: (device: string) => boolean;
  /** Called when devices may have to buy elsewhere, or at another price. */
  readonly changed: () => void;
  /** What the chain has against a quote: then there is none. */
  readonly termsTrouble: TermsTrouble;
}

export interface SellerLimits {
  readonly name: string;
  readonly callsMax: number;
  readonly queueMax: number;
  readonly awayAfterMs: number;
}

/** What the result of a call says of the seller, and the result of a call that was not made. */
interface Outcome<Result> {
  /** Null: it answered. Undefined: the result does not show whether it did. */
  failureIn(result: Result): string | null | undefined;
  notMade(reason: string): Result;
}

const FENCED: Sale = { kind: "unavailable", reason: "another gateway serves this device by now" };

const TARIFF: Outcome<AskedTariff> = {
  failureIn: ({ tariff, reason }) => (tariff === null ? reason : null),
  notMade: (reason) => ({ tariff: null, reason }),
};
const QUOTE: Outcome<AskedQuote> = {
  failureIn: ({ quote, reason }) => (quote === null ? reason : null),
  notMade: (reason) => ({ quote: null, reason }),
};
const SALE: Outcome<Sale> = {
  failureIn(sale) {
    if (sale === FENCED) return undefined;
    return sale.kind === "unavailable" ? sale.reason : null;
  },
  notMade: (reason) => ({ kind: "unavailable", reason }),
};
const COUNTERS: Outcome<SellerCounters | null> = {
  failureIn: (counters) => (counters === null ? undefined : null),
  notMade: () => null,
};

export class GuardedSeller implements Seller {
  readonly health: SellerHealth;
  readonly #seller: Seller;
  readonly #limits: SellerLimits;
  readonly #guards: SellerGuards;
  readonly #concurrency: ConcurrencyLimit;
  readonly #circuit: Circuit;
  readonly #counts = { answered: 0, failed: 0, refused: 0 };
  #lastFailure = "";
  #chargesInPart = false;
  /** Of the last quote that was asked for: nothing that it accepts can be paid here. */
  #isUnpayable = false;

  /** @param probe called when the circuit waits for one call that tries the seller */
  constructor(seller: Seller, limits: SellerLimits, guards: SellerGuards, probe: () => void) {
    this.#seller = seller;
    this.#limits = limits;
    this.#guards = guards;
    this.#concurrency = openConcurrencyLimit(limits.callsMax, limits.queueMax);
    this.health = new SellerHealth(guards.timer, limits.awayAfterMs, (moves, before) =>
      this.#healthChanged(moves, before),
    );
    this.#circuit = openCircuit(guards.timer, {
      opened: () => this.health.failing(this.#lastFailure),
      halfOpened: probe,
      closed: () => guards.note("info", "the seller answers again", {}),
    });
  }

  /** It was seen to charge less than was signed. */
  get chargesInPart(): boolean {
    return this.#chargesInPart;
  }

  async tariff(): Promise<AskedTariff> {
    const kind = this.#circuit.state === "half-open" ? "probe" : "call";
    const heard = await this.#call(kind, TARIFF, () => this.#seller.tariff());
    if (heard.tariff !== null) this.health.answered();
    else if (this.health.name === "new") this.health.failing(heard.reason);
    return heard;
  }

  async quote(...asking: Parameters<Seller["quote"]>): Promise<AskedQuote> {
    const asked = await this.#call("call", QUOTE, async () => {
      const heard = await this.#seller.quote(...asking);
      this.#isUnpayable = heard.quote === null && heard.isUnpayable === true;
      if (heard.quote === null) this.health.quoteFailed(heard.reason);
      return heard;
    });
    // While it is left alone it is what it was: a device is told whether to wait or to call somebody.
    if (asked.quote === null) return this.#isUnpayable ? { ...asked, isUnpayable: true } : asked;
    // It did answer: its circuit stays closed, and what is paid for already can be bought on.
    const reason = await this.#guards.termsTrouble(asked.quote.requirements);
    if (reason === "") {
      this.health.quoted();
      return asked;
    }
    this.health.quoteFailed(reason);
    return { quote: null, reason, isUnpayable: true };
  }

  async pay(...payment: Parameters<Seller["pay"]>): Promise<Sale> {
    return this.#call("call", SALE, () => this.#present(...payment));
  }

  recover(channel: ChannelRecord, charged: number, quantumAtomic: number): Promise<SellerCounters | null> {
    return this.#call("call", COUNTERS, () => this.#seller.recover(channel, charged, quantumAtomic));
  }

  /** Calls since the gateway started, and now. */
  load() {
    return {
      circuit: this.#circuit.state,
      ...this.#counts,
      underWay: this.#concurrency.inside,
      waiting: this.#concurrency.waiting,
    };
  }

  stop(): void {
    this.#circuit.stop();
    this.health.stop();
  }

  async #call<Result>(
    kind: CallKind,
    outcome: Outcome<Result>,
    call: () => Promise<Result>,
  ): Promise<Result> {
    const turn = this.#concurrency.enter();
    if (turn === null) {
      const { queueMax } = this.#limits;
      return this.#refuse(
        outcome,
        `expected at most ${queueMax} calls waiting, found as many: it is too slow`,
      );
    }
    const leave = await turn;
    try {
      const end = this.#circuit.begin(kind);
      if (typeof end === "string") return this.#refuse(outcome, `${end}; ${this.#lastFailure}`);
      // A call that throws has failed: a circuit that heard nothing of its probe would stay half-open.
      let failure: string | null | undefined = "its client failed";
      try {
        const result = await call();
        failure = outcome.failureIn(result);
        return result;
      } finally {
        if (failure !== undefined) this.#count(failure, end);
      }
    } finally {
      leave();
    }
  }

  /** @param failure null: it answered */
  #count(failure: string | null, end: (isGood: boolean) => void): void {
    if (failure !== null) this.#lastFailure = failure;
    this.#counts[failure === null ? "answered" : "failed"] += 1;
    end(failure === null);
  }

  #refuse<Result>(outcome: Outcome<Result>, reason: string): Result {
    this.#counts.refused += 1;
    return outcome.notMade(`seller ${this.#limits.name}: ${reason}`);
  }

  async #present(...[channel, amountAtomic, payload]: Parameters<Seller["pay"]>): Promise<Sale> {
    const { timing, holds } = this.#guards;
    // Asked last: the device may have gone to another gateway while its payment waited here.
    if (!holds(channel.device)) return FENCED;
    const since = timing.nowSeconds();
    const sale = await this.#seller.pay(channel, amountAtomic, payload);
    timing.took("seller", timing.nowSeconds() - since, sale.kind === "paid");
    this.#learnFrom(sale, channel, amountAtomic);
    return sale;
  }

  #learnFrom(sale: Sale, { device, config, charged: before }: ChannelRecord, amountAtomic: number): void {
    if (sale.kind === "unavailable") this.health.paymentFailed(sale.reason);
    if (sale.kind !== "paid") return;
    this.#circuit.recovered();
    this.health.paid(device);
    const { charged } = sale.counters;
    const signedAtomic = before + amountAtomic;
    if (config === null || charged >= signedAtomic || this.#chargesInPart) return;
    this.#chargesInPart = true;
    this.#guards.note(
      "info",
      "the seller charges less than was signed: devices that sign ahead cannot buy from it",
      {
        chargedAtomic: charged,
        signedAtomic,
      },
    );
    this.#guards.changed();
  }

  #healthChanged(moves: boolean, before: HealthName): void {
    const { name, reason } = this.health;
    const isGood = name === "good";
    const why = isGood ? `it was ${before}` : reason;
    this.#guards.note(isGood ? "info" : "warn", HEALTH_TEXTS[name], { before, reason: why });
    if (moves) this.#guards.changed();
  }
}
