/**
 * A board's meter and lamp as an installer names them: `pulse,pin=D18,impulses=1000` or `relay,pin=D5`.
 *
 * Promise: what is checked here is what the bundle reads; a pin is one that the board has.
 */
import { Watt402Error } from "#payment/watt402-error";
import type { BoardKind } from "../../espruino/build/boards.ts";
import type { BoardLamp, BoardMeter } from "../../espruino/parts.ts";

interface Keys {
  readonly name: string;
  pin(key: string, fallback?: string): string;
  number(key: string, fallback: number | null, min: number, max: number): number;
  word(key: string, allowed: readonly string[], fallback: string): string;
  /** Throws on unknown keys. */
  end(): void;
}

export const BOARD_METERS = ["simulated", "pulse", "hlw8012", "cse7766", "ina219", "ina226"];
export const BOARD_LAMPS = ["simulated", "relay", "pwm"];

/** Throws one line that says what was expected and found. */
export function readBoardMeter(text: string, board: BoardKind): BoardMeter {
  const keys = keysOf("--meter", text, board);
  const meter = meterOf(keys, board);
  keys.end();
  return meter;
}

function meterOf(keys: Keys, { title, serialPorts }: BoardKind): BoardMeter {
  switch (keys.name) {
    case "simulated":
      return { kind: "simulated" };
    case "pulse":
      return {
        kind: "pulse",
        pin: keys.pin("pin"),
        impulsesPerKilowattHour: keys.number("impulses", null, 1, 1e6),
        debounceMs: keys.number("debounce_ms", 5, 0, 1000),
      };
    case "hlw8012":
      return {
        kind: "hlw8012",
        cfPin: keys.pin("cf"),
        milliwattsPerHertz: keys.number("milliwatts_per_hertz", null, 0.1, 1e6),
      };
    case "cse7766": {
      if (serialPorts.length === 0) {
        throw new Watt402Error(
          "config-invalid",
          `--meter: expected a meter without a serial port, found cse7766: Wi-Fi and console of ${title} have both`,
        );
      }
      const serial = keys.word("serial", serialPorts, "Serial2") as "Serial1" | "Serial2";
      return {
        kind: "cse7766",
        serial,
        rxPin: keys.pin("rx"),
        calibration: keys.number("calibration", 1, 0.5, 2),
      };
    }
    case "ina219":
    case "ina226":
      return {
        kind: keys.name,
        sdaPin: keys.pin("sda"),
        sclPin: keys.pin("scl"),
        address: keys.number("address", 0x40, 0x40, 0x4f),
        shuntMicroohms: keys.number("shunt_microohms", 100_000, 10, 1e7),
        currentMaxMilliamps: keys.number("current_max_milliamps", 3200, 1, 1e6),
        sampleMs: keys.number("sample_ms", 500, 100, 10_000),
      };
    default:
      throw new Watt402Error(
        "config-invalid",
        `--meter: expected one of ${BOARD_METERS.join(", ")}, found "${keys.name}"`,
      );
  }
}

/** Throws one line that says what was expected and found. */
export function readBoardLamp(text: string, board: BoardKind): BoardLamp {
  const keys = keysOf("--lamp", text, board);
  const lamp = lampOf(keys);
  keys.end();
  return lamp;
}

function lampOf(keys: Keys): BoardLamp {
  switch (keys.name) {
    case "simulated":
      return { kind: "simulated" };
    case "relay":
      return {
        kind: "relay",
        pin: keys.pin("pin"),
        activeLow: keys.word("active_low", ["true", "false"], "false") === "true",
      };
    case "pwm":
      return {
        kind: "pwm",
        pin: keys.pin("pin"),
        hertz: keys.number("hertz", 1000, 50, 20_000),
        relayPin: keys.pin("relay", ""),
      };
    default:
      throw new Watt402Error(
        "config-invalid",
        `--lamp: expected one of ${BOARD_LAMPS.join(", ")}, found "${keys.name}"`,
      );
  }
}

function keysOf(option: string, text: string, board: BoardKind): Keys {
  const [name, ...pairs] = text.split(",").map((part) => part.trim());
  const values = new Map<string, string>();
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    if (at < 1)
      throw new Watt402Error(
        "config-invalid",
        `${option}: expected key=value after the name, found "${pair}"`,
      );
    values.set(pair.slice(0, at), pair.slice(at + 1));
  }
  const take = (key: string): string | undefined => {
    const value = values.get(key);
    values.delete(key);
    return value;
  };
  return {
    name: name!,
    pin(key, fallback) {
      const value = take(key) ?? fallback;
      if (value === fallback && fallback !== undefined) return fallback;
      if (value !== undefined && board.pin.test(value)) return value;
      throw new Watt402Error(
        "config-invalid",
        `${option}: ${key}: expected a pin of ${board.title}, found ${value ?? "none"}`,
      );
    },
    number(key, fallback, min, max) {
      const value = take(key);
      if (value === undefined && fallback !== null) return fallback;
      const found = value === undefined || value === "" ? Number.NaN : Number(value);
      if (found >= min && found <= max) return found;
      throw new Watt402Error(
        "config-invalid",
        `${option}: ${key}: expected a number in ${min}..${max}, found ${value ?? "none"}`,
      );
    },
    word(key, allowed, fallback) {
      const value = take(key) ?? fallback;
      if (allowed.includes(value)) return value;
      throw new Watt402Error(
        "config-invalid",
        `${option}: ${key}: expected ${allowed.join(" or ")}, found ${value}`,
      );
    },
    end() {
      const [unknown] = values.keys();
      if (unknown !== undefined)
        throw new Watt402Error(
          "config-invalid",
          `${option}: ${unknown}: expected no such key; check its spelling`,
        );
    },
  };
}
