/**
 * `watt402-simulate modbus-server`: a Modbus meter that is not there, for a device that does not know.
 *
 * Promise: ready is one JSON line on standard output; its counter rises in real time with the load that
 * it is given, or with a lamp's own brightness file; SIGTERM and SIGINT end it with 0.
 */

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { SerialPort } from "serialport";
import { openRegisterMap, shippedMaps } from "#hardware/meters/modbus/map-table";
import type { RegisterMap } from "#hardware/meters/modbus/register-map";
import { Watt402Error } from "#payment/watt402-error";
import { whole } from "../arguments.ts";
import { MeterImage } from "./meter-image.ts";
import { listenAsMeter, serveRtu } from "./modbus-slave.ts";

/** Between two looks at the lamp's brightness. */
const FOLLOW_MS = 50;

interface Flags {
  readonly map: string;
  readonly tcp?: number;
  readonly rtuTcp?: number;
  readonly serial?: string;
  readonly slave: number;
  readonly watts: number;
  readonly lamp?: string;
  readonly startKwh: number;
}

/** Runs until a signal; `argv` are the arguments after the command's name. Resolves with the exit code. */
export async function runModbusServer(argv: readonly string[]): Promise<number> {
  try {
    const flags = readFlags(argv);
    const map = openRegisterMap(flags.map);
    const image = new MeterImage(map, flags.startKwh * 1e6, () => performance.now());
    const stopped = new Promise<void>((resolve) => {
      process.once("SIGTERM", resolve);
      process.once("SIGINT", resolve);
    });
    const unfollow = follow(image, flags);
    const served = await serve(flags, map, image);
    process.stdout.write(
      `${JSON.stringify({ ready: true, map: map.name, slave: flags.slave, ...served.at })}\n`,
    );
    await stopped;
    unfollow();
    await served.close();
    const energyMilliwattHours = Math.floor(image.energyMilliwattHours());
    process.stdout.write(`${JSON.stringify({ stopped: true, energyMilliwattHours })}\n`);
    return 0;
  } catch (error) {
    // Commander has printed its own complaint or help.
    if (error instanceof CommanderError) return error.exitCode;
    process.stderr.write(`watt402-simulate modbus-server: ${(error as Error).message}\n`);
    return 1;
  }
}

function readFlags(argv: readonly string[]): Flags {
  const names = shippedMaps().map(({ name }) => name);
  const command = new Command("watt402-simulate modbus-server")
    .description("serve a meter's registers as a Modbus slave")
    .requiredOption("--map <name|file>", `register map: ${names.join(", ")}, or a .json file`)
    .option("--tcp <port>", "Modbus TCP on this port of this machine, 0 for any free one", whole(0, 65_535))
    .option("--rtu-tcp <port>", "RTU frames over TCP, as serial converters do", whole(0, 65_535))
    .option("--serial <device>", "Modbus RTU on a serial port or a pseudo-terminal")
    .option("--slave <address>", "slave address", whole(1, 247), 1)
    .option("--watts <power>", "load", notNegative, 60)
    .option(
      "--lamp <file>",
      "a brightness file: the load is the share of max_brightness, beside it, that it shows",
    )
    .option("--start-kwh <energy>", "what the counter shows at first", notNegative, 0)
    .exitOverride();
  command.parse([...argv], { from: "user" });
  const flags = command.opts<Flags>();
  if ([flags.tcp, flags.rtuTcp, flags.serial].filter((way) => way !== undefined).length === 1) return flags;
  throw new Watt402Error("config-invalid", "expected exactly one of --tcp, --rtu-tcp, --serial");
}

async function serve(flags: Flags, { serial }: RegisterMap, image: MeterImage) {
  const slaves = new Map([[flags.slave, image]]);
  if (flags.serial !== undefined) {
    const port = await openSerial(flags.serial, serial);
    serveRtu(port, slaves);
    const close = () => new Promise<void>((resolve) => port.close(() => resolve()));
    return { at: { serial: flags.serial }, close };
  }
  const framing = flags.tcp === undefined ? "rtu" : "tcp";
  const server = await listenAsMeter(framing, flags.tcp ?? flags.rtuTcp ?? 0, slaves);
  return { at: { port: server.port }, close: () => server.close() };
}

function openSerial(path: string, format: RegisterMap["serial"]): Promise<SerialPort> {
  const { baud, parity } = format;
  const stopBits = format.stopBits === 2 ? 2 : 1;
  const port = new SerialPort({ path, baudRate: baud, dataBits: 8, parity, stopBits, autoOpen: false });
  return new Promise((resolve, reject) => {
    port.open((error) => (error ? reject(error) : resolve(port)));
  });
}

/** Keeps the load what the flags say; returns the end of it. */
function follow(image: MeterImage, { lamp, watts }: Flags): () => void {
  if (lamp === undefined) {
    image.draw(watts * 1000);
    return () => {};
  }
  const max = brightness(join(dirname(lamp), "max_brightness")) || 1;
  const look = () => image.draw((watts * 1000 * Math.min(max, brightness(lamp))) / max);
  look();
  const timer = setInterval(look, FOLLOW_MS);
  return () => clearInterval(timer);
}

/** A lamp whose file is not there, or not written yet, is dark. */
function brightness(file: string): number {
  try {
    return Number(readFileSync(file, "utf8")) || 0;
  } catch {
    return 0;
  }
}

function notNegative(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new InvalidArgumentError("expected a number of 0 or more");
}
