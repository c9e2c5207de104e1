/**
 * Prices ahead in the forms that home-energy software reads: evcc's tariff forecast, and the attributes of Home Assistant's
 * EPEX Spot sensors.
 *
 * Promise: times are ISO 8601 in UTC, prices are in whole tokens; of energy per kWh, of other units per million of them.
 */
import { type PriceStep, stepsFrom } from "#market/price-series";
import { PRICES_FOLDER } from "../broker/external/external.ts";
import type { MoneySection } from "../config/monitoring-section.ts";
import type { SellerPrices } from "../sellers/price-board.ts";

/** What a price is for. */
export function perUnits(unit: string): string {
  return unit === "mWh" ? "kWh" : `10^6 ${unit}`;
}

const iso = (seconds: number) => new Date(seconds * 1_000).toISOString();

/** Of whole tokens. */
function tokens({ pricePerMillionUnits }: PriceStep, { decimals }: MoneySection): number {
  return Number((pricePerMillionUnits / 10 ** decimals).toPrecision(12));
}

/** evcc: a custom tariff's forecast by HTTP. */
export function evccRates({ series }: SellerPrices, money: MoneySection) {
  return stepsFrom(series, series.fromSeconds).map((step) => ({
    start: iso(step.startSeconds),
    end: iso(step.endSeconds),
    value: tokens(step, money),
  }));
}

/** One retained message: the price now, and the series as the attribute `data`. */
export function priceMessage({ seller, series }: SellerPrices, money: MoneySection): string {
  const steps = stepsFrom(series, series.fromSeconds);
  return JSON.stringify({
    seller,
    unit: series.unit,
    per: perUnits(series.unit),
    currency: money.symbol,
    time_zone: series.timeZone,
    price: tokens(steps[0]!, money),
    data: steps.map((step) => ({
      start_time: iso(step.startSeconds),
      end_time: iso(step.endSeconds),
      price_per_kwh: tokens(step, money),
    })),
  });
}

/** Home Assistant's discovery of a seller's price: the state is the price now, the attribute `data` what is known ahead. */
export function priceDiscovery({ seller, series }: SellerPrices, money: MoneySection): string {
  return JSON.stringify({
    unique_id: `watt402_price_${seller}`,
    name: `Price of ${seller}`,
    origin: { name: "watt402-gateway" },
    state_topic: PRICES_FOLDER + seller,
    value_template: "{{ value_json.price }}",
    unit_of_measurement: `${money.symbol}/${perUnits(series.unit)}`,
    json_attributes_topic: PRICES_FOLDER + seller,
  });
}
