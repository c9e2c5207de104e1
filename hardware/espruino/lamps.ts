/**
 * The lamp on a board's pins: a relay, or a dimmed output with or without one.
 *
 * Promise: dark means that the relay is open, and for a dimmer also that its output is at zero.
 */
import type { Lamp } from "#core/ports";
import { type BoardPin, pinNamed, pwm } from "./globals.ts";
import type { BoardLamp } from "./parts.ts";

/** @param shown told of every level, for a simulated meter */
export function boardLamp(settings: BoardLamp, shown: (levelPercent: number) => void): Lamp {
  const set = setterOf(settings);
  return {
    set(levelPercent) {
      set(levelPercent);
      shown(levelPercent);
    },
  };
}

function setterOf(settings: BoardLamp): (levelPercent: number) => void {
  if (settings.kind === "simulated") return () => {};
  if (settings.kind === "relay") {
    const pin = outputNamed(settings.pin);
    return (levelPercent) => pin.write(levelPercent > 0 !== settings.activeLow);
  }
  const pin = outputNamed(settings.pin);
  const relay = settings.relayPin === "" ? null : outputNamed(settings.relayPin);
  const { hertz } = settings;
  return (levelPercent) => {
    pwm(pin, levelPercent / 100, hertz);
    if (relay !== null) relay.write(levelPercent > 0);
  };
}

function outputNamed(name: string): BoardPin {
  const pin = pinNamed(name);
  pin.mode("output");
  return pin;
}
