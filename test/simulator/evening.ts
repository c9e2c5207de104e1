/** What an evening's runs have in common: their processes, their beginning, and what must be true at the end. */
import { expect } from "vitest";
import type { Result } from "#simulator/result";
import { descendantsOf, type Run, simulate, until } from "./process.ts";

/** Longest run, and longest start of one, on a busy machine. */
export const RUN_MS = 240_000;
const START_MS = 150_000;

const runs: Run[] = [];

/** `watt402-simulate --json` with further arguments. */
export function run(...args: string[]): Run {
  const started = simulate([...args, "--json"]);
  runs.push(started);
  return started;
}

/** Ends what a failed test has left. */
export function endRuns(): void {
  for (const { child } of runs.splice(0)) child.kill("SIGKILL");
}

/** Waits until every light has bought once. Resolves with the run's processes, by their descent. */
export async function evening(started: Run): Promise<number[]> {
  const begun = () => started.stderr().includes("the evening begins");
  await until("an evening or an end", () => begun() || started.child.exitCode !== null, START_MS);
  if (!begun()) throw new Error(`expected an evening, found:\n${started.stderr()}`);
  return descendantsOf(started.child.pid!);
}

export function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** What must be true of every run that ended well. */
export function expectSound(result: Result, lights: number): void {
  expect(result.violations).toEqual([]);
  expect(result.conserved).toBe(true);
  const { deposited, signed, charged, claimed, settled, sellerBalance } = result.amountAtomic!;
  expect([claimed, settled, sellerBalance]).toEqual([charged, charged, charged]);
  expect(BigInt(charged)).toBeGreaterThan(0n);
  expect(BigInt(signed)).toBeGreaterThanOrEqual(BigInt(charged));
  expect(BigInt(deposited)).toBeGreaterThanOrEqual(BigInt(signed));
  expect(result.payments.made).toBeGreaterThanOrEqual(lights);
  expect(result.energyMilliwattHours.consumed).toBeGreaterThan(0);
  expect(result.energyMilliwattHours.consumed).toBeLessThanOrEqual(result.energyMilliwattHours.granted);
}
