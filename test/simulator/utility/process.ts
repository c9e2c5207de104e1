// Starts and ends the utility as a process, as an operator would.

import { type ChildProcess, spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Ground } from "./ground.ts";

const ENTRY = fileURLToPath(new URL("./utility-process.ts", import.meta.url));
const TSX = fileURLToPath(import.meta.resolve("tsx"));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface UtilityProcess {
  readonly child: ChildProcess;
  /** resolves with the address once ready; rejects when it ends before */
  readonly ready: Promise<string>;
  readonly ended: Promise<Ended>;
}

/** From the sources, or from a bundle of them. */
export function spawnUtility(args: readonly string[], bundle?: string): UtilityProcess {
  const program = bundle === undefined ? ["--import", TSX, ENTRY] : [bundle];
  const child = spawn(process.execPath, [...program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stderr!.on("data", (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<Ended>((resolve) => {
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  const ready = new Promise<string>((resolve, reject) => {
    child.stdout!.on("data", (chunk) => {
      stdout += chunk;
      const line = stdout.split("\n").find((candidate) => candidate.startsWith('{"ready":true'));
      if (line !== undefined) resolve((JSON.parse(line) as { url: string }).url);
    });
    void ended.then((end) => reject(new Error(`ended before it was ready: ${end.stderr}`)));
  });
  ready.catch(() => undefined);
  return { child, ready, ended };
}

/** Arguments for a utility on `ground` with its database in `directory`. */
export async function utilityArguments(ground: Ground, directory: string): Promise<string[]> {
  const keyFile = join(directory, "receiver.key");
  await writeFile(keyFile, `${ground.receiverKey}\n`);
  return [
    ...["--rpc", ground.anvil.rpcUrl, "--data", join(directory, "data"), "--receiver-key", keyFile],
    ...["--token", ground.contracts.token],
  ];
}
