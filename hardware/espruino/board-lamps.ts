/**
 * The lamp on a board's pins: a relay, or a dimmed output with or without one.
 *
 * Promise: dark means that the relay is open, and for a dimmer also that its output is at zero.
 */
import type { Lamp } from "#core/ports";
import { type BoardPin, pinNamed, pwm } from "./build/globals.ts";
import { type BoardLamp, otherPart } from "./parts.ts";

/** Sets a level, 0..100 per cent. */
type SetLevel = (levelPercent: number) => void;

/** One for each kind, so that a board's program holds the one that was ordered. */
export type LampMaker = (settings: BoardLamp) => SetLevel;

/** @param shown called with every level, for a simulated meter */
export function shownLamp(set: SetLevel, shown: SetLevel): Lamp {
  return {
    set(levelPercent) {
      set(levelPercent);
      shown(levelPercent);
    },
  };
}

export const simulatedLamp: LampMaker = () => () => {};

export const relayLamp: LampMaker = (settings) => {
  if (settings.kind !== "relay") throw otherPart("lamp", "relay", settings.kind);
  const pin = outputNamed(settings.pin);
  const { activeLow } = settings;
  return (levelPercent) => pin.write(levelPercent > 0 !== activeLow);
};

export const pwmLamp: LampMaker = (settings) => {
  if (settings.kind !== "pwm") throw otherPart("lamp", "pwm", settings.kind);
  const pin = outputNamed(settings.pin);
  const relay = settings.relayPin === "" ? null : outputNamed(settings.relayPin);
  const { hertz } = settings;
  return (levelPercent) => {
    pwm(pin, levelPercent / 100, hertz);
    if (relay !== null) relay.write(levelPercent > 0);
  };
};

function outputNamed(name: string): BoardPin {
  const pin = pinNamed(name);
  pin.mode("output");
  return pin;
}
