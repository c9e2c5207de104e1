/**
 * What the boards' interpreter has built in, as far as the light uses it (Espruino 2v29's reference).
 *
 * Promise: types alone, and each global handed on by one name, so that nothing else in the bundle reaches out.
 */
import type { BoardNet } from "../../../device/espruino/mqtt/board-link.ts";

/** What a light says of itself on its console. */
export interface ConsoleReport {
  /** Rungs in store, and the minutes of full light that they buy. */
  readonly ladderRungs: number;
  readonly ladderMinutes: number;
  /** Since the start, as is what failed. */
  readonly signed: number;
  readonly failedSignatures: number;
  /** Of the channel, atomic units. */
  readonly charged: number;
  readonly maxClaimable: number;
  /** Metered units. */
  readonly granted: number;
  readonly register: number;
  readonly levelPercent: number;
  readonly variables: number;
  readonly longestTurnMs: number;
}

export interface BoardPin {
  write(value: boolean): void;
  mode(mode: string): void;
}

interface BoardSerial {
  setup(baud: number, options: Readonly<Record<string, unknown>>): void;
  on(event: "data", take: (bytes: string) => void): void;
  write(bytes: Uint8Array): void;
}

export interface BoardI2c {
  setup(options: Readonly<Record<string, unknown>>): void;
  writeTo(address: number, bytes: readonly number[]): void;
  readFrom(address: number, length: number): Uint8Array;
}

interface StorageModule {
  /** A view of the flash where the board maps it; undefined when there is no such file. */
  read(name: string, offset?: number, length?: number): string | undefined;
  readArrayBuffer(name: string): ArrayBuffer | undefined;
}

interface FlashModule {
  read(length: number, address: number): Uint8Array;
  write(bytes: Uint8Array, address: number): void;
  erasePage(address: number): void;
  getPage(address: number): { readonly length: number } | undefined;
}

interface CryptoModule {
  SHA256(bytes: Uint8Array): ArrayBuffer;
}

interface WifiModule {
  connect(
    network: string,
    options: Readonly<Record<string, unknown>>,
    done: (error: string | null) => void,
  ): void;
}

interface Espruino {
  CRC32(bytes: Uint8Array): number;
  convolve(left: Int32Array, right: Int32Array, offset: number): number;
  toString(bytes: Uint8Array): string;
  toUint8Array(text: string): Uint8Array;
  enableWatchdog(seconds: number, isAutomatic: boolean): void;
  kickWatchdog(): void;
  reboot?: () => void;
}

declare const E: Espruino;
declare const Pin: new (name: string) => BoardPin;
declare const process: {
  on(event: "uncaughtException", take: (error: unknown) => void): void;
  /** @param collect false leaves what is garbage where it is */
  memory(collect: boolean): { readonly usage: number; readonly total: number };
};
// Reached as a member, so that no bundler puts a shim of its own around it.
declare const global: { require(name: string): unknown; light: () => ConsoleReport };
declare function print(text: string): void;
declare function getTime(): number;
declare function setTimeout(call: () => void, delayMs: number): unknown;
declare function clearTimeout(timer: unknown): void;
declare function setInterval(call: () => void, delayMs: number): unknown;
declare function analogWrite(pin: BoardPin, value: number, options: Readonly<Record<string, unknown>>): void;
declare function setWatch(
  call: (event: { readonly time: number }) => void,
  pin: BoardPin,
  options: Readonly<Record<string, unknown>>,
): void;
declare function load(): void;
declare const Serial1: BoardSerial;
declare const Serial2: BoardSerial;
declare const I2C1: BoardI2c;

export const espruino = E;
export const modules = {
  storage: () => global.require("Storage") as StorageModule,
  flash: () => global.require("Flash") as FlashModule,
  net: () => global.require("net") as BoardNet,
  crypto: () => global.require("crypto") as CryptoModule,
  wifi: () => global.require("Wifi") as WifiModule,
};
export const timers = {
  getTime: () => getTime(),
  setTimeout: (call: () => void, delayMs: number) => setTimeout(call, delayMs),
  clearTimeout: (timer: unknown) => clearTimeout(timer),
};
/** Callable from the board's console. */
export const onConsole = (light: () => ConsoleReport) => {
  global.light = light;
};
export const variablesUsed = () => process.memory(false).usage;
export const every = (delayMs: number, call: () => void) => setInterval(call, delayMs);
export const say = (text: string) => print(text);
export const pinNamed = (name: string) => new Pin(name);
export const pwm = (pin: BoardPin, share: number, hertz: number) =>
  analogWrite(pin, share, { freq: hertz, soft: hertz < 200 });
export const watch = (
  pin: BoardPin,
  options: Readonly<Record<string, unknown>>,
  call: (seconds: number) => void,
) => setWatch((event) => call(event.time), pin, options);
export const serialNamed = (name: string): BoardSerial => (name === "Serial1" ? Serial1 : Serial2);
export const i2c = () => I2C1;
export const onFault = (take: (error: unknown) => void) => process.on("uncaughtException", take);
export const restart = () => {
  if (E.reboot === undefined) load();
  else E.reboot();
};
