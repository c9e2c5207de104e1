// Starts and ends the utility as a process, as an operator would.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Ground } from "./fixtures.ts";

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** what it sent to its parent */
  readonly messages: readonly unknown[];
}

export interface UtilityProcess {
  readonly child: ChildProcess;
  /** resolves with the address once ready; rejects when it ends before */
  readonly ready: Promise<string>;
  readonly ended: Promise<Ended>;
}

/** `bundle`: what `bundleUtility` made. */
export function spawnUtility(bundle: string, args: readonly string[]): UtilityProcess {
  const child = spawn(process.execPath, [bundle, ...args], {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  const messages: unknown[] = [];
  child.on("message", (message) => messages.push(message));
  let stdout = "";
  let stderr = "";
  child.stderr!.on("data", (chunk) => {
    stderr += chunk;
  });
  // Not "close": that never comes when the channel to the child was cut by the parent.
  const gone = [once(child, "exit"), once(child.stdout!, "end"), once(child.stderr!, "end")];
  const ended = Promise.all(gone).then(() => ({ code: child.exitCode, stdout, stderr, messages }));
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
