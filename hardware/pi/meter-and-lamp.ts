/**
 * The meter and the lamp that a configuration names.
 *
 * Promise: a light without named hardware gets the simulated pair; a table with a fault in it is refused
 * before anything is touched.
 */
import { dirname } from "node:path";
import type { Clock } from "#core/ports";
import type { DeviceConfig } from "#node/config/device-config";
import { type LampContext, type OpenedLamp, openLamp } from "../lamps/open-lamp.ts";
import { openSysfs } from "../lamps/pwm/sysfs.ts";
import type { SimulatedLamp } from "../lamps/simulated-lamp.ts";
import type { SteadyLamp } from "../lamps/steady-lamp.ts";
import { type MeterContext, type MeterDriver, openMeter } from "../meters/open-meter.ts";

export interface Parts {
  readonly meter: MeterDriver;
  readonly lamp: SteadyLamp;
}

/** Throws one line for each fault of the tables. */
export function openParts(config: DeviceConfig, clock: Clock): Parts {
  const { lamp, simulated } = openLampOf(config, clock);
  return { lamp, meter: openMeter(config.meterDriver, meterContext(config, clock, simulated)) };
}

/** The lamp alone, for who must make it safe and needs no more. */
export function openLampOf(config: DeviceConfig, clock: Clock): OpenedLamp {
  return openLamp(config.lampDriver, lampContext(config, clock), Math.random);
}

export function lampContext(config: DeviceConfig, clock: Clock): LampContext {
  return { clock, ratedMilliwatts: config.settings.ratedMilliwatts, sysfs: openSysfs(config.sysfsRoot) };
}

export function meterContext(
  config: DeviceConfig,
  clock: Clock,
  simulatedLamp: SimulatedLamp | null,
): MeterContext {
  return {
    clock,
    powerMaxMilliwatts: config.settings.meter.powerMaxMilliwatts,
    stateDirectory: dirname(config.journalFile),
    sysfsRoot: config.sysfsRoot,
    simulatedLamp,
  };
}
