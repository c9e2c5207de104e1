/**
 * INA219, INA226 and INA228 over I2C, where no kernel driver has them.
 *
 * Promise: the chip's identity and calibration are checked before anything is metered, and again after it
 * lost its power. An INA228 counts energy by itself, over the 40-bit wrap and over restarts of this
 * process; for the others power is integrated, each step over the time that passed.
 */

import { Watt402Error } from "#payment/watt402-error";
import type { MeterContext, MeterDriver } from "../meter-driver.ts";
import { rangeFault } from "../physical-range.ts";
import { CountedMeter, type Sample } from "../pulse/counted-meter.ts";
import { gapText } from "./hwmon.ts";
import { I2cPart } from "./i2c-tool.ts";
import { PowerIntegral } from "./power-integral.ts";
import { sampleEvery } from "./sampling.ts";

const MANUFACTURER = 0x5449;
const ENERGY_WRAP = 2 ** 40;
const JOULES_PER_MILLIWATT_HOUR = 3.6;

export interface InaSettings {
  readonly chip: "ina219" | "ina226" | "ina228";
  readonly bus: number;
  readonly address: number;
  readonly shuntMicroohms: number;
  /** Largest current to be measured: sets the resolution. */
  readonly currentMaxMilliamps: number;
  readonly sampleMs: number;
}

/** Data sheet figures: calibration and its register, configuration, amps of a power step, highest volts. */
const CHIPS = {
  ina219: {
    steps: 2 ** 15,
    calibrate: 0.04096,
    calibrationAt: 0x05,
    configAt: 0x00,
    config: 0x399f,
    power: 20,
    volts: 26,
  },
  // Sixteen samples averaged, 1.1 ms each, shunt and bus continuously.
  ina226: {
    steps: 2 ** 15,
    calibrate: 0.00512,
    calibrationAt: 0x05,
    configAt: 0x00,
    config: 0x4527,
    power: 25,
    volts: 36,
  },
  ina228: {
    steps: 2 ** 19,
    calibrate: 13_107.2e6,
    calibrationAt: 0x02,
    configAt: 0x01,
    config: 0xfb68,
    power: 3.2,
    volts: 85,
  },
} as const;

export function inaMeter(settings: InaSettings, context: MeterContext): MeterDriver {
  const { chip, bus, address, sampleMs } = settings;
  const part = new Ina(settings);
  const meter = new CountedMeter(
    {
      name: chip,
      location: `on i2c bus ${bus} at 0x${address.toString(16)}`,
      settleMs: 2 * sampleMs + 1000,
      freshMs: 5 * sampleMs + 1000,
      remedy: "is the system overloaded?",
    },
    context,
  );
  const integral = new PowerIntegral(sampleMs);
  let energyBefore: number | null = meter.counter.chip;

  const look = async () => {
    // Without its calibration the chip lost its power since, and its counter with it.
    if (!(await part.isCalibrated())) {
      await part.calibrate();
      if (energyBefore !== null) energyBefore = 0;
    }
    const sample = await part.sample();
    const step = integral.take(sample.powerMilliwatts, context.clock.nowMs());
    let used = step.milliwattHours;
    if (chip === "ina228") {
      const energy = await part.energySteps();
      const steps = energyBefore === null ? 0 : (energy - energyBefore + ENERGY_WRAP) % ENERGY_WRAP;
      energyBefore = energy;
      used = (steps * part.joulesPerStep) / JOULES_PER_MILLIWATT_HOUR;
    } else if (step.gapMs > 0) meter.doubtOnce(gapText(step.gapMs));
    const volts = (sample.voltageMillivolts ?? 0) / 1000;
    meter.show(
      sample,
      meter.isCredible(used) ? used : 0,
      rangeFault("voltage", volts, 0, CHIPS[chip].volts, "V"),
    );
  };
  const stop = sampleEvery(sampleMs, context.clock, look, (reason) => meter.fail(reason));
  meter.onClose(async () => {
    await stop();
    return chip === "ina228" ? energyBefore : null;
  });
  return meter;
}

class Ina {
  readonly #part: I2cPart;
  readonly #chip: InaSettings["chip"];
  readonly #ampsPerStep: number;
  readonly #calibration: number;

