/**
 * The meter and the lamp that a configuration names.
 *
 * Promise: a light without named hardware gets the simulated pair; a name that no driver answers to is
 * an error that lists those that do.
 */
import type { Clock, Lamp, Meter } from "#core/ports";
import type { DeviceConfig } from "#node/config";
import { simulatedLamp } from "../lamps/simulated.ts";
import { simulatedMeter } from "../meters/simulated.ts";

export interface Parts {
  readonly meter: Meter;
  readonly lamp: Lamp;
  /** What the device says its meter is. */
  readonly meterName: string;
}

/** Throws when the configuration names hardware that there is no driver for. */
export function openParts(config: DeviceConfig, clock: Clock): Parts {
  expectSimulated("meter.driver", config.meterDriver);
  expectSimulated("lamp.driver", config.lampDriver);
  const lamp = simulatedLamp(config.settings.ratedMilliwatts, clock);
  return { lamp, meter: simulatedMeter(lamp), meterName: "simulated" };
}

function expectSimulated(path: string, driver: Readonly<Record<string, unknown>> | null): void {
  if (driver === null) return;
  if (driver.kind !== "simulated") {
    throw new Error(`${path}.kind: expected "simulated", found ${JSON.stringify(driver.kind)}`);
  }
  const extra = Object.keys(driver).find((name) => name !== "kind");
  if (extra !== undefined) throw new Error(`${path}.${extra}: expected no such key; "simulated" has none`);
}
