/**
 * INA219 and INA226 on a board's I2C: power sampled and integrated.
 *
 * Promise: each step counts the time that really passed, at the mean of its two ends; a gap is counted at the
 * higher of them. A chip that lost its calibration lost its power, and is set up again.
 */
import type { Reading } from "#core/events";
import { energyMilliwattHours } from "#core/units";
import type { BoardI2c } from "./build/globals.ts";
import type { BoardMeter } from "./parts.ts";

type InaSettings = Extract<BoardMeter, { kind: "ina219" | "ina226" }>;

const STEPS = 32768;
const CALIBRATION_AT = 5;
const POWER_AT = 3;

/** Looks missed in a row that make a gap. */
const GAP_PERIODS = 5;

/** Data sheets: calibration constant, configuration, amps of a power step. */
const CHIPS = {
  ina219: { calibrate: 0.04096, config: 0x399f, power: 20 },
  ina226: { calibrate: 0.00512, config: 0x4527, power: 25 },
};

export class InaIntegral {
  private readonly bus: BoardI2c;
  private readonly settings: InaSettings;
  private readonly nowMs: () => number;
  private readonly calibration: number;
  private readonly milliwattsPerStep: number;
  private energy = 0;
  private power = 0;
  private lookedAtMs = -Infinity;

  constructor(bus: BoardI2c, settings: InaSettings, nowMs: () => number) {
    this.bus = bus;
    this.settings = settings;
    this.nowMs = nowMs;
    const { calibrate, power } = CHIPS[settings.kind];
    const ampsPerStep = settings.currentMaxMilliamps / 1000 / STEPS;
    const exact = Math.floor(calibrate / (ampsPerStep * (settings.shuntMicroohms / 1e6)) + 0.5);
    // The lowest bit of the INA219's register cannot be set.
    this.calibration = settings.kind === "ina219" ? exact - (exact % 2) : exact;
    this.milliwattsPerStep = 1000 * power * ampsPerStep;
  }

  /** One look; false when the chip did not answer. */
  look(): boolean {
    try {
      if (this.register(CALIBRATION_AT) !== this.calibration) {
        const { config } = CHIPS[this.settings.kind];
        this.write(0, config);
        this.write(CALIBRATION_AT, this.calibration);
        if (this.register(CALIBRATION_AT) !== this.calibration) return false;
      }
      this.add(this.register(POWER_AT) * this.milliwattsPerStep);
      return true;
    } catch (_) {
      return false;
    }
  }

  /** Null while the latest look is too old. */
  reading(): Reading | null {
    if (this.nowMs() - this.lookedAtMs > GAP_PERIODS * this.settings.sampleMs + 1000) return null;
    return { raw: Math.floor(this.energy), powerMilliwatts: Math.floor(this.power + 0.5) };
  }

  private add(power: number): void {
    const nowMs = this.nowMs();
    const passedMs = nowMs - this.lookedAtMs;
    const isGap = passedMs > GAP_PERIODS * this.settings.sampleMs;
    const mean = isGap ? Math.max(this.power, power) : (this.power + power) / 2;
    if (this.lookedAtMs > -Infinity) this.energy += energyMilliwattHours(mean, passedMs);
    this.power = power;
    this.lookedAtMs = nowMs;
  }

  private register(at: number): number {
    const { address } = this.settings;
    this.bus.writeTo(address, [at]);
    const bytes = this.bus.readFrom(address, 2);
    return bytes[0]! * 256 + bytes[1]!;
  }

  private write(at: number, value: number): void {
    this.bus.writeTo(this.settings.address, [at, value >> 8, value & 255]);
  }
}
