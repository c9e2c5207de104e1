/**
 * An ADE7953 over I2C, channel A.
 *
 * Promise: the chip's energy register is cleared by each read, and what it held is counted at once; so
 * energy used while this process was away is counted too, for as long as the register did not overflow.
 */

import type { MeterContext, MeterDriver } from "../meter-driver.ts";
import { rangeFault } from "../physical-range.ts";
import { CountedMeter } from "../pulse/counted-meter.ts";
import { I2cPart } from "./i2c-tool.ts";
import { sampleEvery } from "./sampling.ts";

/** Data sheet: the key that opens the register, and what must be in it for the best measurement. */
const UNLOCK = [0x00, 0xfe, 0xad];
const OPTIMUM = [0x01, 0x20];
const OPTIMUM_VALUE = 0x0030;

const AWATT = [0x03, 0x12];
const IRMSA = [0x03, 0x1a];
const VRMS = [0x03, 0x1c];
const AENERGYA = [0x03, 0x1e];
const PERIOD = [0x01, 0x0e];

/** Clock of the period register, hertz. */
const PERIOD_HERTZ = 223_750;

interface Ade7953Settings {
  readonly bus: number;
  readonly address: number;
  /** Steps of the registers to a unit, from a calibration against a reference meter. */
  readonly stepsPerVolt: number;
  readonly stepsPerAmp: number;
  readonly stepsPerWatt: number;
  readonly stepsPerWattHour: number;
  readonly sampleMs: number;
}

export function ade7953Meter(settings: Ade7953Settings, context: MeterContext): MeterDriver {
  const { bus, address, sampleMs } = settings;
  const part = new I2cPart(bus, address);
  const meter = new CountedMeter(
    {
      name: "ade7953",
      location: `on i2c bus ${bus} at 0x${address.toString(16)}`,
      settleMs: 2 * sampleMs + 1000,
      freshMs: 5 * sampleMs + 1000,
      remedy: "is the system overloaded?",
    },
    context,
  );
  const look = async () => {
    if ((await part.read(OPTIMUM, 2)).readUInt16BE(0) !== OPTIMUM_VALUE) {
      await part.write(UNLOCK);
      await part.write([...OPTIMUM, OPTIMUM_VALUE >> 8, OPTIMUM_VALUE & 0xff]);
    }
    const watts = (await part.read(AWATT, 4)).readInt32BE(0) / settings.stepsPerWatt;
    const volts = (await part.read(VRMS, 4)).readUInt32BE(0) / settings.stepsPerVolt;
    const amps = (await part.read(IRMSA, 4)).readUInt32BE(0) / settings.stepsPerAmp;
    const hertz = PERIOD_HERTZ / ((await part.read(PERIOD, 2)).readUInt16BE(0) + 1);
    const fault = rangeFault("voltage", volts, 80, 300, "V") ?? rangeFault("frequency", hertz, 45, 65, "Hz");
    // Reading clears the register: what cannot be counted stays in it.
    const energy = fault === null ? (await part.read(AENERGYA, 4)).readInt32BE(0) : 0;
    const milliwattHours = (1000 * energy) / settings.stepsPerWattHour;
    meter.show(
      {
        powerMilliwatts: watts * 1000,
        voltageMillivolts: Math.round(volts * 1000),
        currentMilliamps: Math.round(amps * 1000),
        frequencyMillihertz: Math.round(hertz * 1000),
      },
      meter.isCredible(milliwattHours) ? milliwattHours : 0,
      fault,
    );
  };
  const stop = sampleEvery(sampleMs, context.clock, look, (reason) => meter.fail(reason));
  meter.onClose(async () => {
    await stop();
    return null;
  });
  return meter;
}
