/** `watt402-device` as a pole runs it: one bundled file, started often and quickly. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleDevice, serialportBinaries, TREE } from "#hardware/package/program-bundle";

export interface Program {
  readonly file: string;
  remove(): void;
}

/** Bundles the device with the data files that it reads beside it. */
export async function bundledDevice(): Promise<Program> {
  const folder = mkdtempSync(join(tmpdir(), "device-bundle-"));
  mkdirSync(join(folder, "lib"));
  const file = join(folder, "lib/watt402-device.mjs");
  writeFileSync(file, (await bundleDevice()).code);
  for (const beside of ["package.json", "hardware"])
    symlinkSync(join(TREE, beside), join(folder, "lib", beside));
  symlinkSync(serialportBinaries(), join(folder, "lib/prebuilds"));
  return { file, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

export interface Run {
  readonly process: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  out(): string;
  errors(): string;
  /** The log's whole lines. */
  lines(): Record<string, unknown>[];
}

export function runDevice(
  program: Program,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Run {
  const child = spawn(process.execPath, [program.file, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...environment },
  });
  let out = "";
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk;
  });
  child.stderr.on("data", (chunk: Buffer) => {
    errors += chunk;
  });
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal }));
  });
  return {
    process: child,
    ended,
    out: () => out,
    errors: () => errors,
    lines: () =>
      out
        .slice(0, out.lastIndexOf("\n") + 1)
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}
