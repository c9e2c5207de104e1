/**
 * A town whose sites are drawn one by one from a seed: as many as wanted, and none has to be remembered.
 *
 * Promise: a light's site follows from seed and number alone.
 */
import { seededRandom } from "../../city/random.ts";
import { EPOCH_SECONDS, spanMs } from "../engine/calendar.ts";
import { Faults } from "../engine/faults.ts";
import { drawSite, PRICE } from "../surroundings/simulated-site.ts";
import type { Town } from "./fast-city.ts";

const NO_FAULTS = new Faults("none", () => 0);

/** @param nights at least 1 */
export function drawnTown(seed: number, nights: number): Town {
  return {
    epochSeconds: EPOCH_SECONDS,
    endMs: spanMs(nights),
    prices: [{ fromMs: 0, pricePerMillionUnits: PRICE }],
    siteAt(index) {
      const random = seededRandom((Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) >>> 0);
      return drawSite(random, NO_FAULTS);
    },
  };
}
