/**
 * The `[lamp.driver]` table of device.toml, one shape for each kind of lamp.
 *
 * Promise: what is returned is complete and within its bounds; otherwise one error lists every fault
 * with its key, what was expected and what was found. An unknown key is a fault.
 */

import { z } from "zod";
import { choice, faultsOf, integer, list, number, pattern, table } from "#node/config/config-shape";
import { Watt402Error } from "#payment/watt402-error";

const ledLabel = pattern(/^[A-Za-z0-9_][A-Za-z0-9_:.-]{0,62}$/, 'the label of an LED, like "lamp"');
const devicePath = pattern(/^\/[ -~]{1,254}$/, 'the path of a device, like "/dev/ttyS0"');
const curvePoint = <Key extends string>(key: Key, max: number) =>
  table({ level_percent: integer(1, 100), [key]: number(0, max) } as Record<
    "level_percent",
    ReturnType<typeof integer>
  > &
    Record<Key, ReturnType<typeof number>>);

const simulated = table({ kind: z.literal("simulated") });

/** A relay, or a dimmable light, that the kernel knows as an LED: overlay gpio-led or pwm-leds. */
const led = table({ kind: z.literal("led"), label: ledLabel.default("lamp") });

/** A relay on a GPIO line, held by libgpiod's gpioset. */
const gpio = table({
  kind: z.literal("gpio"),
  line: pattern(/^[A-Za-z0-9_.-]{1,32}$/, 'the name of a GPIO line, like "GPIO17", or its number').default(
    "GPIO17",
  ),
  chip: pattern(/^[A-Za-z0-9/_.-]{1,64}$/, 'a GPIO chip, like "gpiochip0"').optional(),
  active_low: z.boolean({ error: "true or false" }).default(false),
});

const pwmOutput = {
  /** One of the header's PWM pins; chip and channel follow from it. */
  gpio: z.literal([12, 13, 18, 19], { error: "12, 13, 18 or 19" }).optional(),
  /** The kernel's name of the PWM device, like "1f00098000.pwm": its number changes, this does not. */
  chip: pattern(/^[A-Za-z0-9_.:-]{1,64}$/, 'the name of a PWM device, like "1f00098000.pwm"').optional(),
  channel: integer(0, 63).optional(),
  frequency_hertz: integer(1, 100_000).default(1000),
  inverted: z.boolean({ error: "true or false" }).default(false),
};
const GPIO_OR_CHANNEL = { error: "exactly one of gpio and channel" };
const gpioOrChannel = (output: { gpio?: number | undefined; channel?: number | undefined }) =>
  (output.gpio === undefined) !== (output.channel === undefined);

/** A dimmer driven by PWM. */
const pwm = table({
  kind: z.literal("pwm"),
  ...pwmOutput,
  curve: list(curvePoint("output_percent", 100), 1).optional(),
}).refine(gpioOrChannel, GPIO_OR_CHANNEL);

/** A 0-10 V input behind a PWM-to-voltage converter, and the relay that its lamp needs to go dark. */
const analog = table({
  kind: z.literal("analog"),
  ...pwmOutput,
  /** What the converter gives at full duty. */
  full_scale_volts: number(1, 24).default(10),
  curve: list(curvePoint("volts", 24), 1).optional(),
  relay_label: ledLabel.optional(),
}).refine(gpioOrChannel, GPIO_OR_CHANNEL);

/** Control gear on a DALI bus, through the ATX LED DALI HAT. */
const dali = table({
  kind: z.literal("dali"),
  serial: devicePath.default("/dev/ttyS0"),
  /** A short address, or -1 for every gear on the bus. */
  address: integer(-1, 63).default(0),
  dimming: choice(["logarithmic", "linear"]).default("logarithmic"),
});

export const LAMP_KINDS = { simulated, led, gpio, pwm, analog, dali } as const;

export type LampSettings = z.output<(typeof LAMP_KINDS)[keyof typeof LAMP_KINDS]>;
export type LedSettings = z.output<typeof led>;
export type GpioSettings = z.output<typeof gpio>;
export type PwmSettings = z.output<typeof pwm>;
export type AnalogSettings = z.output<typeof analog>;
export type DaliSettings = z.output<typeof dali>;

/** Checks the table. Throws one line for each fault, or returns settings with every default filled in. */
export function readLampSettings(found: Readonly<Record<string, unknown>>): LampSettings {
  const kind = String(found.kind);
  if (!isKind(kind)) {
    const known = Object.keys(LAMP_KINDS).join(", ");
    throw new Watt402Error(
      "config-invalid",
      `lamp.driver.kind: expected one of ${known}, found ${JSON.stringify(found.kind)}`,
    );
  }
  const { data, error } = LAMP_KINDS[kind].safeParse(found);
  if (data !== undefined) return data;
  throw new Watt402Error("config-invalid", faultsOf(error, found, "lamp.driver.").join("\n"));
}

function isKind(kind: string): kind is keyof typeof LAMP_KINDS {
  return Object.hasOwn(LAMP_KINDS, kind);
}
