// Starts and ends the gateway as an operator would: node gateway/watt402-gateway.mjs --config FILE, or the same
// program bundled, where it is started often.

import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const LAUNCHER = fileURLToPath(new URL("../../../gateway/watt402-gateway.mjs", import.meta.url));

/** What to bundle. */
export const GATEWAY_PROCESS = fileURLToPath(new URL("./main-process.ts", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface GatewayProcess {
  readonly child: ChildProcess;
  /** Resolves with the broker's address once devices may come; rejects when the process ends before. */
  readonly ready: Promise<string>;
  readonly ended: Promise<Ended>;
}

export function spawnGateway(
  args: readonly string[],
  program: string = LAUNCHER,
  environment: NodeJS.ProcessEnv = {},
): GatewayProcess {
  const env = { ...process.env, ...environment };
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env,
  });
  let stdout = "";
  let stderr = "";
  child.stdout!.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr!.on("data", (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<Ended>((resolve) => {
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  const ready = new Promise<string>((resolve, reject) => {
    child.on("message", (message: { ready?: true; brokerUrl?: string }) => {
      if (message.ready) resolve(message.brokerUrl!);
    });
    void ended.then((end) => reject(new Error(`ended before it was ready: ${end.stderr}`)));
  });
  ready.catch(() => undefined);
  return { child, ready, ended };
}
