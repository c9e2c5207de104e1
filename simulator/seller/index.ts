/**
 * `watt402/seller`: the electricity API inside another program.
 *
 * Promise: it answers once a charge is on disk, and `stop()` claims and settles what it charged. What can go
 * wrong on the way carries a code: `Watt402Error` of `watt402/payment`.
 */
export { facilitatorInProcess } from "./claims/facilitator.ts";
export { flatTariff, type Quote, seriesTariff, type Tariff, timeOfUseTariff } from "./sale/tariff.ts";
export {
  type SellerOptions,
  type SellerService as Seller,
  startSeller,
} from "./seller.ts";
