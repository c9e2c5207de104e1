/**
 * A car that buys road data by the second of a live stream, from the seller whose region it drives through.
 *
 * Promise: each seller of the map is one of its own, with a payee of its own; what one of them granted is good at that one.
 */
import { DataStream, SECONDS_PER_HOUR } from "./driving/data-stream.ts";
import { drawMap, type SellersMap } from "./driving/sellers-map.ts";
import type { Profile } from "./profile.ts";

/** The map of a run that brings none. */
export const DRAWN_MAP = { seed: 1, sellers: 5, tunnels: 10 } as const;

export function roadDataOn(map: SellersMap): Profile {
  return {
    name: "road-data",
    goods: {
      unit: "s",
      resources: [{ path: "/v1/road", description: "seconds of a live stream of road data" }],
    },
    sellers: map.sellers,
    // Ten atomic units a second, which is $0.036 an hour.
    tariff: "flat:10000000",
    priceCeiling: 200_000_000,
    typicalUnitsPerHour: SECONDS_PER_HOUR,
    model: () => "simulated car",
    equip: () => ({
      lamp: {
        ratedMilliwatts: SECONDS_PER_HOUR,
        startUpPermille: 1_000,
        startUpMs: 0,
        powerFactorPermille: 1_000,
      },
      meter: { name: "stream clock", resolutionUnits: 1, rollOverAt: 0 },
      meterInitial: 0,
      almanac: { plan: () => [{ minuteOfDay: 0, levelPercent: 100 }] },
    }),
    load: (site, draw, nowMs) => new DataStream(map, site, draw, nowMs),
  };
}

export const ROAD_DATA: Profile = roadDataOn(drawMap(DRAWN_MAP.seed, DRAWN_MAP.sellers, DRAWN_MAP.tunnels));
