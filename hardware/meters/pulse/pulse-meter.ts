/**
 * A meter with an S0 or open-collector output: pulses on a GPIO line.
 *
 * Promise: each pulse that passes the kernel's debounce is counted once; power follows from the time
 * between two pulses and falls while the next one does not come. Pulses while the process does not run
 * are lost.
 */

import type { MeterContext, MeterDriver } from "../meter-driver.ts";
import { CountedMeter } from "./counted-meter.ts";
import { watchEdges } from "./gpio-edges.ts";

const MILLIWATT_HOURS_PER_KILOWATT_HOUR = 1e6;
const MILLIWATT_SECONDS_PER_MILLIWATT_HOUR = 3600;

/** Without a pulse for this long there is no load worth reporting. */
const IDLE_SECONDS = 600;

/** Power is reckoned again this often while no pulse comes. */
const FADE_MS = 1000;

interface PulseSettings {
  readonly chip: string;
  readonly line: number;
  readonly impulsesPerKilowattHour: number;
  readonly debounceMilliseconds: number;
}

export function pulseMeter(settings: PulseSettings, context: MeterContext): MeterDriver {
  const { chip, line, impulsesPerKilowattHour, debounceMilliseconds } = settings;
  const { clock } = context;
  const pulse = MILLIWATT_HOURS_PER_KILOWATT_HOUR / impulsesPerKilowattHour;
  const powerOf = (seconds: number) => (pulse * MILLIWATT_SECONDS_PER_MILLIWATT_HOUR) / seconds;
  const meter = new CountedMeter(
    {
      name: "pulse",
      location: `${chip} line ${line}`,
      settleMs: 3000,
      freshMs: Number.POSITIVE_INFINITY,
      remedy: "is the system overloaded?",
    },
    context,
  );

  let before: { readonly seconds: number; readonly heardAtMs: number; readonly spacing: number } | null =
    null;
  const end = watchEdges(
    { chip, lines: [line], debounceMicroseconds: Math.round(1000 * debounceMilliseconds), bias: "pull-up" },
    clock,
    {
      edge: (_, seconds) => {
        const spacing = before === null ? Number.POSITIVE_INFINITY : seconds - before.seconds;
        before = { seconds, heardAtMs: clock.nowMs(), spacing };
        meter.show({ powerMilliwatts: spacing > IDLE_SECONDS ? 0 : powerOf(spacing) }, pulse);
      },
      watching: () => meter.alive(),
      lost: (reason) => {
        before = null;
        meter.fail(reason);
      },
    },
  );

  const fade = () => {
    if (before !== null) {
      const silent = (clock.nowMs() - before.heardAtMs) / 1000;
      const powerMilliwatts = silent > IDLE_SECONDS ? 0 : powerOf(Math.max(silent, before.spacing));
      meter.show({ powerMilliwatts }, 0);
    }
    cancel = clock.at(clock.nowMs() + FADE_MS, fade);
  };
  let cancel = clock.at(clock.nowMs() + FADE_MS, fade);
  meter.onClose(async () => {
    cancel();
    await end();
    return null;
  });
  return meter;
}
