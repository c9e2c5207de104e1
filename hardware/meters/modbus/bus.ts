/**
 * One Modbus bus: the line that one or many slaves share, and whose turn it is.
 *
 * Promise: one request at a time, in the order asked; a request ends within its time-out, answered or
 * with a failure from a closed list; a late answer is never taken for the next one's; a line that went
 * away is opened again when it is back. Nothing is ever written to a slave.
 */
import type { Clock } from "#core/ports";
import { closeLine, type Line, type LineSettings, lineName, openLine } from "./line.ts";
import type { ReadRequest } from "./read-plan.ts";

export type BusFailure =
  /** The line cannot be opened; says the remedy. */
  | { readonly kind: "line"; readonly reason: string }
  | { readonly kind: "silent" }
  | { readonly kind: "broken" }
  | { readonly kind: "other-slave"; readonly slave: number }
  /** The slave refused: application protocol V1.1b3, section 7. */
  | { readonly kind: "exception"; readonly code: number }
  | { readonly kind: "full" };

type BusAnswer =
  | { readonly words: readonly number[]; readonly failure: null }
  | { readonly words: null; readonly failure: BusFailure };

/** Requests that may wait; a meter asks for a handful, so more is a fault. */
const WAITING_MAX = 64;

/** Silence between frames: 3.5 characters are 4 ms at 9600 baud, and slow slaves want more. */
const BETWEEN_FRAMES_MS = 20;

/** Time between attempts to open a line that is not there. */
const REOPEN_FIRST_MS = 250;
const REOPEN_MAX_MS = 4000;

/** A gateway's words for a slave that did not answer it. */
const GATEWAY_SILENT = 0x0b;

export class ModbusBus {
  readonly name: string;
  readonly #settings: LineSettings;
  readonly #clock: Clock;
  #line: Line | null = null;
  #reopenAtMs = 0;
  #reopenMs = REOPEN_FIRST_MS;
  #lastTrouble = "";
  #tail: Promise<void> = Promise.resolve();
  #waiting = 0;
  #quietUntilMs = 0;

  constructor(settings: LineSettings, clock: Clock) {
    this.#settings = settings;
    this.name = lineName(settings);
    this.#clock = clock;
  }

  /** @param timeoutMs longest wait for the slave, once the line is free and open */
  read(slave: number, request: ReadRequest, timeoutMs: number): Promise<BusAnswer> {
    if (this.#waiting >= WAITING_MAX) return Promise.resolve({ words: null, failure: { kind: "full" } });
    this.#waiting++;
    const answer = this.#tail.then(() => this.#take(slave, request, timeoutMs));
    this.#tail = answer.then(() => {
      this.#waiting--;
    });
    return answer;
  }

  /** After the request under way. */
  async close(): Promise<void> {
    await this.#tail;
    this.#drop();
  }

  async #take(slave: number, request: ReadRequest, timeoutMs: number): Promise<BusAnswer> {
    const trouble = await this.#open();
    if (trouble !== null) return { words: null, failure: { kind: "line", reason: trouble } };
    const line = this.#line!;
    await this.#until(this.#quietUntilMs);
    line.modbus.setTimeout(timeoutMs);
    line.modbus.setID(slave);
    try {
      const { address, count, area } = request;
      const { data } =
        area === "input"
          ? await line.modbus.readInputRegisters(address, count)
          : await line.modbus.readHoldingRegisters(address, count);
      this.#quietUntilMs = Math.max(this.#quietUntilMs, this.#clock.nowMs() + BETWEEN_FRAMES_MS);
      if (data.length !== count) return { words: null, failure: { kind: "broken" } };
      return { words: data, failure: null };
    } catch (error) {
      // RTU frames carry no number: what comes late must have come before the next request leaves.
      this.#quietUntilMs = this.#clock.nowMs() + (line.rtu === null ? BETWEEN_FRAMES_MS : timeoutMs);
      return { words: null, failure: this.#failureOf(line, error as Error & { modbusCode?: number }) };
    }
  }

  #failureOf(line: Line, error: Error & { readonly modbusCode?: number }): BusFailure {
    if (error.modbusCode === GATEWAY_SILENT) return { kind: "silent" };
    if (error.modbusCode !== undefined) {
      this.#quietUntilMs = this.#clock.nowMs() + BETWEEN_FRAMES_MS;
      return { kind: "exception", code: error.modbusCode };
    }
    if (!line.modbus.isOpen) {
      this.#drop();
      return {
        kind: "line",
        reason: `${this.name}: expected the line to stay, found it gone; check adapter and cable`,
      };
    }
    const other = /address \d+ got (\d+)/.exec(error.message)?.[1];
    if (other !== undefined) return { kind: "other-slave", slave: Number(other) };
    if (/^(CRC error|Data length error|Unexpected data error)/.test(error.message)) return { kind: "broken" };
    const heard = line.rtu?.heard();
    if (heard?.kind === "other-slave") return heard;
    return { kind: heard?.kind === "broken" ? "broken" : "silent" };
  }

  /** Null once the line is open. */
  async #open(): Promise<string | null> {
    if (this.#line?.modbus.isOpen) return null;
    this.#drop();
    if (this.#clock.nowMs() < this.#reopenAtMs) return this.#lastTrouble;
    try {
      this.#line = await openLine(this.#settings);
      this.#reopenMs = REOPEN_FIRST_MS;
      return null;
    } catch (error) {
      this.#lastTrouble = (error as Error).message;
      this.#reopenAtMs = this.#clock.nowMs() + this.#reopenMs;
      this.#reopenMs = Math.min(REOPEN_MAX_MS, 2 * this.#reopenMs);
      return this.#lastTrouble;
    }
  }

  #drop(): void {
    if (this.#line !== null) closeLine(this.#line);
    this.#line = null;
  }

  #until(atMs: number): Promise<void> {
    if (this.#clock.nowMs() >= atMs) return Promise.resolve();
    return new Promise((resolve) => this.#clock.at(atMs, resolve));
  }
}

/** Buses of this process by line: a port can be opened once, however many meters hang on it. */
const shared = new Map<string, { readonly bus: ModbusBus; users: number }>();

/** The bus on that line, opened at its first request. The first user's serial format holds. */
export function joinBus(
  settings: LineSettings,
  clock: Clock,
): { bus: ModbusBus; leave: () => Promise<void> } {
  const name = lineName(settings);
  const entry = shared.get(name) ?? { bus: new ModbusBus(settings, clock), users: 0 };
  shared.set(name, entry);
  entry.users++;
  const leave = async () => {
    entry.users--;
    if (entry.users > 0) return;
    shared.delete(name);
    await entry.bus.close();
  };
  return { bus: entry.bus, leave };
}
