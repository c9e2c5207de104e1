import { renameSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type MeterDriver, probeMeter } from "#hardware/meters/open-meter";
import { fakeI2c, pretendedPi } from "./fakes.ts";
import { context, readOnce, reasonOf, until } from "./harness.ts";

const pi = pretendedPi();
const meter = (table: Record<string, unknown>) => pi.meter({ sample_ms: 100, ...table });
const good = (one: MeterDriver) =>
  until("a good reading", async () => reasonOf(await readOnce(one)) === "good", 10_000);

/** 4 A at most over 10 mOhm. */
const BOARD = { via: "i2c", shunt_microohms: 10_000, current_max_milliamps: 4000 };

describe("an INA226 over I2C", () => {
  const amps = 4 / 32_768;
  function part() {
    const made = fakeI2c(pi.path, 0x40, 1);
    made.set(0xfe, 0x5449, 2);
    made.set(0x05, 0, 2);
    made.set(0x02, Math.round(12 / 0.00125), 2);
    made.set(0x03, Math.round(42 / (25 * amps)), 2);
    made.set(0x04, Math.round(3.5 / amps), 2);
    return made;
  }

  it("is configured and calibrated by the data sheet, then read", async () => {
    const chip = part();
    const one = meter({ kind: "ina226", ...BOARD });
    await good(one);
    // 0.00512 / (4 A / 32768 x 0.01 Ohm) = 4194.
    expect([chip.get(0x00), chip.get(0x05)]).toEqual(["0x45 0x27", "0x10 0x62"]);
    const reading = await readOnce(one);
    expect(reading!.powerMilliwatts / 1000).toBeCloseTo(42, 1);
    expect([reading!.voltageMillivolts, reading!.currentMilliamps]).toEqual([12_000, 3500]);
  });

  it("is calibrated again when it lost its power, and found again when it was away", async () => {
    const chip = part();
    const one = meter({ kind: "ina226", ...BOARD });
    await good(one);
    chip.set(0x05, 0, 2);
    await until("the calibration", () => chip.get(0x05) === "0x10 0x62");
    renameSync(chip.part, `${chip.part}-away`);
    await until("the reason", async () =>
      reasonOf(await readOnce(one)).includes("expected a part to answer"),
    );
    expect(reasonOf(await readOnce(one))).toContain("check wiring and address (i2cdetect -y 1)");
    renameSync(`${chip.part}-away`, chip.part);
    await good(one);
  });

  it("that is another part is named by what it says it is", async () => {
    part().set(0xfe, 0x1234, 2);
    const { trouble } = await probeMeter({ kind: "ina226", sample_ms: 100, ...BOARD }, context());
    expect(trouble).toContain(
      "expected an ina226, found manufacturer 0x1234; check meter.driver.kind and address",
    );
  });

  it("needs its shunt, and one that its calibration register can hold", () => {
    expect(() => meter({ kind: "ina226", via: "i2c" })).toThrow(
      "meter.driver.via: expected shunt_microohms and",
    );
    expect(() => meter({ kind: "ina226", ...BOARD, shunt_microohms: 100 })).toThrow(
      "found 419430; a larger shunt",
    );
  });
});

describe("an INA219 over I2C", () => {
  it("is read by its own figures, and its overflow is no reading", async () => {
    const amps = 4 / 32_768;
    const chip = fakeI2c(pi.path, 0x40, 1);
    chip.set(0x05, 0, 2);
    chip.set(0x02, (12_000 / 4) << 3, 2);
    chip.set(0x03, Math.round(24 / (20 * amps)), 2);
    chip.set(0x04, Math.round(2 / amps), 2);
    const one = meter({ kind: "ina219", ...BOARD });
    await good(one);
    const reading = await readOnce(one);
    expect(reading!.powerMilliwatts / 1000).toBeCloseTo(24, 1);
    expect([reading!.voltageMillivolts, reading!.currentMilliamps]).toEqual([12_000, 2000]);
    chip.set(0x02, ((12_000 / 4) << 3) | 1, 2);
    await until("the reason", async () =>
      reasonOf(await readOnce(one)).includes("the chip's overflow; raise it"),
    );
  });
});

