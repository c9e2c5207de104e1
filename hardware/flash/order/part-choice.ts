/**
 * A meter or a lamp as an installer names it: `sdm120,slave=2` or `led,gpio=17`.
 *
 * Promise: names and keys are those of the drivers' own tables, checked by the drivers; a value has the
 * type that its key's table asks for.
 */

import type { z } from "zod";
import { Watt402Error } from "#payment/watt402-error";
import { LAMP_KINDS, readLampSettings } from "../../lamps/settings.ts";
import { openRegisterMap, shippedMaps } from "../../meters/modbus/map-table.ts";
import { METER_KINDS, readMeterSettings } from "../../meters/settings.ts";
import { MAP_PLACE, type OwnMap } from "./own-map.ts";

/** A driver's table of device.toml. */
export type DriverTable = Readonly<Record<string, string | number | boolean>>;

export interface LampChoice {
  readonly table: DriverTable;
  /** The header's GPIO of the relay that overlay gpio-led drives; null when no relay hangs on one. */
  readonly relayGpio: number | null;
  /** A relay that closes when its input is low. */
  readonly activeLow: boolean;
}

type Schema = z.ZodObject;

/** Where a meter on RS-485 is found when nothing is said: the first USB adapter. */
const RS485_PORT = "/dev/ttyUSB0";

/** The UART on the header's GPIO 14 and 15, with the boot lines that `boot-lines.ts` writes. */
const HEADER_UART = "/dev/ttyAMA0";

const RELAY_GPIO = 17;

/** LEDs whose names begin so may be switched by the service (60-watt402-device.rules). */
const LED_PREFIX = "lamp";
const HEADER_GPIO_MAX = 27;

function mapNames(): string[] {
  return shippedMaps().map(({ name }) => name);
}

/** Every name that a meter may have, kinds first. */
export function meterNames(): string[] {
  return [...Object.keys(METER_KINDS).filter((kind) => kind !== "modbus"), ...mapNames()];
}

export function lampNames(): string[] {
  return Object.keys(LAMP_KINDS);
}

/**
 * Throws with the drivers' own words, a fault a line.
 * @param own the map that travels with the card; null for a meter that is known here
 */
export function readMeterChoice(text: string, own: OwnMap | null): DriverTable {
  const { name, keys } = split(text);
  if (own !== null) return readOwnChoice(name, keys, own);
  const isKind = Object.hasOwn(METER_KINDS, name);
  if (!isKind && !mapNames().includes(name)) {
    throw new Watt402Error("config-invalid", `expected one of ${meterNames().join(", ")}, found "${name}"`);
  }
  const kind = (isKind ? name : "modbus") as keyof typeof METER_KINDS;
  const options = typed(METER_KINDS[kind] as Schema, keys);
  const table = { kind, ...(isKind ? {} : { map: name }), ...options };
  const full = { ...table, ...meterDefaults(kind, table) };
  const settings = readMeterSettings(full);
  if (settings.kind === "modbus") openRegisterMap(settings.map);
  return full;
}

function readOwnChoice(name: string, keys: Readonly<Record<string, string>>, own: OwnMap): DriverTable {
  if (name !== own.name) {
    throw new Watt402Error(
      "config-invalid",
      `expected "${own.name}", as the map calls its meter, found "${name}"; or leave map out`,
    );
  }
  const options = typed(METER_KINDS.modbus as Schema, keys);
  const table = { kind: "modbus", slave: own.slave, ...options, map: MAP_PLACE };
  const full = { ...table, ...meterDefaults("modbus", table) };
  readMeterSettings(full);
  return full;
}

function meterDefaults(kind: string, table: DriverTable): DriverTable {
  const hasPort = ["serial", "tcp", "rtu_over_tcp"].some((key) => key in table);
  if (kind === "modbus" && !hasPort) return { serial: RS485_PORT };
  if (kind === "cse7766" && !hasPort) return { serial: HEADER_UART };
  // The kernel's driver would need a line of its own for each part and shunt; I2C needs none.
  if (kind.startsWith("ina") && !("via" in table)) return { via: "i2c" };
  return {};
}

