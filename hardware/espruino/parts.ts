/**
 * Meters and lamps of a board, as its configuration names them.
 *
 * Promise: shapes and what belongs to them, shared by the flashing tool that writes them and the bundle that
 * reads them.
 */
import type { BoardConfig } from "../../device/espruino/board-host.ts";

export type BoardMeter =
  /** What a lamp of that rating would use: a board on the bench. */
  | { readonly kind: "simulated" }
  /** S0 or open-collector output. */
  | {
      readonly kind: "pulse";
      readonly pin: string;
      readonly impulsesPerKilowattHour: number;
      readonly debounceMs: number;
    }
  /** HLW8012's or BL0937's CF output. */
  | { readonly kind: "hlw8012"; readonly cfPin: string; readonly milliwattsPerHertz: number }
  | {
      readonly kind: "cse7766";
      readonly serial: "Serial1" | "Serial2";
      readonly rxPin: string;
      readonly calibration: number;
    }
  | {
      readonly kind: "ina219" | "ina226";
      readonly sdaPin: string;
      readonly sclPin: string;
      readonly address: number;
      readonly shuntMicroohms: number;
      readonly currentMaxMilliamps: number;
      readonly sampleMs: number;
    };

export type BoardLamp =
  | { readonly kind: "simulated" }
  | { readonly kind: "relay"; readonly pin: string; readonly activeLow: boolean }
  | {
      readonly kind: "pwm";
      readonly pin: string;
      readonly hertz: number;
      /** Cuts what a dimmer at zero still lets through; "" for none. */
      readonly relayPin: string;
    };

export type BoardNetwork =
  | { readonly kind: "none" }
  | { readonly kind: "wifi"; readonly ssid: string; readonly password: string };

/** The whole of the configuration's file. */
export interface BoardFile extends BoardConfig {
  readonly network: BoardNetwork;
  readonly meter: BoardMeter;
  readonly lamp: BoardLamp;
  /** The runtime's own flash pages. */
  readonly pages: { readonly address: number; readonly pageBytes: number; readonly count: number };
  /** 0 for none. */
  readonly watchdogSeconds: number;
}

/** Names in the board's file store; none is written by the board itself. */
export const FILES = {
  config: "w402.json",
  secrets: "w402.key",
  combTable: "w402.comb",
  rungs: "w402.rungs",
} as const;

/** Head of the file of rungs signed beforehand: channel id 32, base 6, quantum 6, count 2; then 65 bytes a rung. */
export const RUNGS_HEAD_BYTES = 46;
export const RUNG_BYTES = 65;

/** The program was made for another kind of meter or lamp than the configuration names. */
export function otherPart(part: string, made: string, found: string): Error {
  return new Error(`${part}: expected ${made}, for which the program was made, found ${found}: flash both`);
}
