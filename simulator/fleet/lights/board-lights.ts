/**
 * Lights of a fleet that run the Espruino board's own bundle, on the fleet's clock and its real broker.
 *
 * Promise: what is flashed is what runs, built once for a run and refused when it has a fault for a board's
 * language. A board is plugged in by day: it has DAY_MS of darkness to sign its night's ladder, nothing of it
 * signed elsewhere, and its dusk comes after. `onWait` is called while an answer to its connection is missing.
 */

import type { PlanStep } from "#core/events";
import { plannedLevel } from "#core/lamp";
import type { Almanac } from "#core/ports";
import type { HostLink, HostParts } from "#node/host";
import { Watt402Error } from "#payment/watt402-error";
import { ladderLength } from "../../../device/espruino/flash/ladder-length.ts";
import { bundleForBoard } from "../../../hardware/espruino/build/bundle.ts";
import { faultLine } from "../../../hardware/espruino/build/lint.ts";
import type { MeterType } from "../../city/lamp-model.ts";
import { ESP32_PAGES, FlashChip } from "../../hardware/flash-chip.ts";
import {
  type BoardRun,
  SIMULATED_LIGHT,
  startBoardHost,
  startTimeServer,
} from "../../hardware/simulated-board-host.ts";

/** Darkness before a board's first night, milliseconds of its own time. */
const DAY_MS = 30_000;

/** The meter on a board's serial port, as its driver counts. */
const METER: MeterType = { name: "CSE7766", resolutionUnits: 1, rollOverAt: 0 };

/** A board's link is its bundle's own. */
const NO_LINK: HostLink = {
  publish() {},
  onMessage() {},
  onChange() {},
  close: () => Promise.resolve(),
};

/** A board's clock is set by whole seconds: its day begins some before they are counted. */
const CLOCK_SECONDS = 3;

const MINUTES_PER_DAY = 1440;

interface BoardsOptions {
  /** Lights that are boards: the first ones of the fleet. */
  readonly count: number;
  /** The simulated evening: its beginning in Unix seconds, its length in milliseconds. */
  readonly epochSeconds: number;
  readonly eveningMs: number;
  readonly onTrouble: (text: string) => void;
}

interface BoardPlug {
  readonly name: string;
  /** The key's own 32 bytes. */
  readonly secret: Uint8Array;
  readonly brokerUrl: string;
  /** True when an answer of the broker begins to be missing, false when it is there. */
  readonly onWait: (waits: boolean) => void;
}

/** What the boards of a fleet did. */
export interface BoardsResult {
  readonly lights: number;
  readonly purchases: number;
  /** Rungs signed on the boards, and those left in their flash for nights to come. */
  readonly rungsSigned: number;
  readonly rungsInStore: number;
}

export interface Boards {
  readonly count: number;
  /** What replaces a light's own meter and link. */
  readonly meter: MeterType;
  readonly link: HostLink;
  /** True once a board has all the rungs of its night in store, or no place for more. */
  isReady(run: BoardRun): boolean;
  start(parts: HostParts, plug: BoardPlug): BoardRun;
  close(): void;
}

/** Builds the bundle. Throws when it has a fault. */
export async function openBoards(options: BoardsOptions): Promise<Boards> {
  const bundle = await bundleForBoard(SIMULATED_LIGHT, "Light");
  if (bundle.faults.length > 0) {
    throw new Watt402Error(
      "file-invalid",
      `--espruino: expected a bundle for a board, found ${faultLine(bundle.faults[0]!)}`,
    );
  }
  const { port, server } = await startTimeServer();
  return {
    count: options.count,
    meter: METER,
    link: NO_LINK,
    isReady: (run) => isLadderReady(run, options.eveningMs),
    start: (parts, { name, secret, brokerUrl, onWait }) => {
      const { hostname, port: brokerPort } = new URL(brokerUrl);
      const nowSeconds = Date.now() / 1000;
      const almanac = shifted(parts.almanac, options.epochSeconds, nowSeconds);
      return startBoardHost(
        { ...parts, almanac, settings: { ...parts.settings, levelWithoutClock: 0 } },
        {
          bundle: bundle.code,
          secret,
          broker: { host: hostname, port: Number(brokerPort || 1883) },
          time: { host: "127.0.0.1", port },
          chip: new FlashChip(ESP32_PAGES),
          longestNightMs: options.eveningMs,
          say: (text) => options.onTrouble(`${name}: ${text}`),
          onWait,
        },
      );
    },
    close: () => server.close(),
  };
}

function isLadderReady({ board, state }: BoardRun, longestMs: number): boolean {
  const { channel, settings } = state();
  if (channel === null) return false;
  const { quantumAtomic, pricePerMillionUnits } = channel;
  const night = { longestMs, ratedMilliwatts: settings.ratedMilliwatts, quantumAtomic, pricePerMillionUnits };
  return board.store.ready() >= ladderLength(night) || board.store.room() === 0;
}

/**
 * The evening's plan on a board's own clock, which is today's, as its broker believes no other: dark from now
 * on for DAY_MS, and then as the evening from its beginning on.
 */
function shifted(almanac: Almanac, epochSeconds: number, nowSeconds: number): Almanac {
  const plan = almanac.plan(epochSeconds);
  const day = minuteOf(nowSeconds - CLOCK_SECONDS);
  const dusk = minuteOf(nowSeconds + DAY_MS / 1000);
  const darkMinutes = since(day, dusk);
  const shift = (nowSeconds + DAY_MS / 1000 - epochSeconds) / 60;
  const steps = plan
    .map(({ minuteOfDay, levelPercent }) => ({ minuteOfDay: modulo(minuteOfDay + shift), levelPercent }))
    .filter(({ minuteOfDay }) => since(day, minuteOfDay) > darkMinutes);
  const atDusk: PlanStep = { minuteOfDay: dusk, levelPercent: plannedLevel(plan, epochSeconds) };
  const whole = [...steps, { minuteOfDay: day, levelPercent: 0 }, atDusk];
  whole.sort((left, right) => left.minuteOfDay - right.minuteOfDay);
  return { plan: () => whole };
}

function minuteOf(seconds: number): number {
  return modulo(seconds / 60);
}

function modulo(minutes: number): number {
  return ((minutes % MINUTES_PER_DAY) + MINUTES_PER_DAY) % MINUTES_PER_DAY;
}

function since(fromMinute: number, toMinute: number): number {
  return modulo(toMinute - fromMinute);
}
