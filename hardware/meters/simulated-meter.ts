/**
 * A meter that is not there: it shows what a simulated lamp drew.
 *
 * Promise: its counter is whole milliwatt-hours and never falls while the process lives; like a real
 * volatile one it begins at zero again after a restart.
 */
import type { SimulatedLamp } from "../lamps/simulated-lamp.ts";
import type { MeterDriver } from "./meter-driver.ts";

export function simulatedMeter(lamp: SimulatedLamp): MeterDriver {
  return {
    name: "simulated",
    location: "in this process",
    rollOverAt: 0,
    read: (done) =>
      done({
        raw: Math.floor(lamp.energyMilliwattHours()),
        powerMilliwatts: Math.round(lamp.powerMilliwatts()),
      }),
    quality: () => ({ kind: "good" }),
    notes: () => [],
    close: async () => {},
  };
}
