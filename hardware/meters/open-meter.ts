/**
 * From the `[meter.driver]` table of a device's configuration to the driver that it names.
 *
 * Promise: a table with a fault in it is refused whole, each fault named by its key, before anything is
 * opened; a look at a meter ends within its time, and says what was found or what to mend.
 */
import type { Reading } from "#core/events";
import type { MeterDriver, MeterSurroundings } from "./driver.ts";
import { type MeterSettings, readMeterSettings } from "./settings.ts";
import { simulatedMeter } from "./simulated.ts";

export type { MeterDriver, MeterSurroundings } from "./driver.ts";

/** The table as TOML gave it; null means simulated. */
export type MeterTable = Readonly<Record<string, unknown>> | null;

/** What a look at the meter found. */
export interface MeterProbe {
  /** What was looked for, and where. */
  readonly name: string;
  /** The reading; null when there was none to be metered. */
  readonly reading: Reading | null;
  /** One line each, for people: counter, power, voltage, current, frequency, resolution. */
  readonly found: readonly string[];
  /** What is wrong and how to mend it, in one line; null when all is well. */
  readonly trouble: string | null;
}

/** Longest look of `probeMeter`, milliseconds: slow meters send a frame a second. */
export const PROBE_MS = 6000;

const LOOK_AGAIN_MS = 250;

/** Opens the meter that the table names. Throws one line for each fault of the table. */
export function openMeter(table: MeterTable, surroundings: MeterSurroundings): MeterDriver {
  return openDriver(readMeterSettings(table ?? { kind: "simulated" }), surroundings);
}

function openDriver(settings: MeterSettings, surroundings: MeterSurroundings): MeterDriver {
  switch (settings.kind) {
    case "simulated": {
      if (surroundings.simulatedLamp !== null) return simulatedMeter(surroundings.simulatedLamp);
      throw new Error(
        'meter.driver.kind: expected the name of a real meter beside a real lamp, found "simulated"; ' +
          "name the meter, or simulate the lamp too",
      );
    }
    default:
      throw new Error(
        `meter.driver.kind: expected a kind that this version drives, found "${settings.kind}"`,
      );
  }
}

/**
 * Opens the meter, looks until it shows something good or PROBE_MS are over, and closes it again. It
 * counts nothing and stores nothing. Throws only for faults of the table.
 */
export async function probeMeter(table: MeterTable, surroundings: MeterSurroundings): Promise<MeterProbe> {
  const meter = openMeter(table, { ...surroundings, stateDirectory: null });
  const { clock } = surroundings;
  const untilMs = clock.nowMs() + PROBE_MS;
  try {
    for (;;) {
      const reading = await new Promise<Reading | null>((resolve) => meter.read(resolve));
      const quality = meter.quality();
      if (reading !== null && quality.kind === "good") {
        return { name: meter.name, reading, found: shown(reading), trouble: null };
      }
      if (clock.nowMs() + LOOK_AGAIN_MS > untilMs) {
        const trouble =
          quality.kind === "good" ? `${meter.name}: expected a reading, found none` : quality.reason;
        return { name: meter.name, reading: null, found: [], trouble };
      }
      await new Promise<void>((resolve) => clock.at(clock.nowMs() + LOOK_AGAIN_MS, resolve));
    }
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
