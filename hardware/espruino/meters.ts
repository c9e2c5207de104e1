/**
 * The meter on a board's pins, by its configuration.
 *
 * Promise: one that does not answer gives no reading, which the machine takes for consumption at full load.
 * Counters begin at zero with the board: what was used without its power, nobody counted.
 */
import type { Reading } from "#core/events";
import type { Meter } from "#core/ports";
import { energyMilliwattHours } from "#core/units";
import { CSE_FRESH_MS, CseCounter } from "./cse7766.ts";
import { every, i2c, pinNamed, serialNamed, timers, watch } from "./globals.ts";
import { InaIntegral } from "./ina2xx.ts";
import type { BoardMeter } from "./parts.ts";
import { PulseCounter } from "./pulses.ts";

const MILLIWATT_HOURS_PER_KILOWATT_HOUR = 1e6;
const MILLIWATT_SECONDS_PER_MILLIWATT_HOUR = 3600;

/** What a simulated lamp draws now, milliwatts, told by the lamp. */
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

export function boardMeter(settings: BoardMeter, nowMs: () => number, load: SimulatedLoad): Meter {
  if (settings.kind === "cse7766") return cseMeter(settings, nowMs);
  const look = lookOf(settings, nowMs, load);
  return { read: (done) => done(look()) };
}

function cseMeter(settings: Extract<BoardMeter, { kind: "cse7766" }>, nowMs: () => number): Meter {
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
}

function lookOf(
  settings: Exclude<BoardMeter, { kind: "cse7766" }>,
  nowMs: () => number,
  load: SimulatedLoad,
): () => Reading | null {
  switch (settings.kind) {
    case "simulated":
      return () => {
        passLoad(load, nowMs());
        return { raw: Math.floor(load.energyMilliwattHours), powerMilliwatts: load.powerMilliwatts };
      };
    case "pulse": {
      const each = MILLIWATT_HOURS_PER_KILOWATT_HOUR / settings.impulsesPerKilowattHour;
      return edges(
        settings.pin,
        { edge: "falling", debounce: settings.debounceMs },
        "input_pullup",
        each,
        nowMs,
      );
    }
    case "hlw8012": {
      const each = settings.milliwattsPerHertz / MILLIWATT_SECONDS_PER_MILLIWATT_HOUR;
      return edges(settings.cfPin, { edge: "rising" }, "input", each, nowMs);
    }
    default: {
      const bus = i2c();
      bus.setup({ sda: pinNamed(settings.sdaPin), scl: pinNamed(settings.sclPin) });
      const integral = new InaIntegral(bus, settings, nowMs);
      integral.look();
      every(settings.sampleMs, () => integral.look());
      return () => integral.reading();
    }
  }
}

function edges(
  pinName: string,
  options: Readonly<Record<string, unknown>>,
  mode: string,
  milliwattHours: number,
  nowMs: () => number,
): () => Reading {
  const counter = new PulseCounter(milliwattHours, nowMs);
  const pin = pinNamed(pinName);
  pin.mode(mode);
  watch(pin, { ...options, repeat: true }, (seconds) => counter.edge(seconds));
  return () => counter.reading();
}
