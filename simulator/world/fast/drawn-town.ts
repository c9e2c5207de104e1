/**
 * A town whose poles are drawn one by one from a seed: as many as wanted, and none has to be remembered.
 *
 * Promise: a light's pole follows from seed and number alone.
 */
import { seededRandom } from "../../city/random.ts";
import { EPOCH_SECONDS, spanMs } from "../engine/calendar.ts";
import { Faults } from "../engine/faults.ts";
import { drawPole, PRICE } from "../surroundings/simulated-site.ts";
import type { Town } from "./fast-city.ts";

const NO_FAULTS = new Faults("none", () => 0);

/** @param nights at least 1 */
export function drawnTown(seed: number, nights: number): Town {
  return {
    epochSeconds: EPOCH_SECONDS,
    endMs: spanMs(nights),
    prices: [{ fromMs: 0, pricePerMillionUnits: PRICE }],
    poleAt(index) {
      const random = seededRandom((Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) >>> 0);
      return drawPole(random, NO_FAULTS);
    },
  };
}
