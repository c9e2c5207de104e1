/**
 * A charge point with its car: real OCPP over a real WebSocket of this machine, on the fleet's clock.
 *
 * Promise: what bounds the flow is the device's own side of OCPP; the site tells only what was really delivered.
 */
import { readChargerSettings } from "#hardware/charger/settings";
import { type ChargingSite, openChargingSite, siteTable } from "../charging/charging-site.ts";
import { pick } from "../city/random.ts";
import { ELECTRICITY } from "../seller/sale/goods.ts";
import { DEFAULT_MENU } from "../seller/sale/tariff.ts";
import type { Profile, SimulatedLoad } from "./profile.ts";
import { PRICE_CEILING } from "./streetlight.ts";

const VERSIONS = ["1.6", "2.0.1", "2.1"] as const;

/** Three phases of 16 A. */
const MAX_MILLIWATTS = 11_040_000;

/** Charge points report by the tenth of a watt-hour at best; what is bought covers far more. */
const RESOLUTION_MILLIWATT_HOURS = 100;

/** A night of reports ten seconds apart would be mostly reports. */
const WORLD_REPORT_SECONDS = 60;

/** When the car comes, seconds after the site was opened, and how full it is. */
const PLUG_SECONDS = 1;
const CHARGED_MAX = 0.6;

export const EV_CHARGER: Profile = {
  name: "ev-charger",
  goods: ELECTRICITY,
  tariff: "flat:200000",
  // What 11 kW use in a quarter of a minute costs more than a lamp's largest quantum.
  menu: [...DEFAULT_MENU, 20_000, 50_000, 100_000],
  depositAtomic: 2_000_000,
  priceCeiling: PRICE_CEILING,
  typicalUnitsPerHour: MAX_MILLIWATTS,
  model: () => "simulated charge point, 11 kW",
  equip: () => ({
    lamp: {
      ratedMilliwatts: MAX_MILLIWATTS,
      startUpPermille: 1_000,
      startUpMs: 0,
      powerFactorPermille: 1_000,
    },
    meter: { name: "OCPP meter values", resolutionUnits: RESOLUTION_MILLIWATT_HOURS, rollOverAt: 0 },
    meterInitial: 0,
    almanac: { plan: () => [] },
  }),
  load: null,
  charger: readChargerSettings(siteTable("CP-0", { report_seconds: WORLD_REPORT_SECONDS })),
  async open(site, clock, onWait) {
    const opened = await openChargingSite({
      clock,
      random: site.random,
      version: pick(VERSIONS, site.random),
      stays: [
        {
          plugSeconds: PLUG_SECONDS,
          leaveSeconds: Number.POSITIVE_INFINITY,
          charged: CHARGED_MAX * site.random(),
        },
      ],
      onWait,
    });
    return loadOf(opened);
  },
};

function loadOf({ meter, load, truth, close, ...own }: ChargingSite): SimulatedLoad {
  const deliveredUnits = () => truth.deliveredMilliwattHours();
  return {
    set: (levelPercent) => load.set(levelPercent),
    ...(load.onTrouble === undefined ? {} : { onTrouble: (take) => load.onTrouble?.(take) }),
    read: (done) => meter.read(done),
    deliveredUnits,
    meteredUnits: deliveredUnits,
    // A cable around a charge point's meter is no car's to lay.
    bypass: () => {},
    close,
    own,
  };
}
