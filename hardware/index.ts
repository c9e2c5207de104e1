/**
 * `watt402/hardware`: the meters, lamps and chargers of a place, as ports of a machine that another program hosts.
 *
 * Promise: a table of `device.toml` opens the same part here as in `watt402-device`.
 */
export {
  type ChargerContext,
  checkCharger,
  type OpenedCharger,
  openCharger,
} from "./charger/open-charger.ts";
export { type LampContext, openLamp } from "./lamps/open-lamp.ts";
export { openRegisterMap } from "./meters/modbus/map-table.ts";
export type { RegisterMap } from "./meters/modbus/register-map.ts";
export {
  type MeterContext,
  type MeterDriver,
  type MeterProbe,
  openMeter,
  probeMeter,
} from "./meters/open-meter.ts";
