/**
 * `watt402/seller`: the electricity API inside another program.
 *
 * Promise: it answers once a charge is on disk, and `stop()` claims and settles what it charged.
 */
export { flatTariff, type Quote, seriesTariff, type Tariff, timeOfUseTariff } from "./sale/tariff.ts";
export {
  startUtility as startSeller,
  type Utility as Seller,
  type UtilityOptions as SellerOptions,
} from "./seller.ts";
