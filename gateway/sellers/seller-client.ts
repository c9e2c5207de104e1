/**
 * One seller at work: its client behind a turnstile and a circuit, its tariff watched, its standing known.
 *
 * Promise: no call waits beyond the queue's bound or reaches a seller that is to be left alone; what a call comes
 * to is counted, and told when it changes anything; a seller that charges less than was signed is dismissed,
 * since devices sign fixed amounts.
 */

import { detach } from "#core/detach";
import { noteFailure } from "../purchase/faults/note-failure.ts";
import type { AskedQuote, ChannelRecord, Logger, Sale, Seller, SellerClient } from "../purchase/ports.ts";
import type { TermsTrouble } from "../treasury/terms.ts";
import { type CallKind, openCircuit, type Timer } from "./circuit.ts";
import { openConcurrencyLimit } from "./client/concurrency-limit.ts";
import { type HealthName, openSellerHealth } from "./seller-health.ts";
import type { SellerStatus } from "./seller-status.ts";
import { watchTariff } from "./tariff-watch.ts";

/** Each standing has a text of its own: the log's limit tells changes apart by text and reason. */
const STANDING_TEXTS: Readonly<Record<HealthName, string>> = {
  new: "the seller's standing: new",
  good: "the seller's standing: good",
  troubled: "the seller's standing: troubled",
  away: "the seller's standing: away",
  trial: "the seller's standing: trial",
  dismissed: "the seller's standing: dismissed",
};

export interface SellerClientOptions {
  readonly name: string;
  readonly kind: "electricity" | "fixed";
  /** For people: without passwords. */
  readonly url: string;
  readonly callsMax: number;
  readonly queueMax: number;
  readonly awayAfterMs: number;
  /** Also owns the channels of before there were several sellers. */
  readonly isFirst: boolean;
}

export interface RunningSellerClient extends SellerClient {
  readonly health: HealthName;
  status(): SellerStatus;
  stop(): void;
}

/**
 * @param changed called when devices may have to buy elsewhere, or at another price
 * @param termsTrouble what the chain has against a quote: then there is none
 */
