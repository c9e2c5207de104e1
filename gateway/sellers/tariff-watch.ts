/**
 * The seller's tariff, kept fresh, and its quotes, kept as long as the tariff.
 *
 * Promise: a price is never older than its validity or the longest pause, a minute by default; while the
 * seller is away the last one heard stays, and is asked for again with back-off.
 */
import type { Note, Quote, Seller, Tariff } from "../purchase/ports.ts";

export interface TariffWatch {
  /** The tariff last heard; null before the first. */
  tariff(): Tariff | null;
  /** Asks now; false while the seller does not answer. */
  refresh(): Promise<boolean>;
  /** @param fresh forgets what was quoted before */
  quote(
    quantumAtomic: number,
    fresh: boolean,
  ): Promise<{ readonly quote: Quote | null; readonly reason: string }>;
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

/**
 * @param changed called after every first or changed tariff
 * @param pauseMaxMs longest age of a price that says nothing of its validity
 */
export function watchTariff(
  seller: Seller,
  note: Note,
  changed: () => void,
  clock: WatchClock = WALL,
  pauseMaxMs: number = PAUSE_MAX_MS,
): TariffWatch {
  let tariff: Tariff | null = null;
  let failures = 0;
  let cancel = () => {};
  let stopped = false;
  let asking: Promise<boolean> | null = null;
  const quotes = new Map<number, Quote>();

  async function ask(): Promise<boolean> {
    const heard = await seller.tariff();
    if (stopped) return false;
    if (heard.tariff === null) {
      failures += 1;
      if (failures === 1) note("warn", "the seller's tariff is out of reach", { reason: heard.reason });
    } else {
      if (failures > 0) note("info", "the seller is back", {});
      const before = tariff;
      const back = failures > 0 || before === null;
      failures = 0;
      tariff = heard.tariff;
      if (back || !isSame(before, tariff)) {
        quotes.clear();
        changed();
      }
    }
    cancel();
    cancel = clock.after(nextPauseMs(tariff, failures, clock.nowMs(), pauseMaxMs), () => void refresh());
    return heard.tariff !== null;
  }

  function refresh(): Promise<boolean> {
    asking ??= ask().finally(() => {
      asking = null;
    });
    return asking;
  }
  void refresh();

  return {
    tariff: () => tariff,
    refresh,
    async quote(quantumAtomic, fresh) {
      const known = fresh ? undefined : quotes.get(quantumAtomic);
      if (known) return { quote: known, reason: "" };
      const heard = await seller.quote(quantumAtomic);
      if (heard.quote !== null) quotes.set(quantumAtomic, heard.quote);
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
