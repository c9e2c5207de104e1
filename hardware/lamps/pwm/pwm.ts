/**
 * Dimmers driven by PWM: directly, or as the 0-10 V input of a luminaire behind a converter.
 *
 * Promise: level 0 is dark. A 0-10 V lamp does not go dark at 0 V (IEC 60929 annex E leaves that to a
 * switch), so its relay opens first at level 0 and closes last above it; without a relay the probe says so.
 */

import { Watt402Error } from "#payment/watt402-error";
import type { LampContext, LampDriver } from "../lamp-driver.ts";
import type { AnalogSettings, PwmSettings } from "../settings.ts";
import { type CurvePoint, outputAt, sortedCurve } from "./dimming-curve.ts";
import { openLed } from "./led.ts";
import { openPwmOutput } from "./pwm-output.ts";

const AFTER_DEATH = "keeps its level until somebody sets another: `watt402-device safe` does";

/** Duty in proportion to the level, unless measured. */
const LINEAR: readonly CurvePoint[] = [
  { levelPercent: 1, output: 1 },
  { levelPercent: 100, output: 100 },
];

/** 1 V is the least light of a 1-10 V driver. */
const VOLTS: readonly CurvePoint[] = [
  { levelPercent: 10, output: 1 },
  { levelPercent: 100, output: 10 },
];

export function openPwm(settings: PwmSettings, { sysfs, clock }: LampContext): LampDriver {
  const name = "PWM dimmer";
  const curve = sortedCurve(
    "lamp.driver.curve",
    settings.curve?.map((point) => ({ levelPercent: point.level_percent, output: point.output_percent })) ??
      LINEAR,
  );
  const output = openPwmOutput(name, settings, sysfs, clock);
  return {
    name,
    afterDeath: AFTER_DEATH,
    apply: (levelPercent) => output.set(outputAt(curve, levelPercent) / 100),
    check: () => {
      output.check();
      return undefined;
    },
    probe: async () => output.look(),
    close: async () => {},
  };
}

export function openAnalog(settings: AnalogSettings, { sysfs, clock }: LampContext): LampDriver {
  const name = "0-10 V dimmer";
  const { full_scale_volts, relay_label } = settings;
  const curve = sortedCurve(
    "lamp.driver.curve",
    settings.curve?.map((point) => ({ levelPercent: point.level_percent, output: point.volts })) ?? VOLTS,
  );
  const top = curve[curve.length - 1]!.output;
  if (top > full_scale_volts) {
    throw new Watt402Error(
      "config-invalid",
      `lamp.driver.curve: expected at most full_scale_volts, ${full_scale_volts} V, found ${top} V`,
    );
  }
  const output = openPwmOutput(name, settings, sysfs, clock);
  const relay = relay_label === undefined ? null : openLed({ label: relay_label }, sysfs);
  return {
    name: relay === null ? name : `${name} and relay ${relay.name}`,
    afterDeath: AFTER_DEATH,
    apply: async (levelPercent) => {
      if (levelPercent <= 0) await relay?.apply(0);
      await output.set(outputAt(curve, levelPercent) / full_scale_volts);
      if (levelPercent > 0) await relay?.apply(100);
    },
    check: () => {
      output.check();
      return relay?.check?.();
    },
    probe: async () => [
      ...output.look(),
      ...(relay === null
        ? ["no relay: most 0-10 V luminaires shine on at 0 V; set lamp.driver.relay_label"]
        : await relay.probe()),
    ],
    close: async () => {},
  };
}
