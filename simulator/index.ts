/**
 * `watt402/simulator`: runs of a fleet, nights of a world, and what they stand on: a development chain with x402's
 * contracts, meters that answer Modbus.
 *
 * Promise: the same as `watt402-simulate` by the same flags.
 */
export { ownChain as startDevelopmentChain, type RunChain as DevelopmentChain } from "./chain/open-chain.ts";
export { type FleetFlags, readFleetFlags } from "./fleet-flags.ts";
export { MeterImage } from "./hardware/meter-image.ts";
export { listenAsMeter, type SlaveServer } from "./hardware/modbus-slave.ts";
export { runFleet } from "./run-fleet.ts";
export { runFaults as runNight, type WorldOutcome } from "./world/run/fault-run.ts";
export type { WorldOptions } from "./world/run/world-options.ts";
