/**
 * The options of `watt402-simulate world`.
 *
 * Promise: what is returned means something together; else one line says what was expected and found.
 */
import { availableParallelism } from "node:os";
import { Command, InvalidArgumentError, Option } from "commander";
import { positive, readBy, whole } from "../../arguments.ts";
import { type ColumnMapping, readMapping } from "../../city/columns.ts";
import { WORLD_PROFILE_NAMES } from "../../profiles/profiles.ts";
import { STREETLIGHT } from "../../profiles/streetlight.ts";
import { shippedScenarios } from "../../scenario/open-scenario.ts";
import { FAULT_KINDS, type FaultChoice, readFaultChoice } from "../engine/faults.ts";
import type { EveningRequest } from "./scenario-plan.ts";

export interface WorldFlags {
  readonly seed?: number;
  readonly seeds?: number;
  readonly lights?: number;
  readonly nights?: number;
  readonly minutes?: number;
  readonly interval?: number;
  readonly scenario?: string;
  readonly city?: string;
  readonly columns?: ColumnMapping;
  readonly tariff?: string;
  readonly faults?: FaultChoice;
  readonly signing: "stand-in" | "real";
  readonly boards?: number;
  readonly chargePercent?: number;
  readonly profile?: string;
  readonly workers: number;
  readonly report?: string;
  readonly json?: true;
}

/** Lights of a world that is drawn from its seed. */
export const DRAWN_LIGHTS = 8;

/** Throws commander's own error, after it has printed what is wrong. */
export function readWorldFlags(argv: readonly string[]): WorldFlags {
  const command = new Command("watt402-simulate world")
    .description(
      "Whole nights in virtual time, with everything going wrong, checked against physics, wire, disks and chain.",
    )
    .option("--seed <number>", "one world", whole(0, 4_294_967_295))
    .option("--seeds <number>", "so many worlds, from seed 1", whole(1, 1_000_000))
    .option(
      "--lights <number>",
      `lights in each world (default: ${DRAWN_LIGHTS}, or the scenario's or the inventory's)`,
      whole(1, 10_000_000),
    )
    .option("--nights <number>", "nights of 14 hours (default: 1)", whole(1, 366))
    .option(
      "--faults <kinds>",
      "all, none, or kinds between commas (default: all; none of a scenario)",
      readBy(readFaultChoice),
    )
    .option(
      "--scenario <name|file>",
      `the evening of a scenario: ${shippedScenarios().join(", ")}, or a TOML file`,
    )
    .option("--city <seed|file>", "a city by its seed, or an inventory of lights: CSV or GeoJSON")
    .option(
      "--columns <mapping>",
      "columns of that inventory, as latitude=Y,longitude=X,watts=W",
      readBy(readMapping),
    )
    .option("--tariff <kind>", "of scenario or city: flat:PRICE | tou:FILE.toml | csv:FILE.csv")
    .option("--minutes <number>", "length of the scenario's evening", positive)
    .option("--interval <seconds>", "of scenario or city: what one purchase should last for", positive)
    .option("--signing <how>", "stand-in or real secp256k1", signing, "stand-in")
    .option(
      "--boards <number>",
      "so many of the lights keep memory and rungs as Espruino boards do",
      whole(1, 256),
    )
    .option("--charge-percent <share>", "the seller charges this share of each voucher", whole(1, 100))
    .addOption(
      new Option("--profile <name>", "what the devices of a drawn world are")
        .choices(WORLD_PROFILE_NAMES)
        .default(undefined, STREETLIGHT.name),
    )
    .option("--workers <number>", "worlds at once", whole(1, 64), Math.max(1, availableParallelism()))
    .option("--report <file>", "write the first world as one HTML page")
    .option("--json", "print the result as one JSON document")
    .addHelpText("after", `\nKinds of faults: ${FAULT_KINDS.join(", ")}`)
    .allowExcessArguments(false)
    .exitOverride();
  command.parse([...argv], { from: "user" });
  const flags = command.opts<WorldFlags>();
  const wrong = contradictionOf(flags);
  if (wrong !== null) command.error(`error: ${wrong}`, { exitCode: 1 });
  return flags;
}

function contradictionOf(flags: WorldFlags): string | null {
  const { seed, seeds, scenario, city, nights, minutes, columns: mapping, tariff, interval, profile } = flags;
  if (seed !== undefined && seeds !== undefined) return "expected --seed or --seeds, found both";
  if (scenario !== undefined && nights !== undefined) {
    return "expected --minutes for the length of a scenario's evening, found --nights";
  }
  if (minutes !== undefined && scenario === undefined)
    return "--minutes: expected --scenario too, found none";
  if (mapping !== undefined && city === undefined) return "--columns: expected --city too, found none";
  if (profile !== undefined && (scenario !== undefined || city !== undefined))
    return "--profile: expected a world that is drawn, found --scenario or --city";
  const isDrawn = scenario === undefined && city === undefined;
  if (isDrawn && tariff !== undefined) return "--tariff: expected --scenario or --city too, found neither";
  if (isDrawn && interval !== undefined)
    return "--interval: expected --scenario or --city too, found neither";
  return null;
}

/** The evening asked for; null for nights drawn from the seed. */
export function requestOf(flags: WorldFlags): EveningRequest | null {
  const { lights, minutes, interval, scenario, city, columns: mapping, tariff, nights = 1 } = flags;
  if (scenario === undefined && city === undefined) return null;
  const given = { lights, minutes, interval, scenario, city, columns: mapping, tariff };
  return {
    flags: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    nights,
  };
}

/** A scenario is what happens; without one, everything may. */
export function faultsOf({ faults: chosen, scenario }: WorldFlags): FaultChoice {
  return chosen ?? (scenario === undefined ? "all" : "none");
}

/** The command that runs one world of these again. */
export function commandOf(flags: WorldFlags, seed: number): string {
  const { lights, nights, minutes, interval, scenario, city, tariff, boards, chargePercent, profile } = flags;
  const chosen = faultsOf(flags);
  const given = {
    scenario,
    city,
    tariff,
    lights: lights ?? (requestOf(flags) === null ? DRAWN_LIGHTS : undefined),
    nights: scenario === undefined ? (nights ?? 1) : undefined,
    ...{ minutes, interval, boards, profile },
    "charge-percent": chargePercent,
    faults: typeof chosen === "string" ? chosen : chosen.join(","),
  };
  const options = Object.entries(given).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name} ${value}`],
  );
  return ["npx watt402-simulate world", `--seed ${seed}`, ...options].join(" ");
}

function signing(text: string): string {
  if (text === "stand-in" || text === "real") return text;
  throw new InvalidArgumentError('expected "stand-in" or "real"');
}