  constructor({ chip, bus, address, shuntMicroohms, currentMaxMilliamps }: InaSettings) {
    this.#part = new I2cPart(bus, address);
    this.#chip = chip;
    this.#ampsPerStep = currentMaxMilliamps / 1000 / CHIPS[chip].steps;
    const ohms = shuntMicroohms / 1e6;
    const { calibrate } = CHIPS[chip];
    const exact =
      chip === "ina228" ? calibrate * this.#ampsPerStep * ohms : calibrate / (this.#ampsPerStep * ohms);
    // The lowest bit of the INA219's register cannot be set.
    this.#calibration = chip === "ina219" ? Math.round(exact) & ~1 : Math.round(exact);
    const most = chip === "ina219" ? 0xfffe : 0x7fff;
    if (this.#calibration < 2 || this.#calibration > most) {
      throw new Watt402Error(
        "config-invalid",
        `meter.driver.shunt_microohms: expected shunt and current_max_milliamps to give a calibration of 2..${most}, ` +
          `found ${Math.round(exact)}; a larger shunt or current gives a smaller number on INA219 and INA226`,
      );
    }
  }

  /** Energy of one step of the INA228's counter. */
  get joulesPerStep(): number {
    return 16 * CHIPS.ina228.power * this.#ampsPerStep;
  }

  async isCalibrated(): Promise<boolean> {
    return (
      (await this.#part.read([CHIPS[this.#chip].calibrationAt], 2)).readUInt16BE(0) === this.#calibration
    );
  }

  async calibrate(): Promise<void> {
    await this.#identify();
    const { configAt, config, calibrationAt } = CHIPS[this.#chip];
    await this.#part.write([configAt, config >> 8, config & 0xff]);
    await this.#part.write([calibrationAt, this.#calibration >> 8, this.#calibration & 0xff]);
    if (await this.isCalibrated()) return;
    throw new Watt402Error(
      "unexpected-answer",
      `expected the calibration to hold, found another value; is this an ${this.#chip}?`,
    );
  }

  async sample(): Promise<Sample> {
    return this.#chip === "ina228" ? this.#sample228() : this.#sample16();
  }

  async energySteps(): Promise<number> {
    return (await this.#part.read([0x09], 5)).readUIntBE(0, 5);
  }

  /** The INA219 has no identity to ask for. */
  async #identify(): Promise<void> {
    if (this.#chip === "ina219") return;
    const manufacturer = (await this.#part.read([this.#chip === "ina226" ? 0xfe : 0x3e], 2)).readUInt16BE(0);
    const device = this.#chip === "ina226" ? null : (await this.#part.read([0x3f], 2)).readUInt16BE(0) >> 4;
    if (manufacturer === MANUFACTURER && (device === null || device === 0x228)) return;
    throw new Watt402Error(
      "unexpected-answer",
      `expected an ${this.#chip}, found manufacturer 0x${manufacturer.toString(16)}` +
        `${device === null ? "" : `, device 0x${device.toString(16)}`}; check meter.driver.kind and address`,
    );
  }

  async #sample16(): Promise<Sample> {
    const bus = (await this.#part.read([0x02], 2)).readUInt16BE(0);
    const power = (await this.#part.read([0x03], 2)).readUInt16BE(0);
    const current = (await this.#part.read([0x04], 2)).readInt16BE(0);
    if (this.#chip === "ina219" && (bus & 1) === 1) {
      throw new Watt402Error(
        "unexpected-answer",
        "expected a current within current_max_milliamps, found the chip's overflow; raise it",
      );
    }
    const milliamps = current * this.#ampsPerStep * 1000;
    return {
      powerMilliwatts: Math.sign(current) * power * CHIPS[this.#chip].power * this.#ampsPerStep * 1000,
      voltageMillivolts: Math.round(this.#chip === "ina219" ? (bus >> 3) * 4 : bus * 1.25),
      currentMilliamps: Math.abs(Math.round(milliamps)),
    };
  }

  async #sample228(): Promise<Sample> {
    const volts = (await this.#part.read([0x05], 3)).readUIntBE(0, 3) >> 4;
    const current = (await this.#part.read([0x07], 3)).readIntBE(0, 3) >> 4;
    const power = (await this.#part.read([0x08], 3)).readUIntBE(0, 3);
    return {
      powerMilliwatts: Math.sign(current) * power * CHIPS.ina228.power * this.#ampsPerStep * 1000,
      voltageMillivolts: Math.round(volts * 0.1953125),
      currentMilliamps: Math.abs(Math.round(current * this.#ampsPerStep * 1000)),
    };
  }
}
