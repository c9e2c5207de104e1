/**
 * A meter whose part only shows power or pulses, or forgets its counter: the counting is done here.
 *
 * Promise: a sample that cannot be true is refused and its energy not counted; a part that falls silent is
 * stale after `freshMs`; the counter is kept over power cuts as kept-counter.ts says.
 */
import { join } from "node:path";
import type { Quality, Reading } from "#core/events";
import type { Clock } from "#core/ports";
import { energyMilliwattHours } from "#core/units";
import type { MeterContext, MeterDriver } from "../meter-driver.ts";
import { POWER_FACTOR_MAX, powerFault } from "../physical-range.ts";
import { KeptCounter } from "./kept-counter.ts";

/** Before the first look the time that passed is unknown: a day of full load is believed. */
const DAY_MS = 86_400_000;

/** Steps below this are never doubted, as in the register of device/core. */
const SLACK_MILLIWATT_HOURS = 10_000;

/** Longest wait of the first reading, milliseconds: below the host's patience of five seconds. */
const SETTLE_MAX_MS = 4000;
const LISTEN_AGAIN_MS = 50;

/** Notes that are remembered. */
const NOTES_MAX = 4;

export interface Sample {
  /** May be below zero: current that flows back is refused. */
  readonly powerMilliwatts: number;
  readonly voltageMillivolts?: number;
  readonly currentMilliamps?: number;
  readonly frequencyMillihertz?: number;
}

interface CountedPart {
  readonly name: string;
  readonly location: string;
  /** How long after opening the first reading may fail to come, milliseconds. */
  readonly settleMs: number;
  /** How long a sample is believed, milliseconds; Infinity for parts that are silent without load. */
  readonly freshMs: number;
  /** What to do about a part that sends nothing. */
  readonly remedy: string;
}

export class CountedMeter implements MeterDriver {
  readonly name: string;
  readonly location: string;
  readonly rollOverAt = 0;
  readonly counter: KeptCounter;
  readonly #part: CountedPart;
  readonly #clock: Clock;
  readonly #powerMaxMilliwatts: number;
  readonly #settledAtMs: number;
  #sample: Sample = { powerMilliwatts: 0 };
  #heardAtMs = Number.NEGATIVE_INFINITY;
  #fault: Quality = { kind: "good" };
  #once: string | null = null;
  #noted: string[] = [];
  #stop: () => Promise<number | null> = async () => null;

  /** Throws one line when the kept counter cannot be read. */
  constructor(part: CountedPart, { clock, powerMaxMilliwatts, stateDirectory }: MeterContext) {
    this.#part = part;
    this.name = part.name;
    this.location = part.location;
    this.#settledAtMs = clock.nowMs() + Math.min(SETTLE_MAX_MS, part.settleMs);
    this.#clock = clock;
    this.#powerMaxMilliwatts = powerMaxMilliwatts;
    const file = stateDirectory === null ? null : join(stateDirectory, "meter.counter");
    this.counter = new KeptCounter(file, powerMaxMilliwatts);
  }

  /** What ends the part when the meter is closed; resolves with `Kept.chip`, where the part keeps one. */
  onClose(stop: () => Promise<number | null>): void {
    this.#stop = stop;
  }

  /**
   * The part showed this now, and used so much since it did before. Refused whole when it cannot be.
   * @returns false when it was refused
   */
  show(sample: Sample, milliwattHours: number, rangeFault: string | null = null): boolean {
    this.#heardAtMs = this.#clock.nowMs();
    const fault = rangeFault ?? powerFault(sample.powerMilliwatts, this.#powerMaxMilliwatts);
    if (fault !== null) {
      this.#fault = { kind: "suspect", reason: `${this.name}, ${this.location}: ${fault}` };
      return false;
    }
    this.#fault = { kind: "good" };
    this.#sample = sample;
    this.counter.add(Math.max(0, milliwattHours));
    return true;
  }

  /**
   * True when the supply can have carried this much since the part was last heard. A chip's counter that
   * began anew, or was reset, shows more: that is noted, and must not be counted.
   */
  isCredible(milliwattHours: number): boolean {
    const passedMs = Math.min(DAY_MS, this.#clock.nowMs() - this.#heardAtMs);
    const most =
      energyMilliwattHours(POWER_FACTOR_MAX * this.#powerMaxMilliwatts, passedMs) + SLACK_MILLIWATT_HOURS;
    if (milliwattHours <= most) return true;
    this.doubtOnce(
      `expected at most ${Math.round(most)} mWh since the last look, found ${Math.round(milliwattHours)}; not counted`,
    );
    return false;
  }

  /** The part is there and has nothing to show. */
  alive(): void {
    this.#heardAtMs = this.#clock.nowMs();
    if (this.#fault.kind === "stale") this.#fault = { kind: "good" };
  }

  /** The part failed; until it shows something again nothing is metered. */
  fail(reason: string): void {
    this.#fault = { kind: "stale", reason: `${this.name}, ${this.location}: ${reason}` };
  }

  /** The next reading alone is suspect, and what happened is noted. */
  doubtOnce(reason: string): void {
    this.#once = `${this.name}, ${this.location}: ${reason}`;
    this.#noted = [...this.#noted, reason].slice(-NOTES_MAX);
  }

  /** Just opened, it waits for the part to be heard: the first reading decides whether a lamp may be lit. */
  read(done: (reading: Reading | null) => void): void {
    const nowMs = this.#clock.nowMs();
    const isSettling = !this.#wasHeard() && this.#fault.kind === "good";
    if (isSettling && nowMs < this.#settledAtMs) {
      this.#clock.at(nowMs + LISTEN_AGAIN_MS, () => this.read(done));
      return;
    }
    const quality = this.quality();
    this.#once = null;
    const { powerMilliwatts, ...others } = this.#sample;
    done({
      raw: this.counter.shown(),
      powerMilliwatts: Math.max(0, Math.round(powerMilliwatts)),
      ...others,
      quality,
    });
  }

  quality(): Quality {
    const { freshMs, remedy } = this.#part;
    const trouble = this.counter.trouble();
    if (trouble !== null) return { kind: "stale", reason: trouble };
    if (this.#fault.kind !== "good") return this.#fault;
    if (!this.#wasHeard() || this.#clock.nowMs() - this.#heardAtMs > freshMs) {
      const reason = `${this.name}, ${this.location}: expected to hear from it, found silence; ${remedy}`;
      return { kind: "stale", reason };
    }
    return this.#once === null ? { kind: "good" } : { kind: "suspect", reason: this.#once };
  }

  #wasHeard(): boolean {
    return this.#heardAtMs > Number.NEGATIVE_INFINITY;
  }

  notes(): readonly string[] {
    return this.#noted;
  }

  async close(): Promise<void> {
    const chip = await this.#stop();
    await this.counter.close(chip);
  }
}
