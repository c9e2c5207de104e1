/**
 * What each seller will ask, as far as it says so: asked for at intervals, kept until it is over.
 *
 * Promise: a series is shown only while it has a price for the present second; one that is missing, malformed or of another
 * unit than the seller's tariff takes no known one away, and nothing is bought or refused for a series' sake.
 */
import { detach } from "#core/detach";
import {
  type PricePublisher,
  type PriceSeries,
  priceAt,
  readPriceSeries,
  stepsFrom,
} from "#market/price-series";
import type { PaymentToken } from "#protocol/payment-token";
import { noteFailure } from "../purchase/faults/note-failure.ts";
import type { Logger } from "../purchase/ports.ts";

/** One seller that publishes its prices. */
export interface SeriesSource extends PricePublisher {
  readonly name: string;
  readonly token: PaymentToken;
  /** The unit of its tariff; null before its first answer. */
  unit(): string | null;
}

/** Of one seller, from the present second on. */
export interface SellerPrices {
  readonly seller: string;
  readonly token: PaymentToken;
  readonly series: PriceSeries;
}

/** Another price holds at a seller, or another series is known; null: it is over. */
type PricesChanged = (seller: string, prices: SellerPrices | null) => void;

/** A series is asked for again at the end of its present step, within these. */
const PAUSE_MIN_SECONDS = 60;
const PAUSE_MAX_SECONDS = 900;

interface Entry {
  readonly source: SeriesSource;
  series: PriceSeries | null;
  /** Why there is none, as it was logged. */
  reason: string;
  timer: NodeJS.Timeout | null;
}

export class PriceBoard {
  readonly #entries: readonly Entry[];
  readonly #nowSeconds: () => number;
  readonly #note: Logger;
  #changed: PricesChanged = () => {};
  #isOpen = true;

  /** @param nowSeconds Unix */
  constructor(sources: readonly SeriesSource[], nowSeconds: () => number, note: Logger) {
    this.#entries = sources.map((source) => ({ source, series: null, reason: "", timer: null }));
    this.#nowSeconds = nowSeconds;
    this.#note = note;
  }

  start(changed: PricesChanged): void {
    this.#changed = changed;
    for (const entry of this.#entries) this.#askSoon(entry);
  }

  /** Of the sellers that publish any, in their order. */
  all(): readonly SellerPrices[] {
    return this.#entries.flatMap((entry) => this.#present(entry) ?? []);
  }

  /** @param seller by its name in the configuration */
  of(seller: string): SellerPrices | null {
    const entry = this.#entries.find(({ source }) => source.name === seller);
    return entry === undefined ? null : this.#present(entry);
  }

  stop(): void {
    this.#isOpen = false;
    for (const { timer } of this.#entries) if (timer !== null) clearTimeout(timer);
  }

  #present({ source, series }: Entry): SellerPrices | null {
    const now = Math.floor(this.#nowSeconds());
    if (series === null || priceAt(series, now) === null) return null;
    const price = stepsFrom(series, now).map(({ startSeconds, pricePerMillionUnits }): [number, number] => [
      startSeconds,
      pricePerMillionUnits,
    ]);
    return { seller: source.name, token: source.token, series: { ...series, fromSeconds: now, price } };
  }

  #askSoon(entry: Entry): void {
    detach(this.#ask(entry), noteFailure(this.#note, "asking a seller for its prices"));
  }

  async #ask(entry: Entry): Promise<void> {
    const { source } = entry;
    try {
      const { series, reason } = read(await source.publishedPrices(), source.unit());
      if (series !== null) entry.series = series;
      this.#say(entry, reason);
    } catch (error) {
      this.#say(entry, String(error));
    } finally {
      if (this.#isOpen) {
        const pauseSeconds = this.#pauseSeconds(entry.series);
        entry.timer = setTimeout(() => this.#askSoon(entry), pauseSeconds * 1_000).unref();
        this.#changed(source.name, this.#present(entry));
      }
    }
  }

  #pauseSeconds(series: PriceSeries | null): number {
    const now = this.#nowSeconds();
    const [step] = series === null ? [] : stepsFrom(series, now);
    const endsIn = step === undefined ? PAUSE_MIN_SECONDS : step.endSeconds - now;
    return Math.min(PAUSE_MAX_SECONDS, Math.max(PAUSE_MIN_SECONDS, endsIn));
  }

  /** Once for each reason. */
  #say(entry: Entry, reason: string): void {
    if (reason !== "" && reason !== entry.reason) {
      this.#note("warn", "a seller's prices ahead are not known", { seller: entry.source.name, reason });
    }
    entry.reason = reason;
  }
}

function read(found: unknown, unit: string | null): ReturnType<typeof readPriceSeries> {
  if (found === null) return { series: null, reason: "" };
  const heard = readPriceSeries(found);
  if (heard.series === null || unit === null || heard.series.unit === unit) return heard;
  const reason = `price series: unit: expected ${unit}, as its tariff has, found ${heard.series.unit}`;
  return { series: null, reason };
}
