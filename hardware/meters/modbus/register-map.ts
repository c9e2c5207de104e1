/**
 * Register maps: what a Modbus meter keeps where, as a JSON file that an installer can write.
 *
 * Promise: a map that loads is whole: energy and power are there, nothing overlaps, every address can be
 * asked for, every unit is known. Otherwise one error names each fault, where it is and what to write.
 */

import { z } from "zod";
import { choice, faultsOf, integer, pattern, table, text } from "#node/config/config-shape";
import { faultText } from "#node/config/shown";
import { Watt402Error } from "#payment/watt402-error";

/** Registers of 16 bits that a value takes. */
export const TYPE_WORDS = {
  uint16: 1,
  int16: 1,
  uint32: 2,
  int32: 2,
  float32: 2,
  uint64: 4,
  float64: 4,
} as const;

/** What one step of a quantity's unit is in the port's unit: mWh, mW, mV, mA, mHz. */
export const UNITS = {
  energy: { mWh: 1, Wh: 1e3, kWh: 1e6, MWh: 1e9 },
  power: { mW: 1, W: 1e3, kW: 1e6 },
  voltage: { mV: 1, V: 1e3 },
  current: { mA: 1, A: 1e3 },
  frequency: { mHz: 1, Hz: 1e3 },
} as const;

export type Quantity = keyof typeof UNITS;
const QUANTITIES = Object.keys(UNITS) as Quantity[];

/** Most registers that Modbus carries in one answer (application protocol V1.1b3, section 6.4). */
const READ_MAX = 125;

const finite = z.number({ error: "a number" });

function register<Of extends Quantity>(quantity: Of) {
  return table({
    area: choice(["input", "holding"]),
    address: integer(0, 65_535),
    type: choice(Object.keys(TYPE_WORDS) as (keyof typeof TYPE_WORDS)[]),
    wordOrder: choice(["high-first", "low-first"]).default("high-first"),
    byteOrder: choice(["high-first", "low-first"]).default("high-first"),
    /** The register's number times this is in `unit`. */
    scale: finite.positive({ error: "a number above 0" }).default(1),
    unit: choice(Object.keys(UNITS[quantity])),
    /** Values outside are refused, in `unit`. */
    range: z.tuple([finite, finite], { error: "two numbers, lowest and highest" }),
  });
}

const REGISTERS = table({
  energy: register("energy").extend({
    /** Where the counter wraps to 0, in `unit`; 0 when it never does. */
    rollOverAt: finite.min(0, { error: "0 or more" }),
  }),
  power: register("power"),
  voltage: register("voltage").optional(),
  current: register("current").optional(),
  frequency: register("frequency").optional(),
});

const MAP = table({
  name: pattern(/^[a-z0-9][a-z0-9-]{0,31}$/, "a name of a-z, 0-9 and hyphens"),
  title: text(120),
  /** Where the numbers come from: the maker's document and its version. */
  source: text(200),
  serial: table({
    baud: integer(1200, 115_200),
    parity: choice(["none", "even", "odd"]),
    stopBits: integer(1, 2),
  }),
  /** Address that the meter has when it leaves the factory. */
  slave: integer(1, 247),
  /** Most registers that the meter answers at once. */
  readMax: integer(1, READ_MAX),
  /** Registers that were not asked for and that may be read along to spare a request. */
  gapMax: integer(0, READ_MAX),
  /** The meter answers only pairs of registers that begin at even addresses. */
  pairsOnly: z.boolean({ error: "true or false" }),
  registers: REGISTERS,
});

export type RegisterMap = z.output<typeof MAP>;
export type MapRegister = Omit<NonNullable<RegisterMap["registers"][Quantity]>, "rollOverAt">;

/** The registers that a map has, with their names. */
export function registersOf(
  map: RegisterMap,
): { readonly quantity: Quantity; readonly register: MapRegister }[] {
  return QUANTITIES.flatMap((quantity) => {
    const register = map.registers[quantity];
    return register === undefined ? [] : [{ quantity, register }];
  });
}

/** One unit of a register in the port's unit (mWh, mW, mV, mA, mHz). */
export function portUnits(quantity: Quantity, unit: string): number {
  return (UNITS[quantity] as Readonly<Record<string, number>>)[unit]!;
}

/** The JSON schema of map files, for editors. */
export function mapSchema(): unknown {
  return z.toJSONSchema(MAP, { io: "input" });
}

/**
 * Checks a map.
 * @param name what it is called in errors: its file, or its name
 * @throws one line for each fault
 */
export function readRegisterMap(value: unknown, name: string): RegisterMap {
  const prefix = `register map "${name}": `;
  const { data, error } = MAP.safeParse(value);
  if (data === undefined) throw new Watt402Error("file-invalid", faultText(faultsOf(error, value, prefix)));
  const faults = misplaced(data);
  if (faults.length > 0)
    throw new Watt402Error("file-invalid", faults.map((fault) => prefix + fault).join("\n"));
  return data;
}

/** What is wrong between registers, where each is right by itself. */
function misplaced(map: RegisterMap): string[] {
  const placed = registersOf(map).map(({ quantity, register }) => ({
    quantity,
    register,
    count: TYPE_WORDS[register.type],
    last: register.address + TYPE_WORDS[register.type] - 1,
  }));
  const faults = placed.flatMap(({ quantity, register, count, last }) => [
    ...(map.pairsOnly && register.address % 2 === 1
      ? [`${quantity}: address ${register.address} is odd; this meter answers only pairs at even addresses`]
      : []),
    ...(map.pairsOnly && count % 2 === 1
      ? [
          `${quantity}: type ${register.type} is one register; this meter answers only pairs, use a 32-bit type`,
        ]
      : []),
    ...(last > 65_535 ? [`${quantity}: expected its last register at most at 65535, found ${last}`] : []),
    ...(count > map.readMax ? [`${quantity}: ${count} registers are more than readMax ${map.readMax}`] : []),
    ...(register.range[0] < register.range[1]
      ? []
      : [
          `${quantity}.range: expected the lowest before the highest, found ${JSON.stringify(register.range)}`,
        ]),
  ]);
  for (const [index, left] of placed.entries()) {
    for (const right of placed.slice(index + 1)) {
      if (left.register.area !== right.register.area) continue;
      if (left.last < right.register.address || right.last < left.register.address) continue;
      faults.push(
        `${left.quantity} (${spanOf(left)}) and ${right.quantity} (${spanOf(right)}) overlap; ` +
          "correct the address or the type of one",
      );
    }
  }
  return faults;
}

function spanOf({ register, last }: { readonly register: MapRegister; readonly last: number }): string {
  return `${register.area} ${register.address}..${last}`;
}
