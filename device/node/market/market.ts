/**
 * A device's side of a market of sellers that sign their terms: offers are taken under checked terms alone, a seller that
 * grants less than it signed is bought from no more, and what was used is acknowledged.
 *
 * Promise (P1): nothing of it is in a payment's way. An offer that names terms reaches the machine once they bind its
 * seller, and never when they do not. To a seller that broke its terms nothing more is signed but a receipt of what it has
 * granted, over restarts too; a receipt is signed only as receipt-check.ts says, and that is stored before it is sent.
 *
 *   offer -+- names no terms ------------------> taken, or refused `terms-missing` where the owner wants them
 *          +- of a seller that broke its own --> refused `grant-below-terms`
 *          +- terms known ---------------------> taken, or refused by name
 *          +- not known yet: held, the newest alone -> the gateway is asked for them -> as above
 */
import { askForBetterOffer } from "#core/ask-for-offer";
import type { Event, Offer } from "#core/events";
import type { State, Step } from "#core/machine";
import type { Clock } from "#core/ports";
import type { DeviceRefusal } from "#core/refusal";
import type { Settings } from "#core/state";
import type { Opened } from "#host/inbox";
import { policyFor } from "#host/several-tokens";
import { RECEIPT_URL, TERMS_URL } from "#market/own-resources";
import { termsHashIn } from "#market/signed-offer";
import type { Terms } from "#market/terms-of-sale";
import { readSignedReceipt, receiptDigest, type SignedReceipt } from "#market/usage-receipt";
import { toHex } from "#payment/bytes";
import type { Key } from "#payment/key";
import { parseJson } from "#protocol/nesting";
import type { GatewayDocuments } from "../general/gateway-documents.ts";
import { type MarketMemory, type MarketRules, type MarketStore, REMEMBERED_MAX } from "./market-rules.ts";
import type { MeterDocuments } from "./meter-documents.ts";
import { judgeReceipt } from "./receipt-check.ts";
import { SalesBook } from "./sales-book.ts";
import { refuseUnderTerms, termsIn } from "./terms-check.ts";

interface MarketParts {
  readonly rules: MarketRules;
  readonly store: MarketStore;
  /** The meter's span between two receipts is signed, too; absent: it is not. */
  readonly meterDocuments?: MeterDocuments | undefined;
  readonly key: Pick<Key, "sign">;
  readonly settings: Settings;
  readonly clock: Clock;
  /** The machine's present state. */
  readonly state: () => State;
  readonly documents: Pick<GatewayDocuments, "ask">;
}

type Take = (opened: Opened) => void;

interface Held {
  readonly offer: Offer;
  readonly hash: string;
  readonly take: Take;
}

interface Checked {
  readonly terms: Terms;
  /** Why they bind nobody; null when they do. */
  readonly refusal: DeviceRefusal | null;
}

/** Terms that are remembered, those of a week and of some sellers; the newest last. */
const TERMS_MAX = 32;
/** A receipt that does not agree yet is asked for again so soon, and so often. */
const AGAIN_MS = 5_000;
const AGAIN_MAX = 6;

export class Market {
  readonly #parts: MarketParts;
  readonly #terms = new Map<string, Checked>();
  /** Terms of the offers that the machine was given, by channel. */
  readonly #under = new Map<string, Terms>();
  readonly #book = new SalesBook();
  #memory: MarketMemory;
  #held: Held | null = null;
  #cancel = () => {};
  #again = 0;

  /** Throws what the store throws when it cannot be read. */
  constructor(parts: MarketParts) {
    this.#parts = parts;
    this.#memory = parts.store.load();
    this.#askLater();
  }

  // ---- offers ----

  /** An offer whose tag was right, with the resource that it names. */
  hear(offer: Offer, resource: string, take: Take): void {
    const { rules } = this.#parts;
    const hash = termsHashIn(resource);
    this.#held = null;
    const held = { offer, hash: hash ?? "", take };
    const known = this.#terms.get(held.hash);
    if (this.#memory.broken.includes(offer.terms.payTo)) refuse(take, "grant-below-terms");
    else if (known !== undefined) this.#decide(held, known);
    else if (hash !== null) this.#lookUp(held);
    else if (rules.isRequired) refuse(take, "terms-missing");
    else take({ kind: "offer", offer });
  }

  #lookUp(held: Held): void {
    this.#held = held;
    this.#parts.documents.ask("GET", TERMS_URL + held.hash, null, (body) => this.#found(held, body));
  }

