/**
 * `watt402-simulate`: a fleet of streetlights buying electricity, with everything real but the poles.
 *
 * Promise: the result goes to standard output, everything else to standard error; exit code 0 only when
 * the run reconciled to the last atomic unit; one clear line for every reason not to start.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { readBrokerUrl } from "#node/broker-socket";
import { positive, readBy, whole } from "./arguments.ts";
import { runChain } from "./chain/run-chain.ts";
import { type ColumnMapping, readMapping } from "./city/columns.ts";
import { runCity } from "./city/run-city.ts";
import { runMeter } from "./meter/run-meter.ts";
import { runFleet } from "./run-fleet.ts";
import { DEFAULT_RUN } from "./run-plan.ts";
import { shippedScenarios } from "./scenario/open-scenario.ts";
import { runUtility } from "./utility/run-utility.ts";
import { SCHEME_SERVERS, type SchemeServer } from "./utility/scheme-server.ts";
import { runWorld } from "./world/run-world.ts";

export async function main(argv: readonly string[]): Promise<void> {
  const [command, ...rest] = argv;
  if (command === "utility") process.exitCode = await runUtility(rest);
  else if (command === "city") process.exitCode = await runCity(rest);
  else if (command === "chain") process.exitCode = await runChain(rest);
  else if (command === "meter") process.exitCode = await runMeter(rest);
  else if (command === "world") process.exitCode = await runWorld(rest);
  else process.exitCode = await simulate(argv);
  // A parent's channel would keep a finished program alive.
  if (process.connected) process.disconnect();
}

async function simulate(argv: readonly string[]): Promise<number> {
  try {
    return await runFleet(readOptions(argv));
  } catch (error) {
    // Commander has printed its own complaint or help.
    if (error instanceof CommanderError) return error.exitCode;
    process.stderr.write(`watt402-simulate: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

/** Options of a run; what is absent is the scenario's, or the default of run-plan.ts. */
export interface FleetFlags {
  readonly lights?: number;
  readonly minutes?: number;
  readonly speed?: number;
  readonly seed?: number;
  readonly espruino?: number;
  readonly lean?: true;
  readonly interval?: number;
  readonly scenario?: string;
  readonly city?: string;
  readonly columns?: ColumnMapping;
  readonly scheme: "batch-settlement" | "exact";
  readonly schemeServer?: SchemeServer;
  readonly tariff?: string;
  readonly report?: string;
  readonly broker?: string;
  readonly brokerUser?: string;
  readonly brokerPasswordFile?: string;
  readonly brokerCa?: string;
  readonly seller?: string;
  readonly rpc?: string;
  readonly token?: string;
  readonly json?: true;
}

function readOptions(argv: readonly string[]): FleetFlags {
  const command = new Command("watt402-simulate")
    .description(
      "Simulates a fleet of streetlights that buy their electricity: real MQTT, real x402, a real chain.",
    )
    .option("--lights <number>", `lights in the fleet (default: ${DEFAULT_RUN.lights})`, whole(1, 100_000))
    .option("--minutes <number>", `simulated minutes (default: ${DEFAULT_RUN.minutes})`, positive)
    .option(
      "--speed <factor>",
      `simulated seconds in a second, at most (default: ${DEFAULT_RUN.speed})`,
      positive,
    )
    .option(
      "--seed <number>",
      `draws city, lamps, meters and plans (default: ${DEFAULT_RUN.seed})`,
      whole(0, 4_294_967_295),
    )
    .option(
      "--interval <seconds>",
      `what one purchase should last for, at rated power (default: ${DEFAULT_RUN.interval})`,
      positive,
    )
    .option(
      "--espruino <number>",
      "so many of the lights run the Espruino board's bundle (default: 0)",
      whole(1, 1_000),
    )
    .option("--lean", "lights speak MQTT by hand, not by the device's own client: for fleets of thousands")
    .option(
      "--scenario <name|file>",
      `what happens in the evening: ${shippedScenarios().join(", ")}, or a TOML file`,
    )
    .option("--city <seed|file>", "another city by its seed, or an inventory of lights: CSV or GeoJSON")
    .option(
      "--columns <mapping>",
      "columns of that inventory, as latitude=Y,longitude=X,watts=W",
      readBy(readMapping),
    )
    .addOption(
      new Option("--scheme <scheme>", "how lights pay")
        .choices(["batch-settlement", "exact"])
        .default("batch-settlement"),
    )
    .addOption(
      new Option(
        "--scheme-server <which>",
        `who verifies vouchers: meter-grade, or the official SDK (default: ${SCHEME_SERVERS[0]})`,
      ).choices(SCHEME_SERVERS),
    )
    .option(
      "--tariff <kind>",
      `flat:PRICE | tou:FILE.toml | csv:FILE.csv, atomic units per kWh (default: ${DEFAULT_RUN.tariff})`,
    )
    .option("--broker <url>", "an MQTT broker that runs elsewhere, instead of the gateway's own", brokerUrl)
    .option(
      "--broker-user <name>",
      "its account for the gateway and all lights, which may speak for each of them",
    )
    .option("--broker-password-file <file>", "the file of that account's password")
    .option("--broker-ca <file>", "PEM of the authority behind its certificate")
    .option("--seller <url>", "an electricity API that runs elsewhere, instead of one started here", httpUrl)
    .option(
      "--rpc <url>",
      "a chain that runs elsewhere, with x402's contracts, instead of a development node",
      httpUrl,
    )
    .option("--token <address>", "EIP-3009 token on that chain", address)
    .option("--json", "print the result as one JSON document")
    .option("--report <file>", "write the evening as one HTML page")
    .addHelpText(
      "after",
      "\nSub-commands, each with --help: utility (the electricity API alone), chain (a development chain alone), city (a drawn city as GeoJSON), meter (a Modbus meter for a device), world (nights in virtual time)",
    )
    .showHelpAfterError("(watt402-simulate --help lists the options)")
    .allowExcessArguments(false)
    .exitOverride();
  command.parse([...argv], { from: "user" });
  return command.opts<FleetFlags>();
}

/** Without a slash at its end, so that paths can follow. */
function httpUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol === "http:" || url?.protocol === "https:") return text.replace(/\/+$/, "");
  throw new InvalidArgumentError("expected an http or https URL");
}

function brokerUrl(text: string): string {
  try {
    readBrokerUrl(text);
    return text;
  } catch {
    throw new InvalidArgumentError("expected mqtt://host:port or mqtts://host:port");
  }
}

function address(text: string): string {
  if (/^0x[0-9a-fA-F]{40}$/.test(text)) return text;
  throw new InvalidArgumentError("expected 0x and 40 hex digits");
}
