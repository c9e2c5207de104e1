/**
 * The meter on a board's pins, by its configuration.
 *
 * Promise: one that does not answer gives no reading, which the machine takes for consumption at full load.
 * Counters begin at zero with the board: what was used while it had no power is not counted.
 */
import type { Reading } from "#core/events";
import type { Meter } from "#core/ports";
import { energyMilliwattHours } from "#core/units";
import { CSE_FRESH_MS, CseCounter } from "./board-cse7766.ts";
import { InaIntegral } from "./board-ina2xx.ts";
import { PulseCounter } from "./board-pulses.ts";
import { every, i2c, pinNamed, serialNamed, timers, watch } from "./build/globals.ts";
import { type BoardMeter, otherPart } from "./parts.ts";

const MILLIWATT_HOURS_PER_KILOWATT_HOUR = 1e6;
const MILLIWATT_SECONDS_PER_MILLIWATT_HOUR = 3600;

/** What a simulated lamp draws now, milliwatts, as the lamp reports it. */
export interface SimulatedLoad {
  powerMilliwatts: number;
  energyMilliwattHours: number;
  sinceMs: number;
}

/** The load until now is added at its power so far. */
export function passLoad(load: SimulatedLoad, nowMs: number): void {
  load.energyMilliwattHours += energyMilliwattHours(load.powerMilliwatts, nowMs - load.sinceMs);
  load.sinceMs = nowMs;
}

/** A meter that speaks by itself is waited for so long, once, when the board starts, milliseconds. */
const SETTLE_MS = 1500;

/** One for each kind, so that a board's program holds the one that was ordered. */
export type MeterMaker = (settings: BoardMeter, nowMs: () => number, load: SimulatedLoad) => Meter;

export const simulatedMeter: MeterMaker = (_settings, nowMs, load) =>
  looking(() => {
    passLoad(load, nowMs());
    return { raw: Math.floor(load.energyMilliwattHours), powerMilliwatts: load.powerMilliwatts };
  });

export const pulseMeter: MeterMaker = (settings, nowMs) => {
  if (settings.kind !== "pulse") throw otherPart("meter", "pulse", settings.kind);
  const each = MILLIWATT_HOURS_PER_KILOWATT_HOUR / settings.impulsesPerKilowattHour;
  const options = { edge: "falling", debounce: settings.debounceMs, repeat: true };
  return edges(settings.pin, options, "input_pullup", each, nowMs);
};

export const hlwMeter: MeterMaker = (settings, nowMs) => {
  if (settings.kind !== "hlw8012") throw otherPart("meter", "hlw8012", settings.kind);
  const each = settings.milliwattsPerHertz / MILLIWATT_SECONDS_PER_MILLIWATT_HOUR;
  return edges(settings.cfPin, { edge: "rising", repeat: true }, "input", each, nowMs);
};

export const inaMeter: MeterMaker = (settings, nowMs) => {
  if (settings.kind !== "ina219" && settings.kind !== "ina226") {
    throw otherPart("meter", "ina219 or ina226", settings.kind);
  }
  const bus = i2c();
  bus.setup({ sda: pinNamed(settings.sdaPin), scl: pinNamed(settings.sclPin) });
  const integral = new InaIntegral(bus, settings, nowMs);
  integral.look();
  every(settings.sampleMs, () => integral.look());
  return looking(() => integral.reading());
};

export const cseMeter: MeterMaker = (settings, nowMs) => {
  if (settings.kind !== "cse7766") throw otherPart("meter", "cse7766", settings.kind);
  const counter = new CseCounter(settings.calibration, nowMs);
  const serial = serialNamed(settings.serial);
  let waiting: (() => void) | null = null;
  serial.setup(4800, { rx: pinNamed(settings.rxPin), parity: "even" });
  serial.on("data", (bytes) => {
    counter.take(bytes);
    if (waiting !== null && counter.heardAtMs > -Infinity) waiting();
  });
  const look = (): Reading | null => {
    if (nowMs() - counter.heardAtMs > CSE_FRESH_MS) return null;
    return { raw: Math.floor(counter.energyMilliwattHours), powerMilliwatts: counter.powerMilliwatts };
  };
  let isSettled = false;
  return {
    read(done) {
      if (isSettled || counter.heardAtMs > -Infinity) {
        done(look());
        return;
      }
      isSettled = true;
      waiting = () => {
        waiting = null;
        done(look());
      };
      timers.setTimeout(() => {
        if (waiting !== null) waiting();
      }, SETTLE_MS);
    },
  };
};

function edges(
  pinName: string,
  options: Readonly<Record<string, unknown>>,
  mode: string,
  milliwattHours: number,
  nowMs: () => number,
): Meter {
  const counter = new PulseCounter(milliwattHours, nowMs);
  const pin = pinNamed(pinName);
  pin.mode(mode);
  watch(pin, options, (seconds) => counter.edge(seconds));
  return looking(() => counter.reading());
}

function looking(look: () => Reading | null): Meter {
  return { read: (done) => done(look()) };
}
