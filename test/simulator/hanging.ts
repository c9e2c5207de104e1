/** Processes of a run that hang, stopped by the system, and a run that is asked to end meanwhile. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { descendantsOf, isRunning, pidOf, type Run, until } from "./process.ts";

export type Hanging = "gateway" | "seller" | "anvil";

/** 5 s, and as much again for a busy machine: a run that waits for what hangs waits a minute and more. */
const ENDED_WITHIN_MS = 10_000;

/** Stops one of a run's processes; resolves with all of them. */
export async function hang(run: Run, what: Hanging): Promise<number[]> {
  const found = () => (what === "anvil" ? anvilOf(run) : pidOf(run, what));
  await until(`the run's ${what}`, () => found() > 0, 60_000);
  process.kill(found(), "SIGSTOP");
  return descendantsOf(run.child.pid!);
}

function anvilOf(run: Run): number {
  const nameOf = (pid: number) => {
    try {
      return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
    } catch {
      return "";
    }
  };
  return descendantsOf(run.child.pid!).find((pid) => nameOf(pid) === "anvil") ?? 0;
}

/** Resolves with the exit code of a run that ended in time and left none of its processes. */
export async function endedSoon(
  run: Run,
  processes: readonly number[],
  ...signals: readonly NodeJS.Signals[]
): Promise<number | null> {
  const sinceMs = performance.now();
  try {
    for (const [index, signal] of signals.entries()) {
      if (index > 0) await until("the signal before is heard", () => run.stderr().includes("stopping:"));
      run.child.kill(signal);
    }
    await until("its end", () => run.child.exitCode !== null || run.child.signalCode !== null, 60_000);
    expect(performance.now() - sinceMs).toBeLessThan(ENDED_WITHIN_MS);
    const code = await run.ended;
    await until("the end of all that it started", () => !processes.some(isRunning));
    return code;
  } finally {
    for (const pid of processes) if (isRunning(pid)) process.kill(pid, "SIGKILL");
  }
}

/** What a run said last. */
export function lastLine(run: Run): string {
  return run.stderr().trim().split("\n").at(-1)!;
}
