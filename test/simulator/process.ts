/** The simulator's command as a child process: what it prints, what it starts, and how it ends. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Result } from "#simulator/result";

const LAUNCHER = fileURLToPath(new URL("../../simulator/watt402-simulate.mjs", import.meta.url));

export interface Run {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Resolves with the exit code once it is gone and all it said was read. */
  readonly ended: Promise<number | null>;
}

/** Runs `watt402-simulate` with arguments, its working directory elsewhere. */
export function simulate(args: readonly string[], options: { nodeArgs?: readonly string[] } = {}): Run {
  const child = spawn(process.execPath, [...(options.nodeArgs ?? []), LAUNCHER, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1" },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const ended = once(child, "close").then(([code]) => code as number | null);
  return { child, stdout: () => stdout, stderr: () => stderr, ended };
}

/** The document of a run that ended; throws with what it said when there is none. */
export async function documentOf(run: Run): Promise<Result> {
  const code = await run.ended;
  const lines = run.stdout().split("\n");
  if (lines.length !== 2 || lines[1] !== "") {
    throw new Error(`expected one line of JSON, found "${run.stdout()}", exit code ${code}\n${run.stderr()}`);
  }
  return JSON.parse(lines[0]!) as Result;
}

/** The pid that a run printed on standard error: "gateway" or "seller". */
export function pidOf(run: Run, name: string): number {
  return Number(new RegExp(`processes:.*\\b${name} (\\d+)`).exec(run.stderr())?.[1] ?? 0);
}

/** True while a process runs; one that ended and was not waited for yet is gone. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return process.platform !== "linux";
  }
}

/** All descendants of a process that run now; none where the system does not list them. */
export function descendantsOf(pid: number): number[] {
  if (process.platform !== "linux") return [];
  const children = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const parent = parentOf(entry);
    if (parent !== null) children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
  }
  const below = (of: number): number[] => (children.get(of) ?? []).flatMap((one) => [one, ...below(one)]);
  return below(pid);
}

function parentOf(pid: string): number | null {
  try {
    return Number(/^\d+ \(.*\) \S (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1] ?? 0);
  } catch {
    return null;
  }
}

/** Waits until a condition holds; fails naming it. */
export async function until(what: string, holds: () => boolean, limitMs = 10_000): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`expected within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
