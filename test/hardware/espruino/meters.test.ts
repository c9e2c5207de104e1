// A board's meters: what comes in on its pins, as the parts' data sheets say it, and what is metered of it.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CseCounter } from "../../../hardware/espruino/board-cse7766.ts";
import { InaIntegral } from "../../../hardware/espruino/board-ina2xx.ts";
import { PulseCounter } from "../../../hardware/espruino/board-pulses.ts";
import { CseFrames } from "../../../hardware/meters/chips/cse7766-frames.ts";
import { frame } from "../meters/cse7766-frame.ts";

describe("a CSE7766 on a board", () => {
  const reported = fc.record({
    head: fc.constantFrom(0x55, 0x55, 0x55, 0xaa, 0xf0, 0xf1, 0xf2, 0xf4, 0xf6, 0xf8, 0xff),
    adjust: fc.constantFrom(0x70, 0x71, 0x60, 0x40),
    watts: fc.integer({ min: 1, max: 3_000 }),
    pulses: fc.integer({ min: 0, max: 65_535 }),
  });
  const noise = fc.uint8Array({ maxLength: 30 });
  const pieces = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 });

  it("counts the frames that the Pi's driver counts, whatever noise is between and however they are cut", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(reported, noise), { maxLength: 20 }), pieces, (sent, sizes) => {
        const bytes = Buffer.concat(sent.flatMap(([one, between]) => [frame(one), between]));
        const counter = new CseCounter(1.02, () => 0);
        for (let at = 0, piece = 0; at < bytes.length; piece++) {
          const size = sizes[piece % sizes.length]!;
          counter.take(bytes.toString("latin1", at, at + size));
          at += size;
        }
        let energy = 0;
        let power = 0;
        let last: number | null = null;
        for (const one of new CseFrames().take(bytes)) {
          if (one.kind !== "values") continue;
          if (last !== null)
            energy += ((one.pulses - last + 65_536) % 65_536) * one.pulseMilliwattHours * 1.02;
          if (one.powerMilliwatts !== null) power = one.powerMilliwatts * 1.02;
          last = one.pulses;
        }
        expect(counter.energyMilliwattHours).toBeCloseTo(energy, 6);
        expect(Math.abs(counter.powerMilliwatts - power)).toBeLessThanOrEqual(1);
        expect(counter.heardAtMs).toBe(last === null ? -Infinity : 0);
      }),
    );
  });
});

/** An INA on its bus: registers of 16 bits, and a power register reckoned as the data sheet says. */
class Chip {
  milliamps = 0;
  volts = 0;
  isThere = true;
  /** Times it was set up. */
  setups = 0;
  readonly #kind: "ina219" | "ina226";
  readonly #shuntOhms: number;
  #config = 0;
  #calibration = 0;
  #at = 0;

  constructor(kind: "ina219" | "ina226", shuntMicroohms: number) {
    this.#kind = kind;
    this.#shuntOhms = shuntMicroohms / 1e6;
  }

  setup(): void {}

  losePower(): void {
    this.#calibration = 0;
    this.#config = 0;
  }

