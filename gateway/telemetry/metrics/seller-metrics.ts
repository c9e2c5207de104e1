/**
 * Metrics of the sellers, by the configuration's names.
 *
 * Promise: as many series as the configuration has sellers.
 */
import { isSelling } from "../../sellers/seller-health.ts";
import type { SellerStatus } from "../../sellers/seller-status.ts";
import type { Scrape } from "./scrape.ts";

export function registerSellers(scrape: Scrape, sellers: () => readonly SellerStatus[]): void {
  scrape.gauges(
    "watt402_seller_up",
    "1 while a seller takes payments, as far as is known; by the configuration's name",
    ["seller"],
    () => sellers().map(({ name, standing }) => [{ seller: name }, isSelling(standing) ? 1 : 0]),
  );
  scrape.gauges(
    "watt402_seller_price_atomic_per_million_units",
    "A seller's tariff, atomic units per million metered units; absent before its first answer",
    ["seller"],
    () =>
      sellers().flatMap(({ name, pricePerMillionUnits: price }) =>
        price === null ? [] : [[{ seller: name }, price]],
      ),
  );
  scrape.gauges(
    "watt402_seller_calls_waiting",
    "Calls to a seller that are under way or wait for a connection",
    ["seller"],
    () => sellers().map(({ name, underWay, waiting }) => [{ seller: name }, underWay + waiting]),
  );
  scrape.totals(
    "watt402_seller_calls_total",
    "Calls to a seller: answered, failed, or refused because it is to be left alone or too slow",
    ["seller", "outcome"],
    () =>
      sellers().flatMap(({ name, answered, failed, refused }) =>
        Object.entries({ answered, failed, refused }).map(
          ([outcome, calls]) => [{ seller: name, outcome }, calls] as const,
        ),
      ),
  );
}
