/**
 * HLW8012 and BL0937: pulses for energy on CF, and for voltage on CF1 while SEL is high.
 *
 * Promise: energy is CF's pulses; power follows from the time between them. SEL, where it is wired, is
 * held high for as long as the meter is open, so CF1 shows voltage and never current. Pulses while the
 * process does not run are lost.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { MeterContext, MeterDriver } from "../meter-driver.ts";
import { rangeFault } from "../physical-range.ts";
import { CountedMeter } from "./counted-meter.ts";
import { watchEdges } from "./gpio-edges.ts";

/** Reference volts, and hertz to a volt or a watt at the pins, by data sheet. */
const PARTS = {
  hlw8012: { reference: 2.43, power: (64 / 24 / 3_579_000) * 2.43 ** 2, voltage: (2.43 * 256) / 3_579_000 },
  bl0937: { reference: 1.218, power: 1.218 ** 2 / 1_721_506, voltage: 1.218 / 15_397 },
} as const;

const MILLIWATT_SECONDS_PER_MILLIWATT_HOUR = 3600;
const FADE_MS = 500;

/** Pulses come in bunches through a pipe: a shorter silence means nothing. */
const BUNCH_SECONDS = 2;

/** Without a pulse for so long there is no load worth reporting. */
const IDLE_SECONDS = 60;

interface HlwSettings {
  readonly part: keyof typeof PARTS;
  readonly chip: string;
  readonly cfLine: number;
  readonly cf1Line: number | null;
  readonly selLine: number | null;
  readonly shuntMicroohms: number;
  /** Mains voltage over the voltage at the chip's pin. */
  readonly voltageDivider: number;
  readonly calibration: number;
}

export function hlwMeter(settings: HlwSettings, context: MeterContext): MeterDriver {
  const { part, chip, cfLine, cf1Line, selLine } = settings;
  const { clock } = context;
  const milliwattsPerHertz = milliwattsPerHertzOf(settings);
  const millivoltsPerHertz = 1000 * PARTS[part].voltage * settings.voltageDivider;
  const meter = new CountedMeter(
    {
      name: part,
      location: `${chip} line ${cfLine}`,
      settleMs: 3000,
      freshMs: Number.POSITIVE_INFINITY,
      remedy: "is the system overloaded?",
    },
    context,
  );
  const sel = selLine === null ? null : holdHigh(chip, selLine, (reason) => meter.fail(reason));
  const cf = new Spacing();
  const cf1 = new Spacing();

  let owed = 0;
  const show = (pulses: number) => {
    owed += pulses;
    const nowMs = clock.nowMs();
    const volts = cf1.steadyHertz(nowMs) * (millivoltsPerHertz / 1000);
    const used = (owed * milliwattsPerHertz) / MILLIWATT_SECONDS_PER_MILLIWATT_HOUR;
    const shown = meter.show(
      {
        powerMilliwatts: cf.hertz(nowMs) * milliwattsPerHertz,
        ...(volts > 0 ? { voltageMillivolts: Math.round(1000 * volts) } : {}),
      },
      used,
      volts > 0 ? rangeFault("voltage", volts, 80, 300, "V") : null,
    );
    // Pulses of a sample that was refused are counted when the values are right again.
    if (shown) owed = 0;
  };
  const lines = cf1Line === null ? [cfLine] : [cfLine, cf1Line];
  let watched = false;
  const end = watchEdges({ chip, lines, debounceMicroseconds: 0, bias: "as-is" }, clock, {
    edge: (line, seconds) => {
      (line === cfLine ? cf : cf1).take(seconds, clock.nowMs());
      if (line === cfLine) show(1);
    },
    watching: () => {
      watched = true;
      meter.alive();
    },
    lost: (reason) => {
      watched = false;
      meter.fail(reason);
    },
  });
  const fade = () => {
    if (watched) show(0);
    cancel = clock.at(clock.nowMs() + FADE_MS, fade);
  };
  let cancel = clock.at(clock.nowMs() + FADE_MS, fade);
  meter.onClose(async () => {
    cancel();
    sel?.kill("SIGTERM");
    await end();
    return null;
  });
  return meter;
}

/** Milliwatts that one pulse a second on CF means. */
export function milliwattsPerHertzOf(settings: HlwSettings): number {
  const { part, voltageDivider, shuntMicroohms, calibration } = settings;
  return (1e9 * PARTS[part].power * voltageDivider * calibration) / shuntMicroohms;
}

/** Frequency of pulses from the time between the last two, falling while the next does not come. */
class Spacing {
  #seconds = Number.NaN;
  #spacing = Number.POSITIVE_INFINITY;
  #heardAtMs = Number.NEGATIVE_INFINITY;

  take(seconds: number, nowMs: number): void {
    this.#spacing = Number.isNaN(this.#seconds) ? Number.POSITIVE_INFINITY : seconds - this.#seconds;
    this.#seconds = seconds;
    this.#heardAtMs = nowMs;
  }

  hertz(nowMs: number): number {
    const silent = (nowMs - this.#heardAtMs) / 1000;
    if (silent > IDLE_SECONDS) return 0;
    return 1 / (silent > BUNCH_SECONDS ? Math.max(this.#spacing, silent) : this.#spacing);
  }

  /** 0 where pulses do not come steadily. */
  steadyHertz(nowMs: number): number {
    return nowMs - this.#heardAtMs > 1000 * BUNCH_SECONDS ? 0 : 1 / this.#spacing;
  }
}

/** A line driven high by a child of libgpiod 2 for as long as it lives. */
function holdHigh(chip: string, line: number, failed: (reason: string) => void): ChildProcess {
  const child = spawn("gpioset", ["-c", chip, `${line}=1`], { stdio: "ignore" });
  const fail = () =>
    failed(`expected gpioset to hold ${chip} line ${line} (SEL) high, found it ended; is the line free?`);
  child.on("error", fail);
  child.on("close", (_, signal) => {
    if (signal !== "SIGTERM") fail();
  });
  return child;
}