  writeTo(address: number, bytes: readonly number[]): void {
    if (!this.isThere || address !== 0x40) throw new Error("I2C timeout");
    this.#at = bytes[0]!;
    if (bytes.length === 1) return;
    const value = (bytes[1]! << 8) | bytes[2]!;
    if (this.#at === 0) {
      this.#config = value;
      this.setups += 1;
    }
    // INA219: bit 0 is a void bit and always 0. INA226: bit 15 is not used.
    if (this.#at === 5) this.#calibration = this.#kind === "ina219" ? value & 0xfffe : value & 0x7fff;
  }

  readFrom(address: number, length: number): Uint8Array {
    if (!this.isThere || address !== 0x40) throw new Error("I2C timeout");
    expect(length).toBe(2);
    const value = this.#at === 3 ? this.#power() : this.#at === 5 ? this.#calibration : this.#config;
    return new Uint8Array([value >> 8, value & 255]);
  }

  #power(): number {
    const shuntVolts = (this.milliamps / 1000) * this.#shuntOhms;
    if (this.#kind === "ina219") {
      const current = Math.floor((Math.floor(shuntVolts / 10e-6) * this.#calibration) / 4096);
      return Math.floor((current * Math.floor(this.volts / 4e-3)) / 5000);
    }
    const current = Math.floor((Math.floor(shuntVolts / 2.5e-6) * this.#calibration) / 2048);
    return Math.floor((current * Math.floor(this.volts / 1.25e-3)) / 20_000);
  }
}

describe.each([
  ["ina219", 10_000],
  ["ina226", 2_000],
] as const)("an %s on a board", (kind, shuntMicroohms) => {
  const sampleMs = 1_000;
  function metered() {
    const chip = new Chip(kind, shuntMicroohms);
    const clock = { ms: 0 };
    const settings = {
      kind,
      sdaPin: "D21",
      sclPin: "D22",
      address: 0x40,
      shuntMicroohms,
      currentMaxMilliamps: 8_000,
      sampleMs,
    };
    const meter = new InaIntegral(chip, settings, () => clock.ms);
    const look = (ms: number) => {
      clock.ms += ms;
      return meter.look();
    };
    return { chip, meter, look, clock };
  }

  it("meters what its data sheet's registers show, within one part in two hundred", () => {
    const load = fc.record({
      milliamps: fc.integer({ min: 1_000, max: 7_500 }),
      volts: fc.integer({ min: 10, max: 25 }),
      seconds: fc.integer({ min: 1, max: 600 }),
    });
    fc.assert(
      fc.property(load, ({ milliamps, volts, seconds }) => {
        const { chip, meter, look } = metered();
        Object.assign(chip, { milliamps, volts });
        look(0);
        for (let second = 0; second < seconds; second++) look(sampleMs);
        const milliwatts = milliamps * volts;
        const { raw, powerMilliwatts } = meter.reading()!;
        expect(Math.abs(powerMilliwatts / milliwatts - 1)).toBeLessThan(0.005);
        expect(Math.abs(raw - (milliwatts * seconds) / 3600)).toBeLessThanOrEqual(
          1 + (0.005 * milliwatts * seconds) / 3600,
        );
      }),
      { numRuns: 30 },
    );
  });

  it("sets a chip up again that lost its power, and counts on", () => {
    const { chip, meter, look } = metered();
    Object.assign(chip, { milliamps: 5_000, volts: 24 });
    look(0);
    for (let second = 0; second < 30; second++) look(sampleMs);
    const before = meter.reading()!.raw;
    chip.losePower();
    for (let second = 0; second < 30; second++) expect(look(sampleMs)).toBe(true);
    expect(chip.setups).toBe(2);
    expect(meter.reading()!.raw).toBeGreaterThan(1.98 * before);
  });

  it("gives no reading while the chip is silent, and counts the gap at the higher of its ends", () => {
    const { chip, meter, look } = metered();
    Object.assign(chip, { milliamps: 5_000, volts: 20 });
    look(0);
    look(sampleMs);
    chip.isThere = false;
    for (let second = 0; second < 60; second++) expect(look(sampleMs)).toBe(false);
    expect(meter.reading()).toBeNull();
    chip.isThere = true;
    chip.milliamps = 1_000;
    look(sampleMs);
    // 62 s at 100 W, though only 20 W are seen now.
    expect(meter.reading()!.raw / ((100_000 * 62) / 3600)).toBeCloseTo(1, 2);
  });
});

describe("pulses on a board's pin", () => {
  it("are counted each once, and show the power that their spacing says", () => {
    const spacings = fc.array(fc.double({ min: 0.05, max: 60, noNaN: true }), {
      minLength: 2,
      maxLength: 200,
    });
    fc.assert(
      fc.property(spacings, fc.constantFrom(0.1, 1, 1.25), (gaps, milliwattHours) => {
        let seconds = 1;
        const counter = new PulseCounter(milliwattHours, () => 1000 * seconds);
        for (const gap of gaps) {
          seconds += gap;
          counter.edge(seconds);
        }
        const { raw, powerMilliwatts } = counter.reading();
        expect(raw).toBe(Math.floor(gaps.length * milliwattHours));
        const power = (3600 * milliwattHours) / gaps.at(-1)!;
        expect(Math.abs(powerMilliwatts - power)).toBeLessThanOrEqual(0.5 + 1e-6 * power);
      }),
    );
  });

  it("that stop coming let the power fall, to nothing after ten minutes", () => {
    let seconds = 0;
    const counter = new PulseCounter(1, () => 1000 * seconds);
    expect(counter.reading()).toEqual({ raw: 0, powerMilliwatts: 0 });
    for (seconds of [10, 20]) counter.edge(seconds);
    expect(counter.reading().powerMilliwatts).toBe(360);
    seconds = 56;
    expect(counter.reading().powerMilliwatts).toBe(100);
    seconds = 20 + 601;
    expect(counter.reading()).toEqual({ raw: 2, powerMilliwatts: 0 });
  });
});
