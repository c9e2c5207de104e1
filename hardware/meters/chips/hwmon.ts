/**
 * INA219, INA226, INA228 and INA238 where the kernel drives them: plain files under class/hwmon.
 *
 * Promise: the chip is found by its name, whatever number the kernel gave it, and found again when it
 * comes back. Where the kernel shows the chip's own energy counter it is used; else power is integrated.
 */

import { readdir, readFile, realpath } from "node:fs/promises";
import { basename, join } from "node:path";
import { Watt402Error } from "#payment/watt402-error";
import type { MeterContext, MeterDriver } from "../meter-driver.ts";
import { rangeFault } from "../physical-range.ts";
import { CountedMeter, type Sample } from "../pulse/counted-meter.ts";
import { PowerIntegral } from "./power-integral.ts";
import { sampleEvery } from "./sampling.ts";

/** Highest bus voltage of the parts, by data sheet: 26, 36 and 85 V. */
const VOLTS_MAX = { ina219: 26, ina226: 36, ina228: 85 } as const;

const MICROJOULES_PER_MILLIWATT_HOUR = 3.6e6;

interface HwmonSettings {
  readonly chip: keyof typeof VOLTS_MAX;
  /** Decides where several chips have the same name. */
  readonly bus: number;
  readonly address: number;
  /** What the board's shunt is, microohms; null believes the kernel. */
  readonly shuntMicroohms: number | null;
  readonly sampleMs: number;
}

export function hwmonMeter(settings: HwmonSettings, context: MeterContext): MeterDriver {
  const { chip, sampleMs } = settings;
  const meter = new CountedMeter(
    {
      name: chip,
      location: `in ${join(context.sysfsRoot, "class/hwmon")}`,
      settleMs: 2 * sampleMs,
      freshMs: 5 * sampleMs,
      remedy: "is the system overloaded?",
    },
    context,
  );
  const integral = new PowerIntegral(sampleMs);
  let folder: string | null = null;
  let energyBefore: number | null = null;

  const look = async () => {
    folder ??= await findChip(context.sysfsRoot, settings);
    try {
      const { sample, energy } = await sampleOf(folder);
      const step = integral.take(sample.powerMilliwatts, context.clock.nowMs());
      let used = step.milliwattHours;
      if (energy !== null) {
        // The kernel's counter begins again at 0 with the chip.
        used = energyBefore === null ? 0 : energy - (energy < energyBefore ? 0 : energyBefore);
        used /= MICROJOULES_PER_MILLIWATT_HOUR;
        energyBefore = energy;
      } else if (step.gapMs > 0) meter.doubtOnce(gapText(step.gapMs));
      const volts = (sample.voltageMillivolts ?? 0) / 1000;
      meter.show(
        sample,
        meter.isCredible(used) ? used : 0,
        rangeFault("voltage", volts, 0, VOLTS_MAX[chip], "V"),
      );
    } catch (error) {
      folder = null;
      throw error;
    }
  };
  const stop = sampleEvery(sampleMs, context.clock, look, (reason) => meter.fail(reason));
  meter.onClose(async () => {
    await stop();
    return null;
  });
  return meter;
}

/** What is said of a gap that was filled. */
export function gapText(gapMs: number): string {
  return `expected samples without a gap, found ${Math.round(gapMs)} ms without one; filled at the higher power around it`;
}

async function findChip(sysfsRoot: string, settings: HwmonSettings): Promise<string> {
  const { chip, bus, address, shuntMicroohms } = settings;
  const hwmon = join(sysfsRoot, "class/hwmon");
  const folders = (await readdir(hwmon).catch(() => [])).map((name) => join(hwmon, name));
  const names = await Promise.all(folders.map((folder) => text(folder, "name").catch(() => "")));
  const named = folders.filter((_, index) => names[index] === chip);
  const device = `${bus}-${address.toString(16).padStart(4, "0")}`;
  const devices = await Promise.all(named.map((folder) => realpath(join(folder, "device")).catch(() => "")));
  const found =
    named.length === 1 ? named[0] : named.find((_, index) => basename(devices[index]!) === device);
  if (found === undefined) {
    const there = names.filter((name) => name !== "").join(", ") || "none";
    throw new Watt402Error(
      "not-found",
      `expected a chip "${chip}"${named.length > 1 ? ` at ${device}` : ""} under ${hwmon}, found ${there}; ` +
        `add dtoverlay=i2c-sensor,${chip} to config.txt, and check its wiring`,
    );
  }
  if (shuntMicroohms === null) return found;
  const shunt = await numberIn(found, "shunt_resistor");
  if (shunt !== shuntMicroohms) {
    throw new Watt402Error(
      "unexpected-answer",
      `expected shunt_resistor ${shuntMicroohms} microohms, found ${shunt}; ` +
        `set shunt-resistor=${shuntMicroohms} in the overlay, or correct shunt_microohms`,
    );
  }
  return found;
}

async function sampleOf(folder: string): Promise<{ sample: Sample; energy: number | null }> {
  const [microwatts, voltageMillivolts, currentMilliamps, energy] = await Promise.all([
    numberIn(folder, "power1_input"),
    numberIn(folder, "in1_input"),
    numberIn(folder, "curr1_input"),
    numberIn(folder, "energy1_input").catch(() => null),
  ]);
  // The chips measure power without a sign; the current shows which way it flows.
  const powerMilliwatts = (Math.sign(currentMilliamps) * microwatts) / 1000;
  return {
    sample: { powerMilliwatts, voltageMillivolts, currentMilliamps: Math.abs(currentMilliamps) },
    energy,
  };
}

async function numberIn(folder: string, name: string): Promise<number> {
  const found = await text(folder, name);
  if (/^-?\d+$/.test(found)) return Number(found);
  throw new Watt402Error(
    "unexpected-answer",
    `${join(folder, name)}: expected a whole number, found ${JSON.stringify(found.slice(0, 40))}`,
  );
}

async function text(folder: string, name: string): Promise<string> {
  try {
    return (await readFile(join(folder, name), "utf8")).trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Watt402Error(
      "file-inaccessible",
      `${join(folder, name)}: expected a readable file, found ${code}; check the chip's wiring`,
    );
  }
}
