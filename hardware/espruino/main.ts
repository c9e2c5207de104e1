/**
 * The board's program: what it was provisioned with, joined to its pins, sockets and flash.
 *
 * Promise: it writes none of the files it was provisioned with. A fault in its own code darkens the lamp and
 * restarts the board; so does the watchdog when the program hangs.
 */

import type { Effect, Event } from "#core/events";
import type { State } from "#core/machine";
import { type Board, startBoard } from "../../device/espruino/board-host.ts";
import type { BoardClock } from "../../device/espruino/clock/board-clock.ts";
import type { FlashPages } from "../../device/espruino/flash/flash-pages.ts";
import { type LampMaker, shownLamp } from "./board-lamps.ts";
import { type MeterMaker, passLoad, type SimulatedLoad } from "./board-meters.ts";
import { espruino, every, modules, onFault, restart, say, timers } from "./build/globals.ts";
import { type BoardFile, type BoardNetwork, FILES, RUNG_BYTES, RUNGS_HEAD_BYTES } from "./parts.ts";

const KICK_MS = 2000;
const RESTART_MS = 5000;
const NETWORK_RETRY_MS = 30000;
const SECRET_BYTES = 32;

/** What a simulation looks at: each step of the machine, before its effects are carried out. */
export type Observe = (event: Event, effects: readonly Effect[], state: State) => void;

/** Starts the board. @param meter of the kind in its configuration, as is the lamp @param observe absent on a board */
export function main(meter: MeterMaker, makeLamp: LampMaker, observe?: Observe): Board {
  const storage = modules.storage();
  const file = JSON.parse(fileNamed(FILES.config)) as BoardFile;
  const secrets = espruino.toUint8Array(fileNamed(FILES.secrets));
  const combTable = storage.readArrayBuffer(FILES.combTable);
  if (combTable === undefined) throw new Error(missing(FILES.combTable));
  const { crypto, flash, net } = modules;
  const load: SimulatedLoad = { powerMilliwatts: 0, energyMilliwattHours: 0, sinceMs: 0 };
  let nowMs = () => 0;
  const lamp = shownLamp(makeLamp(file.lamp), (levelPercent) => {
    passLoad(load, nowMs());
    load.powerMilliwatts = (file.settings.ratedMilliwatts * levelPercent) / 100;
  });
  onFault((error) => {
    lamp.set(0);
    say(`fault: ${String(error)}; restarting`);
    timers.setTimeout(restart, RESTART_MS);
  });
  if (file.watchdogSeconds > 0) {
    espruino.enableWatchdog(file.watchdogSeconds, false);
    every(KICK_MS, () => espruino.kickWatchdog());
  }
  joinNetwork(file.network);
  return startBoard(
    file,
    {
      key: secrets.slice(0, SECRET_BYTES),
      tagKey: secrets.slice(SECRET_BYTES, 2 * SECRET_BYTES),
      domainSeparator: secrets.slice(2 * SECRET_BYTES, 3 * SECRET_BYTES),
      combTable: new Uint8Array(combTable),
    },
    {
      net: net(),
      timers,
      sha256: (bytes) => new Uint8Array(crypto().SHA256(bytes)),
      crc32: (bytes) => espruino.CRC32(bytes),
      convolve: (left, right, offset) => espruino.convolve(left, right, offset),
      bytes: {
        bytesOf: (text) => espruino.toUint8Array(text),
        textOf: (bytes) => espruino.toString(bytes),
      },
      pages: flashPages(file, flash()),
      presigned: presignedRungs(),
      makeMeter: (clock: BoardClock) => {
        nowMs = () => clock.nowMs();
        return meter(file.meter, nowMs, load);
      },
      lamp,
      kick: () => espruino.kickWatchdog(),
      say,
      ...(observe === undefined ? {} : { observe }),
    },
  );
}

function flashPages({ pages }: BoardFile, flash: ReturnType<typeof modules.flash>): FlashPages {
  const { address, pageBytes, count } = pages;
  const firmwarePage = flash.getPage(address);
  const erasedBytes = firmwarePage === undefined ? pageBytes : firmwarePage.length;
  return {
    count,
    pageBytes,
    read: (page, offset, length) => flash.read(length, address + page * pageBytes + offset),
    write: (page, offset, bytes) => flash.write(bytes, address + page * pageBytes + offset),
    erase: (page) => {
      // One of ours may be several of the firmware's.
      for (let at = 0; at < pageBytes; at += erasedBytes) flash.erasePage(address + page * pageBytes + at);
    },
  };
}

function presignedRungs(): (channelId: string, amount: number) => Uint8Array | null {
  const storage = modules.storage();
  const head = storage.read(FILES.rungs, 0, RUNGS_HEAD_BYTES);
  if (head === undefined || head.length < RUNGS_HEAD_BYTES) return () => null;
  const [base, quantum, count] = [numberIn(head, 32, 6), numberIn(head, 38, 6), numberIn(head, 44, 2)];
  let id = "0x";
  for (let i = 0; i < 32; i++) id += (head.charCodeAt(i) < 16 ? "0" : "") + head.charCodeAt(i).toString(16);
  return (channelId, amount) => {
    const rung = (amount - base) / quantum;
    if (channelId !== id || !(rung >= 1 && rung <= count) || Math.floor(rung) !== rung) return null;
    const found = storage.read(FILES.rungs, RUNGS_HEAD_BYTES + (rung - 1) * RUNG_BYTES, RUNG_BYTES);
    return found === undefined ? null : espruino.toUint8Array(found);
  };
}

function numberIn(text: string, at: number, width: number): number {
  let value = 0;
  for (let i = at; i < at + width; i++) value = value * 256 + text.charCodeAt(i);
  return value;
}

/** The light starts at once; its link finds the network when it is there. */
function joinNetwork(network: BoardNetwork): void {
  if (network.kind === "wifi") {
    const { ssid, password } = network;
    const join = () =>
      modules.wifi().connect(ssid, { password }, (error) => {
        if (error === null || error === undefined) return;
        say(`network: expected to join ${ssid}, found ${error}; trying again`);
        timers.setTimeout(join, NETWORK_RETRY_MS);
      });
    join();
  }
}

function fileNamed(name: string): string {
  const found = modules.storage().read(name);
  if (found === undefined) throw new Error(missing(name));
  return found;
}

function missing(name: string): string {
  return `expected the file ${name}, found none: flash the board again`;
}
