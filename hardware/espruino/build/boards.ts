/**
 * The boards with a firmware that the light was made for, and what they have room for (Espruino 2v29).
 *
 * Promise: figures of the boards' definitions; what the light itself needs of memory was measured in the
 * interpreter, see README.md beside this file.
 */
import { JOURNAL_PAGES } from "../../../device/espruino/board-host.ts";

export interface BoardKind {
  readonly title: string;
  /** What the firmware calls the board. */
  readonly firmware: string;
  /** Of its serial console; USB and network ask for none. */
  readonly baud: number;
  /** Of the firmware's file store, with its headers. */
  readonly storageBytes: number;
  /** Pages that the firmware leaves free: journal and ladder. */
  readonly pages: { readonly address: number; readonly pageBytes: number; readonly count: number };
  /** Most variables that the interpreter has. */
  readonly variablesMax: number;
  /** Those that its firmware's own network takes, where that is written in JavaScript. */
  readonly networkVariables: number;
  readonly pin: RegExp;
  /** Serial ports that neither the firmware's network nor its console has. */
  readonly serialPorts: readonly ("Serial1" | "Serial2")[];
  readonly watchdogSeconds: number;
}

export const BOARDS = {
  esp32: {
    title: "ESP32",
    firmware: "ESP32",
    baud: 115_200,
    storageBytes: 917_504,
    pages: { address: 0x310000, pageBytes: 4096, count: 16 },
    variablesMax: 16_383,
    networkVariables: 0,
    pin: /^D([0-9]|[12][0-9]|3[0-9])$/,
    serialPorts: ["Serial1", "Serial2"],
    watchdogSeconds: 30,
  },
  espruinowifi: {
    title: "Espruino WiFi",
    firmware: "ESPRUINOWIFI",
    baud: 9600,
    storageBytes: 65_536,
    pages: { address: 0x08004000, pageBytes: 16_384, count: 3 },
    variablesMax: 8190,
    networkVariables: 700,
    // Those at its edges, without B6 and B7: there the console is while no USB is.
    pin: /^(A[014-8]|A10|B[0134589]|B10|B1[3-5])$/,
    serialPorts: [],
    watchdogSeconds: 25,
  },
  // The interpreter as a program: its file store covers the whole of its flash, so our pages are its end.
  linux: {
    title: "Espruino for Linux",
    firmware: "LINUX",
    baud: 9600,
    storageBytes: 229_376,
    pages: { address: 0x10038000, pageBytes: 4096, count: 8 },
    variablesMax: 16_383,
    networkVariables: 0,
    pin: /^D([0-9]|[12][0-9]|3[01])$/,
    serialPorts: ["Serial1", "Serial2"],
    watchdogSeconds: 0,
  },
} as const satisfies Readonly<Record<string, BoardKind>>;

/** Variables of the light while it runs and buys, between two messages: measured in the interpreter. */
const LIGHT_VARIABLES = 5500;

/** Those that messages and sockets need beside it: an offer and its parsed form are the largest. */
const MESSAGE_VARIABLES = 1950;

const FILE_HEADER_BYTES = 32;
const LADDER_HEAD_BYTES = 60;
const RUNG_SLOT_BYTES = 72;

export interface BoardBudget {
  readonly flashBytes: number;
  readonly flashBytesMax: number;
  readonly variables: number;
  readonly variablesMax: number;
  /** Rungs that its ladder can hold. */
  readonly rungsMax: number;
}

/** What a light takes of a board. @param files bytes of each file, the bundle among them */
export function budgetOf(board: BoardKind, files: readonly number[]): BoardBudget {
  const { pageBytes, count } = board.pages;
  const rungsPerPage = Math.floor((pageBytes - LADDER_HEAD_BYTES) / RUNG_SLOT_BYTES);
  return {
    flashBytes: flashBytesOf(files),
    flashBytesMax: board.storageBytes,
    variables: LIGHT_VARIABLES + MESSAGE_VARIABLES + board.networkVariables,
    variablesMax: board.variablesMax,
    rungsMax: (count - JOURNAL_PAGES) * rungsPerPage,
  };
}

/** Bytes that files take in a board's store, headers and padding included. @param files bytes of each */
export function flashBytesOf(files: readonly number[]): number {
  return files.reduce((sum, bytes) => sum + FILE_HEADER_BYTES + 4 * Math.ceil(bytes / 4), 0);
}

/** One line for each budget that is exceeded. */
export function budgetFaults(board: BoardKind, budget: BoardBudget): string[] {
  const faults: string[] = [];
  if (budget.flashBytes > budget.flashBytesMax) {
    faults.push(
      `--board: expected at most ${budget.flashBytesMax} bytes of files on ${board.title}, ` +
        `found ${budget.flashBytes}; use an ESP32`,
    );
  }
  if (budget.variables > budget.variablesMax) {
    faults.push(
      `--board: expected at most ${budget.variablesMax} variables on ${board.title}, ` +
        `found ${budget.variables}; use an ESP32`,
    );
  }
  return faults;
}