describe("an INA228 over I2C", () => {
  const amps = 4 / 2 ** 19;
  const joules = 16 * 3.2 * amps;
  /** Steps of the energy register for this many milliwatt-hours. */
  const steps = (milliwattHours: number) => Math.ceil((milliwattHours * 3.6) / joules);
  function part() {
    const made = fakeI2c(pi.path, 0x40, 1);
    made.set(0x3e, 0x5449, 2);
    made.set(0x3f, 0x2281, 2);
    made.set(0x02, 0x1000, 2);
    made.set(0x05, Math.round(12 / 195.3125e-6) << 4, 3);
    made.set(0x07, Math.round(3.5 / amps) << 4, 3);
    made.set(0x08, Math.round(42 / (3.2 * amps)), 3);
    made.set(0x09, 0, 5);
    return made;
  }

  it("counts by its own energy register, over the wrap of its 40 bits", async () => {
    const chip = part();
    const one = meter({ kind: "ina228", ...BOARD });
    await good(one);
    const reading = await readOnce(one);
    expect(reading!.powerMilliwatts / 1000).toBeCloseTo(42, 1);
    expect([reading!.voltageMillivolts, reading!.currentMilliamps]).toEqual([12_000, 3500]);
    chip.set(0x09, steps(100), 5);
    await until("100 mWh", async () => (await readOnce(one))!.raw === 100);
  });

  it("goes on over the wrap, and over a restart of the process, without losing a step", async () => {
    const chip = part();
    // As it stood when the process stopped, 50 mWh before its wrap: SHUNT_CAL is ours.
    chip.set(0x09, 2 ** 40 - steps(50), 5);
    const first = meter({ kind: "ina228", ...BOARD });
    await good(first);
    await pi.close(first);
    chip.set(0x09, steps(70), 5);
    const second = meter({ kind: "ina228", ...BOARD });
    await good(second);
    await until("120 mWh", async () => (await readOnce(second))!.raw === 120);
  });

  it("that lost its power since counts only what it counted anew", async () => {
    const chip = part();
    const one = meter({ kind: "ina228", ...BOARD });
    await good(one);
    chip.set(0x09, steps(1000), 5);
    await until("1000 mWh", async () => (await readOnce(one))!.raw === 1000);
    await pi.close(one);
    chip.set(0x02, 0x1000, 2);
    chip.set(0x09, steps(5), 5);
    const again = meter({ kind: "ina228", ...BOARD });
    await until("5 more", async () => (await readOnce(again))!.raw === 1005);
  });
});

describe("an ADE7953 over I2C", () => {
  const CALIBRATED = {
    kind: "ade7953",
    steps_per_volt: 26_000,
    steps_per_amp: 100_000,
    steps_per_watt: 150,
    steps_per_watt_hour: 25_000,
  };
  function part() {
    const chip = fakeI2c(pi.path, 0x38, 2);
    chip.set(0x120, 0, 2);
    chip.set(0x312, 60 * 150, 4);
    chip.set(0x31c, 230 * 26_000, 4);
    chip.set(0x31a, 26_087, 4);
    chip.set(0x10e, 223_750 / 50 - 1, 2);
    chip.set(0x31e, 0, 4, true);
    return chip;
  }

  it("is unlocked, read, and its energy counted once though reading clears it", async () => {
    const chip = part();
    const one = meter(CALIBRATED);
    await good(one);
    expect([chip.get(0xfe), chip.get(0x120)]).toEqual(["0xad", "0x00 0x30"]);
    expect(await readOnce(one)).toMatchObject({
      powerMilliwatts: 60_000,
      voltageMillivolts: 230_000,
      currentMilliamps: 261,
      frequencyMillihertz: 50_000,
    });
    chip.set(0x31e, 25, 4, true);
    await until("1 mWh", async () => (await readOnce(one))!.raw === 1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await readOnce(one))!.raw).toBe(1);
  });

  it("leaves in the chip what it may not count, and counts it when its voltage is right again", async () => {
    const chip = part();
    const one = meter(CALIBRATED);
    await good(one);
    chip.set(0x31c, 400 * 26_000, 4);
    await until("the reason", async () => reasonOf(await readOnce(one)).includes("80..300 V, found 400 V"));
    chip.set(0x31e, 2500, 4, true);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect((await readOnce(one))!.raw).toBe(0);
    chip.set(0x31c, 230 * 26_000, 4);
    await until("100 mWh", async () => (await readOnce(one))!.raw === 100);
  });
});

describe("the command i2ctransfer", () => {
  it("that is not there is named with its package", async () => {
    const before = process.env.PATH;
    process.env.PATH = "/nowhere";
    try {
      const { trouble } = await probeMeter({ kind: "ina226", sample_ms: 100, ...BOARD }, context());
      expect(trouble).toContain("install the package i2c-tools");
    } finally {
      process.env.PATH = before;
    }
  });
});
