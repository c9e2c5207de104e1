/**
 * From the `[meter.driver]` table of a device's configuration to the driver that it names.
 *
 * Promise: a table with a fault in it is refused whole, each fault named by its key, before anything is
 * opened; a look at a meter ends within its time, and says what was found or what to mend.
 */

import type { Reading } from "#core/events";
import { Watt402Error } from "#payment/watt402-error";
import { ade7953Meter } from "./chips/ade7953.ts";
import { cse7766Meter } from "./chips/cse7766.ts";
import { hwmonMeter } from "./chips/hwmon.ts";
import { inaMeter } from "./chips/ina2xx.ts";
import type { MeterContext, MeterDriver } from "./meter-driver.ts";
import type { LineSettings } from "./modbus/line.ts";
import { openRegisterMap } from "./modbus/map-table.ts";
import { modbusMeter } from "./modbus/modbus-meter.ts";
import type { RegisterMap } from "./modbus/register-map.ts";
import { hlwMeter } from "./pulse/hlw8012.ts";
import { pulseMeter } from "./pulse/pulse-meter.ts";
import { type MeterSettings, readMeterSettings } from "./settings.ts";
import { simulatedMeter } from "./simulated-meter.ts";

export type { MeterContext, MeterDriver } from "./meter-driver.ts";

/** The table as TOML gave it; null means simulated. */
type MeterTable = Readonly<Record<string, unknown>> | null;

/** What a look at the meter found. */
export interface MeterProbe {
  /** What was looked for, and where. */
  readonly name: string;
  readonly location: string;
  /** The reading; null when there was none to be metered. */
  readonly reading: Reading | null;
  /** One line each, for people: counter, power, voltage, current, frequency, resolution. */
  readonly found: readonly string[];
  /** What is wrong and how to mend it, in one line; null when all is well. */
  readonly trouble: string | null;
}

type SettingsOf<Kind extends MeterSettings["kind"]> = Extract<MeterSettings, { readonly kind: Kind }>;

/** Opens the meter that the table names. Throws one line for each fault of the table. */
export function openMeter(table: MeterTable, context: MeterContext): MeterDriver {
  return openDriver(readMeterSettings(table ?? { kind: "simulated" }), context);
}

function openDriver(settings: MeterSettings, context: MeterContext): MeterDriver {
  switch (settings.kind) {
    case "simulated": {
      if (context.simulatedLamp !== null) return simulatedMeter(context.simulatedLamp);
      throw new Watt402Error(
        "config-invalid",
        'meter.driver.kind: expected the name of a real meter beside a real lamp, found "simulated"; ' +
          "name the meter, or simulate the lamp too",
      );
    }
    case "modbus":
      return openModbus(settings, context);
    case "ina219":
    case "ina226":
    case "ina228":
      return openIna(settings, context);
    case "pulse":
      return pulseMeter(
        {
          chip: settings.chip,
          line: settings.line,
          impulsesPerKilowattHour: settings.impulses_per_kilowatt_hour,
          debounceMilliseconds: settings.debounce_ms,
        },
        context,
      );
    case "cse7766":
      return cse7766Meter(settings, context);
    case "hlw8012":
    case "bl0937":
      return hlwMeter(
        {
          part: settings.kind,
          chip: settings.chip,
          cfLine: settings.cf_line,
          cf1Line: settings.cf1_line ?? null,
          selLine: settings.sel_line ?? null,
          shuntMicroohms: settings.shunt_microohms,
          voltageDivider: settings.voltage_divider,
          calibration: settings.calibration,
        },
        context,
      );
    case "ade7953":
      return ade7953Meter(
        {
          bus: settings.i2c_bus,
          address: settings.address,
          stepsPerVolt: settings.steps_per_volt,
          stepsPerAmp: settings.steps_per_amp,
          stepsPerWatt: settings.steps_per_watt,
          stepsPerWattHour: settings.steps_per_watt_hour,
          sampleMs: settings.sample_ms,
        },
        context,
      );
  }
}

function openIna(settings: SettingsOf<"ina219" | "ina226" | "ina228">, context: MeterContext): MeterDriver {
  const {
    kind: chip,
    i2c_bus: bus,
    address,
    sample_ms: sampleMs,
    shunt_microohms,
    current_max_milliamps,
  } = settings;
  if (settings.via === "i2c") {
    const shuntMicroohms = shunt_microohms!;
    const currentMaxMilliamps = current_max_milliamps!;
    return inaMeter({ chip, bus, address, shuntMicroohms, currentMaxMilliamps, sampleMs }, context);
  }
  return hwmonMeter({ chip, bus, address, shuntMicroohms: shunt_microohms ?? null, sampleMs }, context);
}

function openModbus(
  settings: SettingsOf<"modbus">,
  { clock, powerMaxMilliwatts }: MeterContext,
): MeterDriver {
  const map = openRegisterMap(settings.map);
  const { slave, timeout_ms: timeoutMs } = settings;
  return modbusMeter({ map, slave, timeoutMs, powerMaxMilliwatts, line: lineOf(settings, map) }, clock);
}

function lineOf(settings: SettingsOf<"modbus">, { serial: format }: RegisterMap): LineSettings {
  const { serial, tcp, rtu_over_tcp } = settings;
  if (serial !== undefined) {
    const { baud = format.baud, parity = format.parity, stop_bits = format.stopBits } = settings;
    return { kind: "serial", path: serial, format: { baud, parity, stopBits: stop_bits === 2 ? 2 : 1 } };
  }
  const [, host, port] = /^\[?(.+?)\]?:(\d+)$/.exec(tcp ?? rtu_over_tcp ?? "") ?? [];
  return { kind: tcp === undefined ? "rtu-over-tcp" : "tcp", host: host!, port: Number(port) };
}

/**
 * Opens the meter, looks once, which waits as long as that part may take, and closes it again. It counts
 * nothing and stores nothing. Throws only for faults of the table.
 */
export async function probeMeter(table: MeterTable, context: MeterContext): Promise<MeterProbe> {
  const meter = openMeter(table, { ...context, stateDirectory: null });
  const { name, location } = meter;
  try {
    const reading = await new Promise<Reading | null>((resolve) => meter.read(resolve));
    const quality = reading?.quality ?? meter.quality();
    if (reading !== null && quality.kind === "good") {
      return { name, location, reading, found: [...shown(reading), ...meter.notes()], trouble: null };
    }
    const seen =
      quality.kind === "good" ? `${name}, ${location}: expected a reading, found none` : quality.reason;
    const instead = (await meter.search?.()) ?? null;
    const trouble = instead === null ? seen : `${seen}; ${instead}`;
    return { name, location, reading: null, found: [], trouble };
  } finally {
    await meter.close();
  }
}

function shown(reading: Reading): string[] {
  const { raw, powerMilliwatts, voltageMillivolts, currentMilliamps, frequencyMillihertz } = reading;
  return [
    `counter ${raw} mWh`,
    `power ${powerMilliwatts / 1000} W`,
    ...(voltageMillivolts === undefined ? [] : [`voltage ${voltageMillivolts / 1000} V`]),
    ...(currentMilliamps === undefined ? [] : [`current ${currentMilliamps / 1000} A`]),
    ...(frequencyMillihertz === undefined ? [] : [`frequency ${frequencyMillihertz / 1000} Hz`]),
  ];
}
