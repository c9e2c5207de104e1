/**
 * A program of this project as a child process, restarted when it dies.
 *
 * Promise: it is started again on the same ports and files, with back-off and a bound on how often; it
 * ends with its parent, however that ends; its last lines of standard error explain a failed start.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";

export interface SupervisedOptions {
  readonly name: string;
  /** Launcher, relative to this file. */
  readonly launcher: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Told of every unexpected end and every restart, in one line. */
  readonly onTrouble: (text: string) => void;
}

export interface Supervised<Ready> {
  /** What the program said when it was first ready. */
  readonly ready: Ready;
  readonly pid: () => number;
  /** Ends it with SIGTERM and resolves with the last message it sent, if any. */
  stop(): Promise<unknown>;
}

const START_MS = 60_000;
const STOP_MS = 90_000;
const RESTARTS_MAX = 100;
const RESTART_FIRST_MS = 100;
const RESTART_MAX_MS = 5_000;
const STDERR_KEPT = 2_000;

interface Started<Ready> {
  readonly child: ChildProcess;
  readonly ready: Ready;
}

/** Starts a program and resolves when it sent `{ready: true, …}`. Throws with its own words when it does not. */
export async function supervise<Ready>(options: SupervisedOptions): Promise<Supervised<Ready>> {
  const first = await start<Ready>(options);
  let child = first.child;
  let restarts = 0;
  let stopping = false;
  let lastMessage: unknown;

  function watch(): void {
    child.on("message", (message) => {
      lastMessage = message;
    });
    child.once("exit", (code, signal) => {
      if (!stopping) void restart(`${options.name} ended (${signal ?? `exit code ${code}`})`);
    });
  }

  async function restart(why: string): Promise<void> {
    if (restarts >= RESTARTS_MAX) {
      options.onTrouble(`${why}; not started again after ${RESTARTS_MAX} times`);
      return;
    }
    options.onTrouble(`${why}; starting it again`);
    const waitMs = Math.min(RESTART_MAX_MS, RESTART_FIRST_MS * 2 ** Math.min(restarts, 6));
    restarts++;
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    if (stopping) return;
    try {
      ({ child } = await start<Ready>(options));
    } catch (error) {
      if (!stopping) await restart((error as Error).message);
      return;
    }
    if (stopping) child.kill("SIGKILL");
    watch();
  }

  watch();
  return {
    ready: first.ready,
    pid: () => child.pid ?? 0,
    async stop() {
      stopping = true;
      if (child.exitCode !== null || child.signalCode !== null) return lastMessage;
      const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      await ended;
      clearTimeout(timer);
      return lastMessage;
    },
  };
}

function start<Ready>(options: SupervisedOptions): Promise<Started<Ready>> {
  const launcher = fileURLToPath(new URL(options.launcher, import.meta.url));
  const child = fork(launcher, options.args, {
    // A process group of its own: Ctrl-C is for the fleet, which stops the others in order.
    detached: true,
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    env: { ...process.env, ...options.env },
  });
  let words = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(-STDERR_KEPT);
  });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill("SIGKILL"), START_MS);
    child.once("error", reject);
    child.once("exit", (code) => {
      clearTimeout(timer);
      reject(new Error(words.trim() || `${options.name}: ended with exit code ${code} before it was ready`));
    });
    child.on("message", (message) => {
      if (typeof message !== "object" || message === null || !("ready" in message)) return;
      clearTimeout(timer);
      child.removeAllListeners("exit");
      resolve({ child, ready: message as Ready });
    });
  });
}
