/**
 * The `[meter.driver]` table of device.toml, one shape for each kind of meter.
 *
 * Promise: what is returned is complete and within its bounds; otherwise one error lists every fault
 * with its key, what was expected and what was found. An unknown key is a fault.
 */

import { z } from "zod";
import { choice, faultsOf, integer, number, pattern } from "#node/config/config-shape";
import { Watt402Error } from "#payment/watt402-error";

const devicePath = pattern(/^[ -~]{1,255}$/, 'the path of a device, like "/dev/ttyUSB0"');
const endpoint = pattern(
  /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}$/,
  'a host and port, like "10.0.0.7:502"',
);
const gpioChip = pattern(/^[A-Za-z0-9._/-]{1,64}$/, 'a GPIO chip, like "gpiochip0"').default("gpiochip0");
const gpioLine = integer(0, 511);
const i2cBus = integer(0, 255).default(1);
/** Ohms of a shunt, in millionths: 2000 are 2 mOhm. */
const shuntMicroohms = integer(1, 100_000_000);

const simulated = z.strictObject({ kind: z.literal("simulated") });

const modbus = z
  .strictObject({
    kind: z.literal("modbus"),
    map: pattern(/^[ -~]{1,255}$/, "the name of a register map, or the path of a .json file"),
    serial: devicePath.optional(),
    tcp: endpoint.optional(),
    rtu_over_tcp: endpoint.optional(),
    slave: integer(1, 247).default(1),
    baud: integer(1200, 115_200).optional(),
    parity: choice(["none", "even", "odd"]).optional(),
    stop_bits: integer(1, 2).optional(),
    timeout_ms: integer(50, 1000).default(400),
  })
  .refine(({ serial, tcp, rtu_over_tcp }) => [serial, tcp, rtu_over_tcp].filter(Boolean).length === 1, {
    error: "exactly one of serial, tcp, rtu_over_tcp",
    path: ["serial"],
  });

const ina = z
  .strictObject({
    kind: choice(["ina219", "ina226", "ina228"]),
    via: choice(["hwmon", "i2c"]).default("hwmon"),
    i2c_bus: i2cBus,
    address: integer(0x40, 0x4f).default(0x40),
    shunt_microohms: shuntMicroohms.optional(),
    current_max_milliamps: integer(1, 1_000_000).optional(),
    sample_ms: integer(100, 60_000).default(1000),
  })
  .refine(
    ({ via, shunt_microohms, current_max_milliamps }) =>
      via === "hwmon" || (shunt_microohms !== undefined && current_max_milliamps !== undefined),
    {
      error: "shunt_microohms and current_max_milliamps beside it, by which the chip is calibrated",
      path: ["via"],
    },
  );

const pulse = z.strictObject({
  kind: z.literal("pulse"),
  chip: gpioChip,
  line: gpioLine,
  impulses_per_kilowatt_hour: number(1, 1_000_000),
  debounce_ms: number(0.1, 100).default(2),
});

const cse7766 = z.strictObject({
  kind: z.literal("cse7766"),
  serial: devicePath,
  /** What a reference meter shows over what this one shows, energy and power alike. */
  calibration: number(0.5, 2).default(1),
});

const pulsedPower = z.strictObject({
  kind: choice(["hlw8012", "bl0937"]),
  chip: gpioChip,
  cf_line: gpioLine,
  cf1_line: gpioLine.optional(),
  sel_line: gpioLine.optional(),
  shunt_microohms: shuntMicroohms.default(1000),
  /** Mains voltage over the voltage at the chip's pin. */
  voltage_divider: number(1, 100_000).default(2351),
  calibration: number(0.5, 2).default(1),
});

const ade7953 = z.strictObject({
  kind: z.literal("ade7953"),
  i2c_bus: i2cBus,
  address: integer(0x38, 0x38).default(0x38),
  /** Calibration against a reference meter: register steps to a unit. */
  steps_per_volt: number(1, 1e9),
  steps_per_amp: number(1, 1e9),
  steps_per_watt: number(0.001, 1e9),
  steps_per_watt_hour: number(0.001, 1e9),
  sample_ms: integer(100, 60_000).default(1000),
});

export const METER_KINDS = {
  simulated,
  modbus,
  ina219: ina,
  ina226: ina,
  ina228: ina,
  pulse,
  cse7766,
  hlw8012: pulsedPower,
  bl0937: pulsedPower,
  ade7953,
} as const;

export type MeterSettings = z.output<(typeof METER_KINDS)[keyof typeof METER_KINDS]>;

/** Checks the table. Throws one line for each fault, or returns settings with every default filled in. */
export function readMeterSettings(table: Readonly<Record<string, unknown>>): MeterSettings {
  const kind = String(table.kind);
  if (!isKind(kind)) {
    const known = Object.keys(METER_KINDS).join(", ");
    throw new Watt402Error(
      "config-invalid",
      `meter.driver.kind: expected one of ${known}, found ${JSON.stringify(table.kind)}`,
    );
  }
  const { data, error } = METER_KINDS[kind].safeParse(table);
  if (data !== undefined) return data;
  throw new Watt402Error("config-invalid", faultsOf(error, table, "meter.driver.").join("\n"));
}

function isKind(kind: string): kind is keyof typeof METER_KINDS {
  return Object.hasOwn(METER_KINDS, kind);
}
