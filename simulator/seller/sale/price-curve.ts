/**
 * A tariff written down: its prices from a time on, as a curve, and as the series that a seller publishes.
 *
 * Promise: the curve has the tariff's price at each second of its window; one that would have too many steps ends sooner.
 */
import { cutTo, type PriceCurve, type PriceSeries, STEPS_MAX, stepsFrom } from "#market/price-series";
import type { Tariff } from "./tariff.ts";

/** A series reaches so far. */
const AHEAD_SECONDS = 48 * 3_600;

/** @param fromSeconds whole Unix seconds */
export function curveOf(tariff: Tariff, fromSeconds: number, untilSeconds: number): PriceCurve {
  const price: [number, number][] = [];
  let start = fromSeconds;
  while (start < untilSeconds && price.length < STEPS_MAX) {
    price.push([start, tariff.priceAt(start)]);
    start = Math.ceil(tariff.validUntilSeconds(start));
  }
  return { fromSeconds, untilSeconds: Math.min(start, untilSeconds), price };
}

/** What is asked from now on: as it is bound, where it is, then by the tariff. */
export function seriesOf(
  tariff: Tariff,
  unit: string,
  nowSeconds: number,
  bound: PriceCurve | null,
): PriceSeries {
  const fromSeconds = Math.floor(nowSeconds);
  const first = bound === null ? [] : stepsFrom(bound, fromSeconds);
  const boundUntil = first.at(-1)?.endSeconds ?? fromSeconds;
  const rest = curveOf(tariff, boundUntil, Math.max(boundUntil, fromSeconds + AHEAD_SECONDS));
  const known = first.map(({ startSeconds, pricePerMillionUnits }): [number, number] => [
    startSeconds,
    pricePerMillionUnits,
  ]);
  const price = [...known, ...rest.price];
  const { untilSeconds } = rest;
  return cutTo(STEPS_MAX, { unit, timeZone: tariff.timeZone ?? "UTC", fromSeconds, untilSeconds, price });
}
