/** The profile that everything began with: a lamp on a pole, metered in mWh. */
import { LampModel } from "../city/lamp-model.ts";
import { ELECTRICITY } from "../seller/sale/goods.ts";
import type { Profile } from "./profile.ts";

/** Sixteen times today's dearest tariff by default: a light's owner refuses more. Atomic units per kWh. */
export const PRICE_CEILING = 4_000_000;

export const STREETLIGHT: Profile = {
  name: "streetlight",
  goods: ELECTRICITY,
  tariff: "flat:200000",
  priceCeiling: PRICE_CEILING,
  typicalUnitsPerHour: 60_000,
  model: ({ lamp }) => `simulated ${lamp.ratedMilliwatts / 1000} W`,
  equip: (lamp) => lamp,
  load: ({ lamp, meter, meterInitial }, _draw, nowMs) => new LampModel(lamp, meter, meterInitial, nowMs),
};