  #found(held: Held, body: string | null): void {
    const { hash, take } = held;
    const found = body === null ? null : termsIn(body, hash, this.#parts.rules.keys);
    if (found !== null) {
      for (const old of this.#terms.keys()) if (this.#terms.size >= TERMS_MAX) this.#terms.delete(old);
      // A wrong signature beside right terms may be the gateway's doing: it is asked again at the next offer.
      if (found.refusal === null) this.#terms.set(hash, found);
    }
    if (this.#held !== held) return;
    this.#held = null;
    if (found === null) refuse(take, "terms-missing");
    else this.#decide(held, found);
  }

  #decide({ offer, take }: Held, { terms, refusal }: Checked): void {
    const { settings, clock } = this.#parts;
    const policy = policyFor(settings, offer.terms);
    const broken = refusal ?? refuseUnderTerms(offer, terms, policy, clock.wallSeconds());
    if (broken !== null) {
      refuse(take, broken);
      return;
    }
    this.#under.set(offer.channelId, terms);
    for (const old of this.#under.keys()) if (this.#under.size > REMEMBERED_MAX) this.#under.delete(old);
    take({ kind: "offer", offer });
  }

  // ---- the machine's steps ----

  /** A machine's step, after which nothing is signed any more to a seller that broke its terms. */
  step(inner: (state: State, event: Event) => Step): (state: State, event: Event) => Step {
    return (before, event) => {
      const step = inner(before, event);
      const { channel } = step.state;
      if (channel === null || (event.type !== "grant" && event.type !== "offer")) return step;
      const { wallSeconds } = event.at;
      const { payTo } = channel.terms;
      if (!this.#memory.broken.includes(payTo)) {
        if (!this.#book.isBelow(channel, wallSeconds)) {
          const terms = this.#under.get(channel.id);
          if (event.type === "offer" && terms !== undefined) this.#book.begin(channel, terms, wallSeconds);
          return step;
        }
        this.#breaks(payTo);
      }
      const state = askForBetterOffer(
        { ...step.state, halted: true, answerRefusal: "grant-below-terms" },
        event.at,
      );
      return { state, effects: step.effects.filter(({ type }) => type !== "pay") };
    };
  }

  #breaks(payTo: string): void {
    const broken = [...this.#memory.broken, payTo].slice(-REMEMBERED_MAX);
    this.#memory = { ...this.#memory, broken };
    // What cannot be stored holds until the next start: it is no reason to pay on.
    this.#stored(this.#memory);
    this.#again = 0;
    this.#askSoon(0);
  }

  // ---- receipts of use ----

  #askLater(): void {
    const { receiptEveryMs } = this.#parts.rules;
    if (receiptEveryMs > 0) this.#askSoon(receiptEveryMs);
  }

  #askSoon(afterMs: number): void {
    const { clock } = this.#parts;
    this.#cancel();
    this.#cancel = clock.at(clock.nowMs() + afterMs, () => this.#askReceipt());
  }

  #askReceipt(): void {
    const { channel, register, linkUp } = this.#parts.state();
    if (channel === null || !linkUp || !this.#under.has(channel.id)) {
      this.#askLater();
      return;
    }
    const stated = register.total;
    this.#parts.documents.ask("POST", RECEIPT_URL, JSON.stringify({ register: stated }), (body) =>
      this.#takeReceipt(body, stated),
    );
  }

  #takeReceipt(body: string | null, register: number): void {
    const signed = body === null ? null : receiptIn(body);
    const judged = signed === null ? "never" : this.#judge(signed, register);
    if (judged === "not-yet" && this.#again < AGAIN_MAX) {
      this.#again += 1;
      this.#askSoon(AGAIN_MS);
      return;
    }
    this.#again = 0;
    this.#askLater();
    if (signed === null || judged !== "sign" || !this.#acknowledge(signed)) return;
    const device = toHex(this.#parts.key.sign(receiptDigest(signed.receipt)));
    this.#parts.documents.ask("PUT", RECEIPT_URL, JSON.stringify({ ...signed, device }), () => {});
  }

  #judge(signed: SignedReceipt, register: number) {
    const { rules, clock, state } = this.#parts;
    const { channel } = state();
    const termsOf = (hash: string) => this.#terms.get(hash)?.terms;
    const before = this.#memory.acknowledged.find(({ channelId }) => channelId === signed.receipt.channelId);
    const nowSeconds = clock.wallSeconds();
    return judgeReceipt(signed, { channel, register, termsOf, keys: rules.keys, nowSeconds, before });
  }

  /** Stored first: a device that forgot it might sign less later. */
  #acknowledge({ receipt }: SignedReceipt): boolean {
    const { channelId, charged, granted, register, toSeconds, termsHash } = receipt;
    const { meterDocuments } = this.#parts;
    const before = this.#memory.acknowledged.find((one) => one.channelId === channelId);
    const isNumbered = meterDocuments?.isFull === false && before !== undefined;
    const documents = this.#memory.documents + (isNumbered ? 1 : 0);
    const others = this.#memory.acknowledged.filter((one) => one.channelId !== channelId);
    const acknowledged = [...others, { channelId, charged, granted, register, toSeconds }];
    const memory = { ...this.#memory, documents, acknowledged: acknowledged.slice(-REMEMBERED_MAX) };
    if (!this.#stored(memory)) return false;
    this.#memory = memory;
    if (!isNumbered) return true;
    const [begin, end] = [before, receipt].map((one) => ({
      register: one.register,
      atSeconds: one.toSeconds,
    }));
    // A number whose document could not be written is used no more.
    attempt(() => meterDocuments?.write({ begin: begin!, end: end!, termsHash, page: documents }));
    return true;
  }

  #stored(memory: MarketMemory): boolean {
    return attempt(() => this.#parts.store.store(memory));
  }

  stop(): void {
    this.#cancel();
  }
}

function refuse(take: Take, refusal: DeviceRefusal): void {
  take({ kind: "offer-refused", refusal });
}

/** False when it throws. */
function attempt(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

function receiptIn(body: string): SignedReceipt | null {
  try {
    return readSignedReceipt(parseJson(body));
  } catch {
    return null;
  }
}
