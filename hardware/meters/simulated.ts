/**
 * A meter that is not there: it shows what a simulated lamp drew.
 *
 * Promise: its counter is whole milliwatt-hours and never falls while the process lives; like a real
 * volatile one it begins at zero again after a restart.
 */
import type { Meter } from "#core/ports";
import type { SimulatedLamp } from "../lamps/simulated.ts";

export function simulatedMeter(lamp: SimulatedLamp): Meter {
  return {
    read: (done) =>
      done({
        raw: Math.floor(lamp.energyMilliwattHours()),
        powerMilliwatts: Math.round(lamp.powerMilliwatts()),
      }),
  };
}
