/**
 * A board that is not there: the bundle in a context that has what Espruino has, and nothing else.
 *
 * Promise: what Espruino lacks is gone (the language's reference in hardware/espruino/build/lint.ts); sockets are
 * real, byte strings as the board's; time, pins and flash are the simulation's. Off, it does nothing more.
 */
import { createHash } from "node:crypto";
import { connect, type Socket } from "node:net";
import { createContext, runInContext } from "node:vm";
import { crc32 } from "node:zlib";
import type { Clock } from "#core/ports";
import { type FlashChip, PowerCut } from "./flash-chip.ts";
import type { StorageStandIn } from "./storage.ts";

interface BoardSurroundings {
  readonly clock: Clock;
  readonly storage: StorageStandIn;
  readonly chip: FlashChip;
  /** Flash address of the chip's first byte. */
  readonly flashAddress: number;
  /** A digital pin set to a level, or an analog one to a share of 1. */
  readonly pin: (name: string, value: number) => void;
  readonly say: (text: string) => void;
  /** A socket begins to wait for an answer (true), or has heard something or is closed (false). */
  readonly onWait: (waits: boolean) => void;
}

/** Run first in a context of node:vm, it leaves the language that boards speak. */
export const TAKE_AWAY = `
  this.global = this;
  ["BigInt", "BigInt64Array", "BigUint64Array", "Map", "Set", "WeakMap", "WeakSet", "WeakRef", "Symbol", "Proxy",
   "Reflect", "Intl", "Atomics", "SharedArrayBuffer", "FinalizationRegistry", "WebAssembly", "queueMicrotask",
   "console", "Iterator", "TextEncoder", "TextDecoder"].forEach(function (name) { delete this[name]; }, this);
  ["isInteger", "isSafeInteger", "MAX_SAFE_INTEGER", "MIN_SAFE_INTEGER", "EPSILON"].forEach(function (name) {
    delete Number[name];
  });
  ["trunc", "imul", "clz32", "fround", "log2", "hypot"].forEach(function (name) { delete Math[name]; });
  ["from", "of"].forEach(function (name) { delete Array[name]; delete Uint8Array.__proto__[name]; });
  ["flat", "flatMap", "at", "entries", "copyWithin", "findLast", "toSorted"].forEach(function (name) {
    delete Array.prototype[name];
  });
  ["codePointAt", "at", "matchAll", "normalize"].forEach(function (name) { delete String.prototype[name]; });
  ["freeze", "isFrozen", "getOwnPropertySymbols"].forEach(function (name) { delete Object[name]; });
  delete ArrayBuffer.prototype.slice;
  delete Uint8Array.BYTES_PER_ELEMENT;
`;

type Callback = (...values: unknown[]) => void;

export class SimulatedBoard {
  private readonly surroundings: BoardSurroundings;
  private readonly sockets = new Set<Socket>();
  private readonly timers = new Map<number, () => void>();
  private readonly serials = new Map<string, Callback[]>();
  private readonly context = createContext(Object.create(null) as object);
  private faults: Callback[] = [];
  private timerId = 0;
  private isOn = true;

  constructor(surroundings: BoardSurroundings) {
    this.surroundings = surroundings;
    Object.assign(this.context, this.globals());
    runInContext(TAKE_AWAY, this.context);
  }

  /** Runs a bundle; what it names `Light` is returned. */
  run(bundle: string): unknown {
    return runInContext(`${bundle}\n;typeof Light === "undefined" ? undefined : Light`, this.context);
  }

  /** Bytes arrive on a serial port. */
  receive(port: string, bytes: string): void {
    for (const take of this.serials.get(port) ?? []) this.act(() => take(bytes));
  }

  /** The power is gone: nothing of the program runs any more. */
  off(): void {
    this.isOn = false;
    for (const cancel of this.timers.values()) cancel();
    this.timers.clear();
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
  }

  private act(call: () => void): void {
    if (!this.isOn) return;
    try {
      call();
    } catch (error) {
      if (error instanceof PowerCut) this.off();
      else if (this.faults.length > 0) for (const take of this.faults) take(error);
      else throw error;
    }
  }

