/**
 * A scenario's price stages as part of the tariff.
 *
 * Promise: a seller that was given the composed tariff needs no other word of the scenario; the price is
 * never below the floor, whatever the factor.
 */
import { boundedPrice, type PricePoint, type Tariff } from "../seller/sale/tariff.ts";
import type { Scenario } from "./scenario.ts";

interface Spell {
  readonly fromSeconds: number;
  readonly untilSeconds: number;
  readonly factor: number;
}

export function hasPrices({ stages, surcharge }: Pick<Scenario, "stages" | "surcharge">): boolean {
  return surcharge > 0 || stages.some(({ action }) => action.kind === "price");
}

/**
 * The base tariff with the scenario's surcharge, times the factors of the price stages under way. An hour
 * below zero has become the floor before the surcharge comes on top of it.
 * @param epochSeconds when the evening begins
 */
export function pricedBy(
  base: Tariff,
  { stages, surcharge }: Pick<Scenario, "stages" | "surcharge">,
  epochSeconds: number,
): Tariff {
  const spells = stages.flatMap(({ startMs, durationMs, action }): Spell[] => {
    if (action.kind !== "price") return [];
    const fromSeconds = epochSeconds + startMs / 1000;
    return [{ fromSeconds, untilSeconds: fromSeconds + durationMs / 1000, factor: action.factor }];
  });
  const edges = spells.flatMap(({ fromSeconds, untilSeconds }) => [fromSeconds, untilSeconds]);
  return {
    timeZone: base.timeZone,
    priceAt(seconds) {
      const holding = spells.filter((spell) => spell.fromSeconds <= seconds && seconds < spell.untilSeconds);
      const factor = holding.reduce((product, spell) => product * spell.factor, 1);
      return boundedPrice((base.priceAt(seconds) + surcharge) * factor, "scenario's price");
    },
    validUntilSeconds(seconds) {
      const next = edges.filter((edge) => edge > seconds);
      return Math.min(base.validUntilSeconds(seconds), ...next.map(Math.ceil));
    },
  };
}

/** Every change of a tariff in a span of time, as a series. */
export function seriesOf(tariff: Tariff, fromSeconds: number, untilSeconds: number): PricePoint[] {
  const points: PricePoint[] = [];
  for (let at = fromSeconds; at < untilSeconds; at = tariff.validUntilSeconds(at)) {
    const pricePerMillionUnits = tariff.priceAt(at);
    if (points.at(-1)?.pricePerMillionUnits === pricePerMillionUnits) continue;
    points.push({ startSeconds: at, pricePerMillionUnits });
  }
  return points;
}

/** A series as tariffFromCsv reads it. */
export function csvOf(points: readonly PricePoint[]): string {
  const rows = points.map(
    ({ startSeconds, pricePerMillionUnits }) =>
      `${new Date(startSeconds * 1000).toISOString()},${pricePerMillionUnits}`,
  );
  return ["start,price", ...rows, ""].join("\n");
}
