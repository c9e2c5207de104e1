/**
 * Any Modbus meter that has a register map.
 *
 * Promise: a look reads every register of the map in few requests and ends within READ_MS on a line of its
 * own; what is shown was read in that look, in range, or it is marked as not to be metered, with
 * the remedy. The counter is the meter's own, and nothing is ever written to it.
 */

import { detach } from "#core/detach";
import type { Quality, Reading } from "#core/events";
import type { Clock } from "#core/ports";
import { throwUncaught } from "#node/process-guard";
import { doubted, type MeterDriver } from "../meter-driver.ts";
import { type BusFailure, joinBus, type ModbusBus } from "./bus.ts";
import type { LineSettings } from "./line.ts";
import { counterStepMilliwattHours, readingOf, type WordsOf } from "./map-reading.ts";
import { planReads, type ReadRequest } from "./read-plan.ts";
import { portUnits, type RegisterMap, TYPE_WORDS } from "./register-map.ts";

/** Longest look, milliseconds: below the host's patience of five seconds. */
const READ_MS = 4500;

/** Attempts for one request of a look. */
const ATTEMPTS = 3;

/** A search asks the slaves up to this address, and no longer than this each. */
const SEARCH_SLAVES = 16;
const SEARCH_MS = 120;

/** Above this a counter's step is worth reporting, mWh. */
const COARSE_MILLIWATT_HOURS = 1000;

interface ModbusMeterSettings {
  readonly map: RegisterMap;
  readonly line: LineSettings;
  readonly slave: number;
  /** Wait for one answer, milliseconds. */
  readonly timeoutMs: number;
  readonly powerMaxMilliwatts: number;
}

export function modbusMeter(settings: ModbusMeterSettings, clock: Clock): MeterDriver {
  return new ModbusMeter(settings, clock);
}

class ModbusMeter implements MeterDriver {
  readonly name: string;
  readonly location: string;
  readonly rollOverAt: number;
  readonly #settings: ModbusMeterSettings;
  readonly #clock: Clock;
  readonly #bus: ModbusBus;
  readonly #leave: () => Promise<void>;
  readonly #plan: readonly ReadRequest[];
  #last: Reading | null = null;
  #lastQuality: Quality;
  #look: Promise<Reading> | null = null;
  /** Begun by the first read without an answer; what it found is reported for as long as the slave was never heard. */
  #searching: Promise<string | null> | null = null;
  #instead: string | null = null;
  #closed = false;

  constructor(settings: ModbusMeterSettings, clock: Clock) {
    const { map, slave, line } = settings;
    const { bus, leave } = joinBus(line, clock);
    this.#settings = settings;
    this.#clock = clock;
    this.#bus = bus;
    this.#leave = leave;
    this.name = map.name;
    this.location = `slave ${slave} on ${bus.name}`;
    this.#plan = planReads(map);
    const { rollOverAt, unit } = map.registers.energy;
    this.rollOverAt = Math.round(rollOverAt * portUnits("energy", unit));
    this.#lastQuality = { kind: "stale", reason: `${this.#describe()}: not read yet` };
  }