export function openSellerClient(
  client: Seller,
  options: SellerClientOptions,
  timer: Timer,
  everyNote: Logger,
  changed: () => void,
  termsTrouble: TermsTrouble = async () => "",
): RunningSellerClient {
  const { name, kind, url } = options;
  const note: Logger = (level, text, fields) => everyNote(level, text, { seller: name, ...fields });
  const counts = { answered: 0, failed: 0, refused: 0 };
  const turnstile = openConcurrencyLimit(options.callsMax, options.queueMax);
  let lastFailure = "";

  const standing = openSellerHealth(timer, options.awayAfterMs, (moves, before) => {
    const bad = standing.name !== "good";
    const reason = bad ? standing.reason : `it was ${before}`;
    note(bad ? "warn" : "info", STANDING_TEXTS[standing.name], { before, reason });
    if (moves) changed();
  });
  const circuit = openCircuit(timer, {
    opened: () => standing.failing(lastFailure),
    halfOpened: () => detach(watch.refresh(), noteFailure(note, "asking a seller for its tariff")),
    closed: () => note("info", "the seller answers again", {}),
  });

  async function through<Result>(
    callKind: CallKind,
    call: () => Promise<Result>,
    /** Null: it was answered. Undefined: nobody can tell from this. */
    failureIn: (result: Result) => string | null | undefined,
    notMade: (reason: string) => Result,
  ): Promise<Result> {
    const refuse = (reason: string) => {
      counts.refused += 1;
      return notMade(`seller ${name}: ${reason}`);
    };
    const turn = turnstile.enter();
    if (turn === null) {
      return refuse(`expected at most ${options.queueMax} calls waiting, found as many: it is too slow`);
    }
    const leave = await turn;
    try {
      const end = circuit.begin(callKind);
      if (typeof end === "string") return refuse(`${end}; ${lastFailure}`);
      const result = await call();
      const failure = failureIn(result);
      if (failure === undefined) return result;
      if (failure !== null) lastFailure = failure;
      counts[failure === null ? "answered" : "failed"] += 1;
      end(failure === null);
      return result;
    } finally {
      leave();
    }
  }

  async function tariff(): ReturnType<Seller["tariff"]> {
    const callKind = circuit.state === "half-open" ? "probe" : "call";
    const heard = await through(
      callKind,
      () => client.tariff(),
      (result) => (result.tariff === null ? result.reason : null),
      (reason) => ({ tariff: null, reason }),
    );
    if (heard.tariff !== null) standing.answered();
    else if (standing.name === "new") standing.failing(heard.reason);
    return heard;
  }

  /** The rules of payment that no answer may break. */
  function judge(sale: Sale, { device, config, charged: before }: ChannelRecord, amountAtomic: number): void {
    if (sale.kind === "unavailable") standing.paymentFailed(sale.reason);
    if (sale.kind !== "paid") return;
    circuit.recovered();
    standing.paid(device);
    const { charged } = sale.counters;
    const signedAtomic = before + amountAtomic;
    if (config === null || charged >= signedAtomic) return;
    const reason =
      `it charged up to ${charged} where ${signedAtomic} was signed; devices sign fixed amounts: ` +
      "expected a seller without Settlement-Overrides";
    standing.dismiss(reason);
  }

  const seller: Seller = {
    tariff,
    async quote(quantumAtomic) {
      const asked = await through(
        "call",
        async () => {
          const heard = await client.quote(quantumAtomic);
          if (heard.quote === null) standing.quoteFailed(heard.reason);
          return heard;
        },
        (result) => (result.quote === null ? result.reason : null),
        (reason): AskedQuote => ({ quote: null, reason }),
      );
      if (asked.quote === null) return asked;
      // It did answer: its circuit stays closed, and what is paid for already can be bought on.
      const reason = await termsTrouble(asked.quote.requirements);
      if (reason === "") {
        standing.quoted();
        return asked;
      }
      standing.quoteFailed(reason);
      return { quote: null, reason, isUnpayable: true };
    },
    async pay(channel, amountAtomic, payload) {
      if (standing.name === "dismissed") {
        return { kind: "unavailable", reason: `seller ${name} is dismissed: ${standing.reason}` };
      }
      return through(
        "call",
        async () => {
          const sale = await client.pay(channel, amountAtomic, payload);
          judge(sale, channel, amountAtomic);
          return sale;
        },
        (sale) => (sale.kind === "unavailable" ? sale.reason : null),
        (reason): Sale => ({ kind: "unavailable", reason }),
      );
    },
    recover: (channel, charged, quantumAtomic) =>
      through(
        "call",
        () => client.recover(channel, charged, quantumAtomic),
        (counters) => (counters === null ? undefined : null),
        () => null,
      ),
  };
  const watch = watchTariff(seller, note, changed, {
    nowMs: () => Date.now(),
    after: (delayMs, act) => timer.after(delayMs, act),
  });

  return {
    name,
    seller,
    tariff: watch.tariff,
    lacks: watch.lacks,
    reconsider: watch.reconsider,
    async quote(quantumAtomic) {
      const asked = await watch.quote(quantumAtomic);
      if (asked.quote === null || (await termsTrouble(asked.quote.requirements)) === "") return asked;
      // The terms are as they were and the chain is not: asked anew, it is looked at until that is over.
      watch.forgetQuotes();
      return watch.quote(quantumAtomic);
    },
    refused: standing.refused,
    get health() {
      return standing.name;
    },
    owns: (owner) => owner === name || (owner === "" && options.isFirst),
    status() {
      const heard = watch.tariff();
      return {
        name,
        kind,
        url,
        standing: standing.name,
        reason: standing.reason,
        forSeconds: Math.floor((timer.nowMs() - standing.sinceMs) / 1000),
        circuit: circuit.state,
        pricePerMillionUnits: heard?.pricePerMillionUnits ?? null,
        unit: heard?.unit ?? null,
        ...counts,
        underWay: turnstile.inside,
        waiting: turnstile.waiting,
      };
    },
    stop() {
      watch.stop();
      circuit.stop();
      standing.stop();
    },
  };
}
