/**
 * `watt402-simulate charge-point`: a charge point and its car that are not there, for a central system that does not know.
 *
 * Promise: ready is one JSON line on standard output once a car is plugged in; SIGTERM and SIGINT unplug it, end with 0 and
 * say in a second line what was really delivered.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { type OcppVersion, VERSIONS } from "#hardware/charger/ocpp/ports";
import { systemClock } from "#node/clock";
import { readText } from "#node/config/text-file";
import { positive, whole } from "../arguments.ts";
import { Car, COMPACT_CAR } from "./car.ts";
import { ChargePoint } from "./charge-point.ts";
import { CHARGING_FAULTS, type ChargingFault } from "./charging-faults.ts";
import { dialWebSocket } from "./station-socket.ts";

interface Flags {
  readonly url: string;
  readonly ocpp: OcppVersion;
  readonly identity: string;
  readonly passwordFile?: string;
  readonly amps: number;
  readonly phases: number;
  readonly charged: number;
  readonly fault: readonly ChargingFault[];
  readonly strikeSeconds?: number;
}

const VOLTS = 230;
const FOLLOW_MS = 2000;
const PLUG_MS = 1000;
/** For the last words of a transaction. */
const FAREWELL_MS = 1000;

/** Runs until a signal; `argv` are the arguments after the command's name. Resolves with the exit code. */
export async function runChargePoint(argv: readonly string[]): Promise<number> {
  try {
    const flags = readFlags(argv);
    const clock = systemClock();
    const stopped = new Promise<void>((resolve) => {
      process.once("SIGTERM", resolve);
      process.once("SIGINT", resolve);
    });
    const milliwattsPerAmp = flags.phases * VOLTS * 1000;
    const point = new ChargePoint({
      dial: dialWebSocket({
        url: flags.url.replace(/\/$/, ""),
        identity: flags.identity,
        password: flags.passwordFile === undefined ? null : readText(flags.passwordFile).trim(),
        version: flags.ocpp,
      }),
      version: flags.ocpp,
      clock,
      random: Math.random,
      faults: flags.fault,
      maxMilliwatts: flags.amps * milliwattsPerAmp,
      milliwattsPerAmp,
      followMs: FOLLOW_MS,
      meterInitial: 1_234_000_000,
      onWait: () => {},
    });
    clock.at(clock.nowMs() + PLUG_MS, () => {
      point.plug(
        new Car({ ...COMPACT_CAR, maxMilliwatts: flags.amps * milliwattsPerAmp }, flags.charged / 100),
      );
      process.stdout.write(
        `${JSON.stringify({ ready: true, identity: flags.identity, ocpp: flags.ocpp })}\n`,
      );
    });
    if (flags.strikeSeconds !== undefined)
      clock.at(clock.nowMs() + flags.strikeSeconds * 1000, () => point.strike());
    await stopped;
    point.unplug();
    await new Promise<void>((resolve) => clock.at(clock.nowMs() + FAREWELL_MS, resolve));
    const deliveredMilliwattHours = Math.round(point.deliveredMilliwattHours());
    process.stdout.write(
      `${JSON.stringify({ stopped: true, deliveredMilliwattHours, shownCost: point.shownCost() })}\n`,
    );
    await point.close();
    return 0;
  } catch (error) {
    // Commander has printed its own complaint or help.
    if (error instanceof CommanderError) return error.exitCode;
    process.stderr.write(`watt402-simulate charge-point: ${(error as Error).message}\n`);
    return 1;
  }
}

function readFlags(argv: readonly string[]): Flags {
  const command = new Command("watt402-simulate charge-point")
    .description("connect a charge point with a car to a central system, by OCPP")
    .requiredOption("--url <url>", "of the central system, as ws://127.0.0.1:9220")
    .addOption(new Option("--ocpp <version>", "version to speak").choices([...VERSIONS]).default("1.6"))
    .option("--identity <name>", "of the charge point, the last part of its address", "CP-7")
    .option("--password-file <file>", "what it logs in with")
    .option("--amps <amps>", "per phase, of charge point and car", positive, 16)
    .option("--phases <count>", "1 or 3", whole(1, 3), 3)
    .option("--charged <per cent>", "of the car's battery when it comes", whole(0, 100), 30)
    .option(
      "--fault <name>",
      `what it does wrong, again for more: ${CHARGING_FAULTS.join(", ")}`,
      readFault,
      [],
    )
    .option("--strike-seconds <seconds>", "when faults that have a time strike", whole(0, 86_400))
    .exitOverride();
  command.parse([...argv], { from: "user" });
  return command.opts<Flags>();
}

function readFault(name: string, before: readonly ChargingFault[]): readonly ChargingFault[] {
  const fault = CHARGING_FAULTS.find((one) => one === name);
  if (fault !== undefined) return [...before, fault];
  throw new InvalidArgumentError(`expected one of ${CHARGING_FAULTS.join(", ")}`);
}
