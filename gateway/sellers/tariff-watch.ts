/**
 * The seller's tariff, kept fresh, and its quotes, kept as long as the tariff.
 *
 * Promise: a price is never older than its validity or the longest pause, a minute by default; while the
 * seller is away, or quotes nothing, the last one heard stays, and is asked for again with back-off; a seller
 * that refuses what it asked for is asked anew at pauses that grow.
 */

import { detach } from "#core/detach";
import { type PaymentToken, tokenName } from "#protocol/payment-token";
import { noteFailure } from "../purchase/faults/note-failure.ts";
import type { AskedQuote, Logger, NoTerms, Quote, Seller, SellerClient, Tariff } from "../purchase/ports.ts";

/** Time as the watch needs it. */
interface WatchClock {
  /** Unix time in milliseconds. */
  nowMs(): number;
  /** Calls back once after a delay; returns the cancellation. */
  after(delayMs: number, act: () => void): () => void;
}

const WALL: WatchClock = {
  nowMs: () => Date.now(),
  after(delayMs, act) {
    const timer = setTimeout(act, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Longest and shortest pause between two looks, and the longest while the seller is away. */
const PAUSE_MAX_MS = 60_000;
const PAUSE_MIN_MS = 1_000;

/** A refusal so long after the latest look is the first of its kind. */
const RECONSIDERED_MS = 2 * PAUSE_MAX_MS;

export class TariffWatch implements Pick<SellerClient, "tariff" | "lacks" | "reconsider"> {
  readonly #seller: Seller;
  readonly #note: Logger;
  readonly #changed: () => void;
  readonly #clock: WatchClock;
  readonly #pauseMaxMs: number;
  #tariff: Tariff | null = null;
  #failures = 0;
  #cancel = () => {};
  #stopped = false;
  #asking: Promise<boolean> | null = null;
  #lacks: NoTerms = { reason: "it has not answered yet" };
  /** By quantum, and the tokens that were wanted. */
  readonly #quotes = new Map<string, Quote>();
  /** A quantum for which the seller quoted nothing: the seller is back when it does, whatever its tariff says. */
  #unquoted: number | null = null;
  /** A device got no quote since the seller was last known to quote: devices are offered again when it does. */
  #isMissed = false;
  /** The latest look for a refusal's sake, and the pause after it. */
  #reconsideredMs = Number.NEGATIVE_INFINITY;
  #reconsiderPauseMs = 0;

  /**
   * @param changed called after every first or changed tariff
   * @param pauseMaxMs longest age of a price that says nothing of its validity
   */
  constructor(
    seller: Seller,
    note: Logger,
    changed: () => void,
    clock: WatchClock = WALL,
    pauseMaxMs: number = PAUSE_MAX_MS,
  ) {
    this.#seller = seller;
    this.#note = note;
    this.#changed = changed;
    this.#clock = clock;
    this.#pauseMaxMs = pauseMaxMs;
    this.#refreshSoon();
  }

  tariff(): Tariff | null {
    return this.#tariff;
  }

  lacks(): NoTerms {
    return this.#lacks;
  }

  /** @param wanted of the tokens that its seller is configured with: as many kinds of quotes are kept as there are choices */
  async quote(quantumAtomic: number, wanted: readonly PaymentToken[] = []): Promise<AskedQuote> {
    const known = this.#quotes.get(nameOf(quantumAtomic, wanted));
    if (known) return { quote: known, reason: "" };
    const wasMissed = this.#isMissed;
    const heard = await this.#askQuote(quantumAtomic, wanted);
    const isFirstMiss = heard.quote === null && !wasMissed;
    if (isFirstMiss && !this.#stopped && this.#asking === null) this.#lookAfter(PAUSE_MIN_MS);
    return heard;
  }

  reconsider(): Promise<boolean> {
    const sinceMs = this.#clock.nowMs() - this.#reconsideredMs;
    if (sinceMs >= 0 && sinceMs < this.#reconsiderPauseMs) {
      return this.#asking ?? Promise.resolve(this.#failures === 0);
    }
    const isFirst = this.#reconsiderPauseMs === 0 || sinceMs > RECONSIDERED_MS;
    this.#reconsiderPauseMs = isFirst ? PAUSE_MIN_MS : Math.min(PAUSE_MAX_MS, 2 * this.#reconsiderPauseMs);
    this.#reconsideredMs = this.#clock.nowMs();
    this.forgetQuotes();
    return this.refresh();
  }

  /** Asks now; false while the seller does not answer. */
  refresh(): Promise<boolean> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  /** The next quote is the seller's own. */
  forgetQuotes(): void {
    this.#quotes.clear();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  async #ask(): Promise<boolean> {
    const heard = await this.#seller.tariff();
    const isQuoted = heard.tariff !== null && (await this.#quotesAgain(heard.tariff));
    if (this.#stopped) return false;
    const before = this.#tariff;
    if (heard.tariff === null) this.#lacks = heard;
    else this.#tariff = heard.tariff;
    const isBack = isQuoted && (this.#failures > 0 || this.#isMissed || before === null);
    this.#countAnswer(isQuoted);
    const isChanged = heard.tariff !== null && !isSame(before, heard.tariff);
    if (isChanged) this.#reconsiderPauseMs = 0;
    if (isBack || isChanged) {
      this.forgetQuotes();
      this.#changed();
    }
    // Its tariff alone may be heard for minutes more: the next look is soon, and finds out when it quotes again.
    const isQuoteAwaited = this.#isMissed && this.#failures === 0;
    this.#lookAfter(isQuoteAwaited ? PAUSE_MIN_MS : this.#nextPauseMs());
    return heard.tariff !== null;
  }

  #countAnswer(isGood: boolean): void {
    if (isGood) {
      if (this.#failures > 0) this.#note("info", "the seller is back", {});
      this.#failures = 0;
      this.#isMissed = false;
      return;
    }
    this.#failures += 1;
    const { reason } = this.#lacks;
    if (this.#failures === 1) this.#note("warn", "the seller's tariff is out of reach", { reason });
  }

  /** True too when nothing was missing. */
  async #quotesAgain({ menu }: Tariff): Promise<boolean> {
    if (this.#unquoted !== null && menu.includes(this.#unquoted)) {
      return (await this.#askQuote(this.#unquoted)).quote !== null;
    }
    this.#unquoted = null;
    return true;
  }

  async #askQuote(quantumAtomic: number, wanted: readonly PaymentToken[] = []): Promise<AskedQuote> {
    const heard = await this.#seller.quote(quantumAtomic, wanted);
    if (heard.quote !== null) {
      this.#quotes.set(nameOf(quantumAtomic, wanted), heard.quote);
      if (this.#unquoted === quantumAtomic) this.#unquoted = null;
    } else {
      this.#lacks = heard;
      this.#unquoted = quantumAtomic;
      this.#isMissed = true;
    }
    return heard;
  }

  #lookAfter(pauseMs: number): void {
    this.#cancel();
    this.#cancel = this.#clock.after(pauseMs, () => this.#refreshSoon());
  }

  #refreshSoon(): void {
    detach(this.refresh(), (error) => {
      // The next look is due all the same, or the price would never be heard again.
      if (!this.#stopped) this.#lookAfter(PAUSE_MAX_MS);
      noteFailure(this.#note, "asking a seller for its tariff")(error);
    });
  }

  #nextPauseMs(): number {
    if (this.#failures > 0) {
      return Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** Math.min(this.#failures - 1, 6));
    }
    const untilSeconds = this.#tariff?.validUntilSeconds;
    const validMs = untilSeconds ? untilSeconds * 1000 - this.#clock.nowMs() : this.#pauseMaxMs;
    return Math.max(PAUSE_MIN_MS, Math.min(this.#pauseMaxMs, validMs));
  }
}

function nameOf(quantumAtomic: number, wanted: readonly PaymentToken[]): string {
  return [quantumAtomic, ...wanted.map(tokenName)].join(" ");
}

/** Price, what is on sale and how it is charged; how long it holds is no change. */
function isSame(before: Tariff | null, after: Tariff): boolean {
  return (
    before?.pricePerMillionUnits === after.pricePerMillionUnits &&
    before.metered === after.metered &&
    String(before.menu) === String(after.menu)
  );
}