  private globals(): Record<string, unknown> {
    const { clock, storage, chip, flashAddress, say, pin } = this.surroundings;
    const setTimer = (call: () => void, delayMs: number, again: boolean): number => {
      const id = ++this.timerId;
      const arm = () => {
        const cancel = clock.at(clock.nowMs() + Math.max(delayMs, 1), () => {
          this.timers.delete(id);
          if (again && this.isOn) arm();
          this.act(call);
        });
        this.timers.set(id, cancel);
      };
      if (this.isOn) arm();
      return id;
    };
    const modules: Record<string, unknown> = {
      Storage: storage,
      Flash: {
        read: (length: number, address: number) => chip.read(address - flashAddress, length),
        write: (bytes: Uint8Array, address: number) => chip.write(address - flashAddress, bytes),
        erasePage: (address: number) =>
          chip.erase(Math.floor((address - flashAddress) / chip.shape.pageBytes)),
        getPage: (address: number) => ({ addr: address, length: chip.shape.pageBytes }),
      },
      net: { connect: (to: { host: string; port: number }, done: () => void) => this.connect(to, done) },
      crypto: {
        SHA256: (bytes: Uint8Array) => new Uint8Array(createHash("sha256").update(bytes).digest()).buffer,
      },
    };
    const serial = (name: string) => ({
      setup() {},
      write() {},
      on: (_: string, take: Callback) => this.serials.set(name, [...(this.serials.get(name) ?? []), take]),
    });
    class Pin {
      readonly name: string;
      constructor(name: string) {
        this.name = name;
      }
      mode() {}
      write(value: boolean) {
        pin(this.name, value ? 1 : 0);
      }
    }
    return {
      E: {
        CRC32: (bytes: Uint8Array) => crc32(bytes),
        convolve,
        toString: (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1"),
        toUint8Array: (text: string) => new Uint8Array(Buffer.from(text, "latin1")),
        enableWatchdog() {},
        kickWatchdog() {},
      },
      Pin,
      process: {
        on: (_: string, take: Callback) => this.faults.push(take),
        memory: () => ({ usage: 0, total: 0 }),
      },
      require: (name: string) => {
        if (Object.hasOwn(modules, name)) return modules[name];
        throw new Error(`Module ${name} not found`);
      },
      print: say,
      getTime: () => clock.nowMs() / 1000,
      setTimeout: (call: () => void, delayMs: number) => setTimer(call, delayMs, false),
      setInterval: (call: () => void, delayMs: number) => setTimer(call, delayMs, true),
      clearTimeout: (id: number) => {
        this.timers.get(id)?.();
        this.timers.delete(id);
      },
      analogWrite: (output: Pin, value: number) => pin(output.name, value),
      setWatch() {},
      load: () => this.off(),
      Serial1: serial("Serial1"),
      Serial2: serial("Serial2"),
    };
  }

  private connect(to: { readonly host: string; readonly port: number }, connected: () => void): unknown {
    const socket = connect({ host: to.host, port: to.port }, () => this.act(connected));
    socket.setEncoding("latin1");
    this.sockets.add(socket);
    const { onWait } = this.surroundings;
    socket.on("error", () => {});
    socket.on("close", () => {
      this.sockets.delete(socket);
      onWait(false);
    });
    socket.on("data", () => onWait(false));
    return {
      on: (event: string, take: Callback) =>
        socket.on(event, (value: unknown) => this.act(() => take(value))),
      write: (bytes: string) => {
        if (isAnswered(bytes)) onWait(true);
        socket.write(bytes, "latin1");
      },
      end: () => socket.end(),
    };
  }
}

/** Every packet of MQTT 3.1.1 that a device sends has an answer, but its PUBACK and its DISCONNECT; the time is not waited for. */
function isAnswered(bytes: string): boolean {
  const type = bytes.charCodeAt(0) >> 4;
  // An HTTP request for the time begins with H, which reads as a PUBACK.
  return type !== 4 && type !== 14;
}

/** Espruino's E.convolve: the sum of products, the second array from an offset on and around. */
function convolve(left: Int32Array, right: Int32Array, offset: number): number {
  let sum = 0;
  for (let at = 0; at < left.length; at++) {
    sum += left[at]! * right[(((at + offset) % right.length) + right.length) % right.length]!;
  }
  return sum;
}
