/**
 * Flags of a simulated run: what `watt402-simulate` reads from its command line, and what they are when absent.
 *
 * Promise: each flag is checked as it is read, and a wrong one is reported with what was expected; nothing of a run is
 * loaded for that.
 */
import { Command, InvalidArgumentError, Option } from "commander";
import { readBrokerUrl } from "#node/broker-socket";
import { Watt402Error } from "#payment/watt402-error";
import { positive, readBy, whole } from "./arguments.ts";
import { type ColumnMapping, readMapping } from "./city/columns.ts";
import { PROFILE_NAMES } from "./profiles/profiles.ts";
import { STREETLIGHT } from "./profiles/streetlight.ts";
import { shippedScenarios } from "./scenario/open-scenario.ts";
import { SCHEME_SERVERS, type SchemeServer } from "./seller/scheme/scheme-server.ts";

/** A run without options: an hour of the evening of 2026-01-15 from 20:00 UTC, when dusk is over. */
export const DEFAULT_RUN = {
  lights: 25,
  minutes: 60,
  speed: 60,
  seed: 1,
  interval: 30,
  startSeconds: Date.UTC(2026, 0, 15, 20) / 1000,
};
/** Options of a run; what is absent is the scenario's, or the default of run-plan.ts. */
export interface FleetFlags {
  /** Devices of any profile. */
  readonly lights?: number;
  readonly profile?: string;
  readonly minutes?: number;
  readonly speed?: number;
  readonly seed?: number;
  readonly espruino?: number;
  readonly lean?: true;
  readonly interval?: number;
  readonly scenario?: string;
  readonly city?: string;
  readonly columns?: ColumnMapping;
  readonly route?: string;
  readonly chains?: number;
  readonly scheme: "batch-settlement" | "exact";
  readonly schemeServer?: SchemeServer;
  readonly chargePercent?: number;
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

export function readFleetFlags(argv: readonly string[]): FleetFlags {
  const command = new Command("watt402-simulate")
    .description("A fleet of streetlights, or of other machines, that buy what they use by x402 over MQTT.")
    .option("--devices <number>", `devices in the fleet (default: ${DEFAULT_RUN.lights})`, whole(1, 100_000))
    .option("--lights <number>", "the same as --devices", whole(1, 100_000))
    .addOption(
      new Option("--profile <name>", "what the devices are, where a scenario's group says nothing else")
        .choices(PROFILE_NAMES)
        .default(undefined, STREETLIGHT.name),
    )
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
      "--chains <number>",
      "development chains, each with a seller and a token of its own; lights are dealt out to them in turn (default: 1)",
      whole(1, 4),
    )
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
    .option(
      "--route <file>",
      "GeoJSON of what cars of road-data drive along, with the regions of their sellers (default: a drawn one)",
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
      `flat:PRICE | tou:FILE.toml | csv:FILE.csv, atomic units per million units, which is a kWh (default: the profile's own, ${STREETLIGHT.tariff})`,
    )
    .option(
      "--charge-percent <share>",
      "the seller meters by itself: of each voucher it charges this share (default: 100)",
      whole(1, 100),
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
      "\nSub-commands, each with --help: seller (the electricity API alone), chain (a development chain alone), city (a drawn city as GeoJSON), modbus-server (a Modbus meter for a device), charge-point (a charge point and its car for a device), route (a drawn route with its sellers as GeoJSON), world (nights in virtual time)",
    )
    .showHelpAfterError("(watt402-simulate --help lists the options)")
    .allowExcessArguments(false)
    .exitOverride();
  command.parse([...argv], { from: "user" });
  return withDevices(command.opts<FleetFlags & { readonly devices?: number }>());
}

/** `--lights` is what `--devices` was called first. */
function withDevices({ devices, ...flags }: FleetFlags & { readonly devices?: number }): FleetFlags {
  if (devices === undefined) return flags;
  if (flags.lights === undefined) return { ...flags, lights: devices };
  throw new Watt402Error(
    "config-invalid",
    `--devices ${devices}: expected no --lights beside it, found ${flags.lights}; leave out --lights`,
  );
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
