/**
 * The meter and the load that a configuration names: a lamp behind its meter, or a charge point that is both.
 *
 * Promise: a light without named hardware gets the simulated pair; a table with a fault in it is refused
 * before anything is touched.
 */
import { dirname } from "node:path";
import type { Clock } from "#core/ports";
import type { DeviceConfig } from "#node/config/device-config";
import { shown } from "#node/config/shown";
import { Watt402Error } from "#payment/watt402-error";
import { type OpenedCharger, openCharger } from "../charger/open-charger.ts";
import type { Load } from "../lamps/lamp-driver.ts";
import { type LampContext, type OpenedLamp, openLamp } from "../lamps/open-lamp.ts";
import { openSysfs } from "../lamps/pwm/sysfs.ts";
import type { SimulatedLamp } from "../lamps/simulated-lamp.ts";
import { type MeterContext, type MeterDriver, openMeter } from "../meters/open-meter.ts";

export interface Parts {
  readonly meter: MeterDriver;
  readonly lamp: Load;
  /** Null where the load is a lamp. */
  readonly charger: OpenedCharger | null;
}

/** Throws one line for each fault of the tables. A charger listens only when it is told to. */
export function openParts(config: DeviceConfig, clock: Clock): Parts {
  const table = chargerTable(config);
  if (table !== null) {
    const stateDirectory = dirname(config.journalFile);
    const opened = openCharger(table, { clock, wantedUnits: config.wantedUnits, stateDirectory });
    return { meter: opened.charger.meter, lamp: opened.charger.load, charger: opened };
  }
  const { lamp, simulated } = openLampOf(config, clock);
  const meter = openMeter(config.meterDriver, meterContext(config, clock, simulated));
  return { lamp, meter, charger: null };
}

/** The table of the charge point that is meter and load; null for a lamp. @throws one line for each fault */
export function chargerTable(config: DeviceConfig): DeviceConfig["charger"] {
  const { charger, meterDriver, lampDriver, settings, unit } = config;
  const kinds = [meterDriver?.kind, lampDriver?.kind];
  if (charger === null && !kinds.includes("ocpp")) return null;
  const faults = [
    ...(charger === null ? ['charger: expected a table beside kind = "ocpp", found none'] : []),
    ...["meter.driver.kind", "lamp.driver.kind"].flatMap((key, at) =>
      kinds[at] === "ocpp" ? [] : [`${key}: expected "ocpp" beside [charger], found ${shown(kinds[at])}`],
    ),
    ...(unit === "mWh" ? [] : [`meter.unit: expected "mWh" of a charge point, found ${shown(unit)}`]),
    ...(settings.policy.unpaid.kind === "off"
      ? []
      : [`policy.unpaid: expected "off" beside [charger], found ${shown(settings.policy.unpaid.kind)}`]),
  ];
  if (faults.length > 0) throw new Watt402Error("config-invalid", faults.join("\n"));
  return charger;
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
