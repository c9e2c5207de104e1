/**
 * `watt402-simulate`: a fleet of streetlights buying electricity, with everything real but the poles.
 *
 * Promise: the result goes to standard output, everything else to standard error; exit code 0 only when
 * the run reconciled to the last atomic unit; one clear line for every reason not to start.
 */
import { CommanderError } from "commander";
import { readFleetFlags } from "./fleet-flags.ts";

/** Each is loaded when its name is given: a chain's client and an HTTP server take seconds of CPU to load. */
const COMMANDS: Readonly<Record<string, () => Promise<(argv: readonly string[]) => Promise<number>>>> = {
  seller: async () => (await import("./seller/run-seller.ts")).runSeller,
  city: async () => (await import("./city/run-city.ts")).runCity,
  "charge-point": async () => (await import("./charging/run-charge-point.ts")).runChargePoint,
  route: async () => (await import("./profiles/driving/run-route.ts")).runRoute,
  chain: async () => (await import("./chain/run-chain.ts")).runChain,
  "modbus-server": async () => (await import("./hardware/run-modbus-server.ts")).runModbusServer,
  world: async () => (await import("./world/run/run-world.ts")).runWorld,
};

/** What sub-commands were called in 0.1.0: accepted for one release more. */
const FORMER_NAMES: Readonly<Record<string, string>> = { utility: "seller", meter: "modbus-server" };

export async function main(argv: readonly string[]): Promise<void> {
  const [given = "", ...rest] = argv;
  const name = Object.hasOwn(FORMER_NAMES, given) ? FORMER_NAMES[given]! : given;
  if (name !== given) {
    process.stderr.write(
      `watt402-simulate: ${given} is called ${name} now; the old name goes with the next release\n`,
    );
  }
  const open = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  process.exitCode = open === undefined ? await simulate(argv) : await (await open())(rest);
  // A parent's channel would keep a finished program alive.
  if (process.connected) process.disconnect();
}

async function simulate(argv: readonly string[]): Promise<number> {
  try {
    const flags = readFleetFlags(argv);
    const { runFleet } = await import("./run-fleet.ts");
    return await runFleet(flags);
  } catch (error) {
    // Commander has printed its own complaint or help.
    if (error instanceof CommanderError) return error.exitCode;
    process.stderr.write(`watt402-simulate: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}
