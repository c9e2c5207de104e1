/**
 * `watt402/simulator`: runs of a fleet, and nights of a world.
 *
 * Promise: the same as `watt402-simulate` by the same flags.
 */
export { type FleetFlags, readFleetFlags } from "./fleet-flags.ts";
export { runFleet } from "./run-fleet.ts";
export { runFaults as runNight, type Verdict } from "./world/run/fault-run.ts";
export type { WorldOptions } from "./world/run/world-options.ts";
