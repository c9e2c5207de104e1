/**
 * The seller's tariff, kept fresh, and its quotes, kept as long as the tariff.
 *
 * Promise: a price is never older than its validity or the longest pause, a minute by default; while the
 * seller is away, or quotes nothing, the last one heard stays, and is asked for again with back-off; a seller
 * that refuses what it asked for is asked anew at pauses that grow.
 */

import { detach } from "#core/detach";
import { noteFailure } from "../purchase/faults/note-failure.ts";
import type { AskedQuote, Logger, NoTerms, Quote, Seller, SellerClient, Tariff } from "../purchase/ports.ts";

export interface TariffWatch extends Pick<SellerClient, "tariff" | "lacks" | "reconsider" | "quote"> {
  /** Asks now; false while the seller does not answer. */
  refresh(): Promise<boolean>;
  /** The next quote is the seller's own. */
  forgetQuotes(): void;
  stop(): void;
}

/** Time as the watch needs it. */
export interface WatchClock {
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

/**
 * @param changed called after every first or changed tariff
 * @param pauseMaxMs longest age of a price that says nothing of its validity
 */
export function watchTariff(
  seller: Seller,
  note: Logger,
  changed: () => void,
  clock: WatchClock = WALL,
  pauseMaxMs: number = PAUSE_MAX_MS,
): TariffWatch {
  let tariff: Tariff | null = null;
  let failures = 0;
  let cancel = () => {};
  let stopped = false;
  let asking: Promise<boolean> | null = null;
  let lacks: NoTerms = { reason: "it has not answered yet" };
  const quotes = new Map<number, Quote>();
  /** A quantum for which the seller quoted nothing: it is back when it does, whatever tariff it tells. */
  let unquoted: number | null = null;
  /** Somebody got no quote since it was last known to quote: that one is told when it does. */
  let isMissed = false;
  /** The latest look for a refusal's sake, and the pause after it. */
  let reconsideredMs = Number.NEGATIVE_INFINITY;
  let reconsiderPauseMs = 0;

  async function ask(): Promise<boolean> {
    const heard = await seller.tariff();
    const isQuoted = heard.tariff !== null && (await quotesAgain(heard.tariff));
    if (stopped) return false;
    const before = tariff;
    if (heard.tariff === null) lacks = heard;
    else tariff = heard.tariff;
    if (!isQuoted) {
      failures += 1;
      const { reason } = lacks;
      if (failures === 1) note("warn", "the seller's tariff is out of reach", { reason });
    }
    const back = isQuoted && (failures > 0 || isMissed || before === null);
    if (back && failures > 0) note("info", "the seller is back", {});
    if (isQuoted) {
      failures = 0;
      isMissed = false;
    }
    const isChanged = heard.tariff !== null && !isSame(before, heard.tariff);
    if (isChanged) reconsiderPauseMs = 0;
    if (back || isChanged) {
      quotes.clear();
      changed();
    }
    // Its tariff alone may be heard for minutes more: the next look is soon, and tells when it quotes again.
    lookAfter(
      isMissed && failures === 0 ? PAUSE_MIN_MS : nextPauseMs(tariff, failures, clock.nowMs(), pauseMaxMs),
    );
    return heard.tariff !== null;
  }

  function lookAfter(pauseMs: number): void {
    cancel();
    cancel = clock.after(pauseMs, refreshSoon);
  }

  /** True too when nothing was missing. */
  async function quotesAgain({ menu }: Tariff): Promise<boolean> {
    if (unquoted === null || !menu.includes(unquoted)) {
      unquoted = null;
      return true;
    }
    return (await quoted(unquoted)).quote !== null;
  }

  async function quoted(quantumAtomic: number): Promise<AskedQuote> {
    const heard = await seller.quote(quantumAtomic);
    if (heard.quote !== null) {
      quotes.set(quantumAtomic, heard.quote);
      if (unquoted === quantumAtomic) unquoted = null;
    } else {
      lacks = heard;
      unquoted = quantumAtomic;
      isMissed = true;
    }
    return heard;
  }

  function refresh(): Promise<boolean> {
    asking ??= ask().finally(() => {
      asking = null;
    });
    return asking;
  }
  function refreshSoon(): void {
    detach(refresh(), (error) => {
      // The next look is due all the same, or the price would never be heard again.
      if (!stopped) lookAfter(PAUSE_MAX_MS);
      noteFailure(note, "asking a seller for its tariff")(error);
    });
  }
  refreshSoon();

  return {
    tariff: () => tariff,
    refresh,
    lacks: () => lacks,
    forgetQuotes: () => quotes.clear(),
    reconsider() {
      const sinceMs = clock.nowMs() - reconsideredMs;
      if (sinceMs >= 0 && sinceMs < reconsiderPauseMs) return asking ?? Promise.resolve(failures === 0);
      const isFirst = reconsiderPauseMs === 0 || sinceMs > RECONSIDERED_MS;
      reconsiderPauseMs = isFirst ? PAUSE_MIN_MS : Math.min(PAUSE_MAX_MS, 2 * reconsiderPauseMs);
      reconsideredMs = clock.nowMs();
      quotes.clear();
      return refresh();
    },
    async quote(quantumAtomic) {
      const known = quotes.get(quantumAtomic);
      if (known) return { quote: known, reason: "" };
      const wasMissed = isMissed;
      const heard = await quoted(quantumAtomic);
      if (heard.quote === null && !wasMissed && !stopped && asking === null) lookAfter(PAUSE_MIN_MS);
      return heard;
    },
    stop() {
      stopped = true;
      cancel();
    },
  };
}

/** Price and what is on sale; how long it holds is no change. */
function isSame(before: Tariff | null, after: Tariff): boolean {
  return (
    before?.pricePerMillionUnits === after.pricePerMillionUnits && String(before.menu) === String(after.menu)
  );
}

function nextPauseMs(tariff: Tariff | null, failures: number, nowMs: number, pauseMaxMs: number): number {
  if (failures > 0) return Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** Math.min(failures - 1, 6));
  const validMs = tariff?.validUntilSeconds ? tariff.validUntilSeconds * 1000 - nowMs : pauseMaxMs;
  return Math.max(PAUSE_MIN_MS, Math.min(pauseMaxMs, validMs));
}
