/**
 * `watt402-simulate city`: a drawn city as GeoJSON on standard output, to be looked at on any map, changed,
 * and read again by --city.
 */

import { Command, CommanderError, InvalidArgumentError } from "commander";
import { Watt402Error } from "#payment/watt402-error";
import { generateCity, MAX_CITY_LIGHTS } from "./generate.ts";
import { geoJsonOf } from "./geojson.ts";

interface Flags {
  readonly lights: number;
  readonly seed: number;
  readonly latitude?: number;
  readonly longitude?: number;
}

/** `argv` are the arguments after the command's name. Resolves with the exit code. */
export async function runCity(argv: readonly string[]): Promise<number> {
  try {
    const { lights, seed, latitude, longitude } = readFlags(argv);
    if ((latitude === undefined) !== (longitude === undefined)) {
      throw new Watt402Error(
        "file-invalid",
        "place: expected --latitude and --longitude together, found one of them",
      );
    }
    const place = latitude === undefined ? {} : { place: { latitude, longitude: longitude! } };
    const text = geoJsonOf(generateCity({ lights, seed, ...place }));
    await new Promise<void>((resolve) => process.stdout.write(text, () => resolve()));
    return 0;
  } catch (error) {
    // Commander has printed its own complaint or help.
    if (error instanceof CommanderError) return error.exitCode;
    process.stderr.write(`city: ${(error as Error).message}\n`);
    return 1;
  }
}

function readFlags(argv: readonly string[]): Flags {
  const command = new Command("watt402-simulate city")
    .description("Writes a city drawn from a seed as GeoJSON: where its lights stand, and what they draw.")
    .option("--lights <number>", "lights in the city", number(1, MAX_CITY_LIGHTS), 1_000)
    .option("--seed <number>", "draws streets and lamps", number(0, 4_294_967_295), 1)
    .option("--latitude <degrees>", "of its middle (default: Berlin's)", number(-90, 90))
    .option("--longitude <degrees>", "of its middle (default: Berlin's)", number(-180, 180))
    .showHelpAfterError("(watt402-simulate city --help lists the options)")
    .allowExcessArguments(false)
    .exitOverride();
  command.parse([...argv], { from: "user" });
  return command.opts<Flags>();
}

function number(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`expected a number from ${min} to ${max}`);
  };
}
