/**
 * Prices over time, and the series that a seller publishes of what it will ask.
 *
 * Promise: what is read has a price for each second of its window and is bounded, so a series of strangers costs little to keep.
 * A series binds nobody: what is paid is the price of an offer or of signed terms (terms-of-sale.ts).
 */
import { z } from "zod";
import { PRICE_MAX } from "#core/units";

/** Two days by the minute. */
export const STEPS_MAX = 2_880;
const SECONDS_MAX = 4_294_967_295;
/** A seller says, or is bound to, its prices for at most this long. */
export const WINDOW_SECONDS_MAX = 7 * 86_400;

const seconds = z.int().min(0).max(SECONDS_MAX);

/** The members of a price curve. */
export const CURVE = {
  /** The price from a second on, atomic units per million units; each until the next, the last to the window's end. */
  price: z
    .array(z.tuple([seconds, z.int().min(1).max(PRICE_MAX)]))
    .min(1)
    .max(STEPS_MAX),
  /** The window, Unix seconds: from the first to before the last of them. */
  fromSeconds: seconds,
  untilSeconds: seconds,
};

export type PriceCurve = z.infer<z.ZodObject<typeof CURVE>>;

/** What keeps a curve from having one price at each second of its window. */
export function curveFaults({
  price,
  fromSeconds,
  untilSeconds,
}: PriceCurve): [path: string, text: string][] {
  const [first] = price;
  // Its own bounds say so.
  if (first === undefined) return [];
  const faults: [string, string][] = [];
  const length = untilSeconds - fromSeconds;
  if (length <= 0 || length > WINDOW_SECONDS_MAX)
    faults.push(["untilSeconds", `expected 1 to ${WINDOW_SECONDS_MAX} s after fromSeconds, found ${length}`]);
  if (first[0] > fromSeconds)
    faults.push(["price", `expected a price from ${fromSeconds} on, found the first from ${first[0]}`]);
  if (price.some(([start], at) => at > 0 && start <= price[at - 1]![0]))
    faults.push(["price", "expected rising seconds, found some that are not"]);
  return faults;
}

/** The price at a second, atomic units per million units; null outside the window. */
export function priceAt(curve: PriceCurve, atSeconds: number): number | null {
  if (atSeconds < curve.fromSeconds || atSeconds >= curve.untilSeconds) return null;
  return curve.price.findLast(([start]) => start <= atSeconds)![1];
}

/** Of a time and a price: from when until when it holds, within a window. */
export interface PriceStep {
  readonly startSeconds: number;
  readonly endSeconds: number;
  readonly pricePerMillionUnits: number;
}

/** The steps of a curve that end after a second, the one under way cut to begin there. */
export function stepsFrom({ price, fromSeconds, untilSeconds }: PriceCurve, atSeconds: number): PriceStep[] {
  const begin = Math.max(fromSeconds, atSeconds);
  return price
    .map(([start, pricePerMillionUnits], at) => ({
      startSeconds: Math.max(begin, start),
      endSeconds: Math.min(untilSeconds, price[at + 1]?.[0] ?? untilSeconds),
      pricePerMillionUnits,
    }))
    .filter(({ startSeconds, endSeconds }) => startSeconds < endSeconds);
}

const SERIES = z
  .object({
    unit: z.string().min(1).max(16),
    /** IANA name of the zone that the tariff is made in, for people. */
    timeZone: z.string().regex(/^[A-Za-z0-9_+\-/]{1,64}$/),
    ...CURVE,
  })
  .superRefine((series, context) => {
    for (const [path, message] of curveFaults(series))
      context.addIssue({ code: "custom", path: [path], message });
  });

/** What a seller asks from now on, as far as it knows. */
export type PriceSeries = z.infer<typeof SERIES>;

/** The same series, ended sooner where it has more steps. */
export function cutTo(stepsMax: number, series: PriceSeries): PriceSeries {
  const next = series.price[stepsMax];
  if (next === undefined) return series;
  return { ...series, untilSeconds: next[0], price: series.price.slice(0, stepsMax) };
}

/** A seller that can be asked for its prices. */
export interface PricePublisher {
  /** What it publishes, unread; null where it publishes nothing. Rejects when it cannot be asked. */
  publishedPrices(): Promise<unknown>;
}

/** A series, or one line that says what was expected of a stranger's. */
export function readPriceSeries(found: unknown): {
  readonly series: PriceSeries | null;
  readonly reason: string;
} {
  const read = SERIES.safeParse(found);
  if (read.success) return { series: read.data, reason: "" };
  const { path, message } = read.error.issues[0]!;
  const where = path.join(".").slice(0, 80) || "the document";
  return { series: null, reason: `price series: ${where}: ${message.slice(0, 200)}` };
}
