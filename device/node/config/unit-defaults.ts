/**
 * What a configuration need not say of a load that is no lamp.
 *
 * Promise: only what is absent is filled in, and only for a unit whose loads are known: CPU time is used by this
 * machine's cores, at any hour.
 */
import { availableParallelism } from "node:os";

/** CPU milliseconds that this machine can use in an hour. */
export function cpuMsPerHour(): number {
  return availableParallelism() * 3_600_000;
}

/** Half a minute of one core. */
const WANTED_CPU_MS = 30_000;

/** @param raw a configuration as TOML gave it */
export function withUnitDefaults(raw: unknown): unknown {
  if (!isTable(raw) || !isTable(raw.meter) || raw.meter.unit !== "ms") return raw;
  const { lamp = {}, plan = { steps: [{ at: "00:00", level_percent: 100 }] }, meter } = raw;
  const lampDefaults = { rated_milliwatts: cpuMsPerHour(), level_percent_without_clock: 100 };
  return {
    ...raw,
    meter: { wanted_units: WANTED_CPU_MS, power_max_milliwatts: cpuMsPerHour(), ...meter },
    lamp: isTable(lamp) ? { ...lampDefaults, ...lamp } : lamp,
    plan,
  };
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
