/**
 * A light on a simulated board, in the place of the host on Linux: the bundle that is flashed, with the
 * light's own lamp and meter on its pins.
 *
 * Promise: the machine, its link and its ladder are those of the bundle; of the parts given, lamp, meter,
 * clock, settings and the eye on its steps are used. Its energy goes over the wire of a CSE7766.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Effect, Event } from "#core/events";
import type { State } from "#core/machine";
import type { HostCounters, HostParts, RunningMachine } from "#node/host";
import type { Board } from "../../device/espruino/board-host.ts";
import { boardFiles } from "../../hardware/espruino/provision.ts";
import { ESP32_PAGES, type FlashChip } from "./flash-chip.ts";
import { SimulatedBoard } from "./simulated-board.ts";
import { StorageStandIn } from "./storage.ts";

/** A meter's frames come this often, milliseconds of the light's own time. */
const FRAME_MS = 100;

/** Power coefficient of the simulated part: one pulse is 3.6 mWs times a hundred, a tenth of a milliwatt-hour. */
const COEFFICIENT = 360_000;
const PULSE_MILLIWATT_HOURS = COEFFICIENT / 3.6e6;

const FLASH_ADDRESS = 0x310000;
const STORAGE_BYTES = 917_504;

/** What is bundled as `Light`: the program of a board with that meter and lamp, and an eye on its steps. */
export const SIMULATED_LIGHT = `
  import { pwmLamp } from "#hardware/espruino/board-lamps";
  import { main as start } from "#hardware/espruino/main";
  import { cseMeter } from "#hardware/espruino/board-meters";
  export const main = (observe) => start(cseMeter, pwmLamp, observe);
`;

interface BoardSite {
  /** The bundle of SIMULATED_LIGHT. */
  readonly bundle: string;
  /** The key's own 32 bytes. */
  readonly secret: Uint8Array;
  readonly broker: { readonly host: string; readonly port: number };
  readonly time: { readonly host: string; readonly port: number };
  /** What lasts when its power goes. */
  readonly chip: FlashChip;
  readonly longestNightMs: number;
  /** Called with what the board prints. */
  readonly say: (text: string) => void;
  /** Called when an answer to its connection begins to be missing (true), and when one is there. */
  readonly onWait?: (waits: boolean) => void;
}

export interface BoardRun extends RunningMachine {
  readonly board: Board;
  /** The power goes. */
  off(): void;
}

export function startBoardHost(parts: HostParts, site: BoardSite): BoardRun {
  const { clock, key } = parts;
  const storage = new StorageStandIn(STORAGE_BYTES);
  const files = boardFiles({
    key,
    secret: site.secret,
    gatewayPublicKey: parts.gatewayPublicKey,
    firstNight: null,
    file: {
      broker: site.broker,
      time: site.time,
      keepaliveSeconds: 60,
      settings: { ...parts.settings, signsOnDemand: false },
      longestNightMs: site.longestNightMs,
      plan: { kind: "steps", steps: parts.almanac.plan(clock.wallSeconds() ?? 0) },
      describe: parts.describe,
      network: { kind: "none" },
      meter: { kind: "cse7766", serial: "Serial1", rxPin: "D16", calibration: 1 },
      lamp: { kind: "pwm", pin: "D4", hertz: 1000, relayPin: "D5" },
      pages: { address: FLASH_ADDRESS, pageBytes: ESP32_PAGES.pageBytes, count: ESP32_PAGES.pages },
      watchdogSeconds: 30,
    },
  });
  for (const [name, bytes] of files) storage.write(name, Buffer.from(bytes).toString("latin1"));
  const simulated = new SimulatedBoard({
    clock,
    storage,
    chip: site.chip,
    flashAddress: FLASH_ADDRESS,
    pin: (name, value) => {
      if (name === "D4") parts.lamp.set(Math.round(100 * value));
    },
    say: site.say,
    onWait: site.onWait ?? (() => {}),
  });
  const { main } = simulated.run(site.bundle) as {
    main(observe: (event: Event, effects: readonly Effect[], state: State) => void): Board;
  };
  // Before the program looks at its meter for the first time, it has spoken.
  let isOn = true;
  const metered = () => {
    if (!isOn) return;
    parts.meter.read((reading) => {
      if (reading === null) return;
      simulated.receive("Serial1", frameOf(reading.raw, reading.powerMilliwatts));
    });
    clock.at(clock.nowMs() + FRAME_MS, metered);
  };
  const board = main((event, effects, state) => parts.observe?.(event, effects, state));
  metered();
  const off = () => {
    isOn = false;
    simulated.off();
    parts.lamp.set(0);
  };
  return {
    board,
    counters: board.machine.counters as HostCounters,
    state: () => board.machine.state(),
    off,
    stop: () =>
      new Promise((resolve, reject) =>
        board.machine.stop((error) => {
          board.link.close();
          // What was said goes out before the plug is pulled.
          setTimeout(() => {
            off();
            if (error === null) resolve();
            else reject(new Error(error));
          }, 200);
        }),
      ),
  };
}

/** A server that states the time of day in its answers' Date header, as any does. */
export async function startTimeServer(): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer((_, answer) => answer.end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  return { port: (server.address() as AddressInfo).port, server };
}

/** CSE7766 frame: pulses in its 16-bit counter, power as coefficient over cycle. */
function frameOf(milliwattHours: number, powerMilliwatts: number): string {
  const bytes = Buffer.alloc(24);
  const isIdle = powerMilliwatts < 1;
  bytes[0] = isIdle ? 0xf2 : 0x55;
  bytes[1] = 0x5a;
  bytes.writeUIntBE(COEFFICIENT, 14, 3);
  bytes.writeUIntBE(
    isIdle ? 1 : Math.min(0xffffff, Math.round((1000 * COEFFICIENT) / powerMilliwatts)),
    17,
    3,
  );
  bytes[20] = 0x10;
  bytes.writeUInt16BE(Math.floor(milliwattHours / PULSE_MILLIWATT_HOURS) % 0x10000, 21);
  let sum = 0;
  for (let at = 2; at < 23; at++) sum += bytes[at]!;
  bytes[23] = sum & 0xff;
  return bytes.toString("latin1");
}
