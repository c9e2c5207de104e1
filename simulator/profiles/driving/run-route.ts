/**
 * `watt402-simulate route`: a drawn route with tunnels and the regions of its sellers as GeoJSON on standard output, to be
 * looked at on any map, changed, and read again by --route.
 */
import { Command, CommanderError } from "commander";
import { whole } from "../../arguments.ts";
import { DRAWN_MAP } from "../driving-car.ts";
import { mapGeoJson } from "./map-geojson.ts";
import { drawMap, SELLERS_MAX, TUNNELS_MAX } from "./sellers-map.ts";

/** `argv` are the arguments after the command's name. Resolves with the exit code. */
export async function runRoute(argv: readonly string[]): Promise<number> {
  const command = new Command("watt402-simulate route")
    .description(
      "Writes a route drawn from a seed as GeoJSON, with tunnels and the regions of those who sell along it.",
    )
    .option("--seed <number>", "draws route and tunnels", whole(0, 4_294_967_295), DRAWN_MAP.seed)
    .option("--sellers <number>", "regions around it", whole(1, SELLERS_MAX), DRAWN_MAP.sellers)
    .option("--tunnels <number>", "tunnels on it", whole(0, TUNNELS_MAX), DRAWN_MAP.tunnels)
    .showHelpAfterError("(watt402-simulate route --help lists the options)")
    .allowExcessArguments(false)
    .exitOverride();
  try {
    command.parse([...argv], { from: "user" });
  } catch (error) {
    // Commander has printed its own complaint or help.
    if (error instanceof CommanderError) return error.exitCode;
    throw error;
  }
  const { seed, sellers, tunnels } = command.opts<Record<"seed" | "sellers" | "tunnels", number>>();
  const text = mapGeoJson(drawMap(seed, sellers, tunnels));
  await new Promise<void>((resolve) => process.stdout.write(text, () => resolve()));
  return 0;
}