  read(done: (reading: Reading | null) => void): void {
    this.#look ??= this.#lookOnce().finally(() => {
      this.#look = null;
    });
    detach(this.#look.then(done), throwUncaught);
  }

  quality(): Quality {
    return this.#lastQuality;
  }

  notes(): readonly string[] {
    const step = this.#last === null ? 0 : counterStepMilliwattHours(this.#settings.map, this.#last.raw);
    if (step <= COARSE_MILLIWATT_HOURS) return [];
    return [
      `the float32 counter now moves in steps of ${(step / 1000).toFixed(2)} Wh; ` +
        "between them consumption is reckoned from power",
    ];
  }

  search(): Promise<string | null> {
    this.#searching ??= this.#searchOnce();
    return this.#searching;
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.#leave();
  }

  async #lookOnce(): Promise<Reading> {
    const untilMs = this.#clock.nowMs() + READ_MS;
    const answers: { readonly request: ReadRequest; readonly words: readonly number[] }[] = [];
    for (const request of this.#plan) {
      const { words, failure } = await this.#insist(request, untilMs);
      if (failure !== null) {
        if (failure.kind === "silent" && this.#last === null) {
          const failed = (error: unknown) =>
            this.#doubt("stale", `${this.#describe()}: ${(error as Error).message}`);
          detach(this.search(), failed);
        }
        return this.#doubt("stale", this.#remedy(failure, request));
      }
      answers.push({ request, words });
    }
    const wordsOf: WordsOf = (register) => {
      const { request, words } = answers.find(
        ({ request: { area, address, count } }) =>
          area === register.area && register.address >= address && register.address < address + count,
      )!;
      const start = register.address - request.address;
      return words.slice(start, start + TYPE_WORDS[register.type]);
    };
    const { reading, fault } = readingOf(this.#settings.map, wordsOf, this.#settings.powerMaxMilliwatts);
    if (fault !== null) return this.#doubt("suspect", fault);
    this.#last = reading;
    this.#instead = null;
    this.#lastQuality = { kind: "good" };
    return reading;
  }

  async #searchOnce(): Promise<string | null> {
    const found: number[] = [];
    for (let slave = 1; slave <= SEARCH_SLAVES && !this.#closed; slave++) {
      const { failure } = await this.#bus.read(slave, this.#plan[0]!, SEARCH_MS);
      if (failure === null || failure.kind === "exception") found.push(slave);
      if (failure?.kind === "line") return null;
    }
    if (found.length === 0 || found.includes(this.#settings.slave) || this.#last !== null) return null;
    this.#instead = `slave ${found.join(" and ")} answers on ${this.#bus.name}: set slave = ${found[0]} in [meter.driver]`;
    return this.#instead;
  }

  /** Asks again when the line spoilt the answer; a slave that refuses will refuse again. */
  async #insist(request: ReadRequest, untilMs: number) {
    const { slave, timeoutMs } = this.#settings;
    let answer = await this.#bus.read(slave, request, timeoutMs);
    for (let attempt = 1; attempt < ATTEMPTS; attempt++) {
      const { failure } = answer;
      if (failure === null || failure.kind === "exception" || failure.kind === "full") break;
      // Each attempt may wait for the quiet that the one before it owes.
      if (this.#clock.nowMs() + 2 * timeoutMs > untilMs) break;
      answer = await this.#bus.read(slave, request, timeoutMs);
    }
    return answer;
  }

  #doubt(kind: "suspect" | "stale", reason: string): Reading {
    const reading = doubted(kind, `${this.#describe()}: ${reason}`, this.#last);
    this.#lastQuality = { kind, reason: `${this.#describe()}: ${reason}` };
    return reading;
  }

  #describe(): string {
    return `${this.name}, ${this.location}`;
  }

  #remedy(failure: BusFailure, { area, address, count }: ReadRequest): string {
    const { slave, timeoutMs, line } = this.#settings;
    const format =
      line.kind === "serial"
        ? `, baud rate (${line.format.baud} ${line.format.parity})`
        : ", the converter's settings";
    switch (failure.kind) {
      case "line":
        return failure.reason;
      case "silent":
        return (
          `expected an answer within ${timeoutMs} ms, found silence; ` +
          (this.#instead === null
            ? `check the meter's power, that A and B are not swapped, the slave address (${slave})${format}`
            : `${this.#instead}, or check the meter's power`)
        );
      case "broken":
        return `expected an intact answer, found a damaged one (CRC); check parity${format}, the cable and its termination`;
      case "other-slave":
        return `expected an answer of slave ${slave}, found one of slave ${failure.slave}; set slave in [meter.driver]`;
      case "exception":
        return (
          `expected ${area} registers ${address}..${address + count - 1}, found exception ${failure.code}; ` +
          "is this the map of this meter?"
        );
      case "full":
        return "expected a free bus, found too many requests waiting; read its meters less often";
    }
  }
}