/** Throws with the drivers' own words, a fault a line. */
export function readLampChoice(text: string): LampChoice {
  const { name, keys } = split(text);
  if (!Object.hasOwn(LAMP_KINDS, name)) {
    throw new Watt402Error("config-invalid", `expected one of ${lampNames().join(", ")}, found "${name}"`);
  }
  const kind = name as keyof typeof LAMP_KINDS;
  // A relay's pin is the overlay's business, not the driver's: it knows only the LED's label.
  const pinKey = kind === "led" ? "gpio" : "relay_gpio";
  const { [pinKey]: pin, active_low, ...others } = keys;
  const ownsActiveLow = "active_low" in (LAMP_KINDS[kind] as Schema).shape;
  const rest = ownsActiveLow && active_low !== undefined ? { ...others, active_low } : others;
  const table: DriverTable = { kind, ...typed(LAMP_KINDS[kind] as Schema, rest) };
  const full = kind === "dali" && !("serial" in table) ? { ...table, serial: HEADER_UART } : table;
  const settings = readLampSettings(full);
  const hasRelay =
    settings.kind === "led" || (settings.kind === "analog" && settings.relay_label !== undefined);
  const label = settings.kind === "led" ? settings.label : String(table.relay_label ?? LED_PREFIX);
  if (hasRelay && !label.startsWith(LED_PREFIX)) {
    throw new Watt402Error(
      "config-invalid",
      `label: expected one that begins with "${LED_PREFIX}", found "${label}"; udev opens no other`,
    );
  }
  if (!hasRelay && pin !== undefined)
    throw new Watt402Error("config-invalid", `${pinKey}: expected no such key; check its spelling`);
  if (!hasRelay && !ownsActiveLow && active_low !== undefined) {
    throw new Watt402Error("config-invalid", "active_low: expected no such key; check its spelling");
  }
  return {
    table: full,
    relayGpio: hasRelay ? headerGpio(pinKey, pin ?? String(RELAY_GPIO)) : null,
    activeLow: flag("active_low", active_low ?? "false"),
  };
}

function split(text: string): { readonly name: string; readonly keys: Readonly<Record<string, string>> } {
  const [name, ...pairs] = text.split(",").map((part) => part.trim());
  const keys = pairs.map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1)
      throw new Watt402Error("config-invalid", `expected key=value after the name, found "${pair}"`);
    return [pair.slice(0, at), pair.slice(at + 1)] as const;
  });
  return { name: name!, keys: Object.fromEntries(keys) };
}

function typed(schema: Schema, keys: Readonly<Record<string, string>>): DriverTable {
  const entries = Object.entries(keys).map(([key, text]) => {
    const shape = schema.shape[key] as z.ZodType | undefined;
    const plain = scalar(text);
    const fits = shape === undefined || shape.safeParse(plain).success || !shape.safeParse(text).success;
    return [key, fits ? plain : text] as const;
  });
  return Object.fromEntries(entries);
}

function scalar(text: string): string | number | boolean {
  if (text === "true" || text === "false") return text === "true";
  if (/^0x[0-9a-fA-F]{1,8}$/.test(text)) return Number(text);
  return /^-?\d{1,15}(\.\d{1,9})?$/.test(text) ? Number(text) : text;
}

/** GPIO number of the 40-pin header: 2..27, as 0 and 1 belong to the board's own EEPROM bus. */
function headerGpio(key: string, text: string): number {
  const gpio = /^\d{1,2}$/.test(text) ? Number(text) : -1;
  if (gpio >= 2 && gpio <= HEADER_GPIO_MAX) return gpio;
  throw new Watt402Error(
    "config-invalid",
    `${key}: expected a GPIO of the header, 2..${HEADER_GPIO_MAX}, found "${text}"`,
  );
}

function flag(key: string, text: string): boolean {
  if (text === "true" || text === "false") return text === "true";
  throw new Watt402Error("config-invalid", `${key}: expected true or false, found "${text}"`);
}
