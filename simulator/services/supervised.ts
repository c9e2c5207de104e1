/**
 * A program of this project as a child process, restarted when it dies.
 *
 * Promise: it is started again on the same ports and files, with back-off and a bound on how often; it
 * ends with its parent, however that ends, and before it when the parent leaves by itself, also when it hangs; its
 * last lines of standard error explain a failed start.
 */

import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Watt402Error } from "#payment/watt402-error";

interface SupervisedOptions {
  readonly name: string;
  /** Launcher, relative to this file, or an absolute file URL. */
  readonly launcher: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Called with one line for every unexpected end and every restart. */
  readonly onTrouble: (text: string) => void;
  /** Ends in all after which it is not started again; RESTARTS_MAX when absent. */
  readonly restartsMax?: number;
}

export interface Supervised<Ready> {
  /** What the program said when it was first ready. */
  readonly ready: Ready;
  /** Of the program that runs, or ran last. */
  pid(): number;
  /** Sends a message over their channel; lost while it is down. */
  send(message: Record<string, unknown>): void;
  /** False when it runs and says nothing to a question within the limit. */
  answers(limitMs: number): Promise<boolean>;
  /** Kills it and keeps it down until the returned function is called, which resolves when it runs again. */
  interrupt(): () => Promise<void>;
  /**
   * Ends it with SIGTERM, a restart under way included; resolves with the last message it sent, if any. A second call
   * waits for the same end.
   */
  stop(): Promise<unknown>;
}

const START_MS = 60_000;
const STOP_MS = 90_000;
const RESTARTS_MAX = 100;
const RESTART_FIRST_MS = 100;
const RESTART_MAX_MS = 5_000;
/** A program that ran for so long is restarted as quickly as the first time. */
const STABLE_MS = 10_000;
const STDERR_KEPT_CHARACTERS = 2_000;

interface Started<Ready> {
  readonly child: ChildProcess;
  readonly ready: Ready;
  readonly readyAtMs: number;
  /** The latest it wrote to standard error. */
  readonly words: () => string;
}

/** Starts a program and resolves when it sent `{ready: true, …}`. Throws with its own words when it does not. */
export async function supervise<Ready>(options: SupervisedOptions): Promise<Supervised<Ready>> {
  return new Supervisor(options, await start<Ready>(options));
}

class Supervisor<Ready> implements Supervised<Ready> {
  readonly ready: Ready;
  readonly #options: SupervisedOptions;
  readonly #restartsMax: number;
  #current: Started<Ready>;
  #restarts = 0;
  /** Ends in a row without STABLE_MS of running. */
  #unstable = 0;
  #stopping = false;
  #ending: Promise<unknown> | null = null;
  #lastMessage: unknown;
  #restarting: Promise<void> = Promise.resolve();
  #endWait = () => {};
  /** Pending while an interruption keeps the program down. */
  #held: Promise<void> = Promise.resolve();
  #endHold = () => {};

  constructor(options: SupervisedOptions, first: Started<Ready>) {
    this.#options = options;
    this.#restartsMax = options.restartsMax ?? RESTARTS_MAX;
    this.#current = first;
    this.ready = first.ready;
    this.#watch();
  }

  pid(): number {
    return this.#current.child.pid ?? 0;
  }

  send(message: Record<string, unknown>): void {
    const { child } = this.#current;
    // A child that is ending gets no message; nothing here depends on it.
    if (child.connected) child.send(message, () => {});
  }

  answers(limitMs: number): Promise<boolean> {
    return isAnswering(this.#current.child, limitMs);
  }

  interrupt(): () => Promise<void> {
    this.#endHold();
    const { promise, resolve: release } = deferred();
    this.#held = promise;
    this.#endHold = release;
    const down = new Promise<unknown>((resolve) => this.#current.child.once("exit", resolve));
    this.#current.child.kill("SIGKILL");
    return async () => {
      release();
      await down;
      await this.#restarting;
    };
  }

  stop(): Promise<unknown> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  #watch(): void {
    const { child, words, readyAtMs } = this.#current;
    child.on("message", (message) => {
      if (!isAnswer(message)) this.#lastMessage = message;
    });
    child.once("exit", (code, signal) => {
      if (this.#stopping) return;
      if (performance.now() - readyAtMs >= STABLE_MS) this.#unstable = 0;
      const last = lastWords(words());
      const why = `${this.#options.name} ended (${signal ?? `exit code ${code}`})`;
      this.#restarting = this.#restart(last ? `${why}: ${last}` : why);
    });
  }

  async #restart(reason: string): Promise<void> {
    const { onTrouble } = this.#options;
    let why = reason;
    while (this.#restarts < this.#restartsMax) {
      onTrouble(`${why}; starting it again`);
      await this.#backOff();
      await this.#held;
      if (this.#stopping) return;
      try {
        this.#current = await start<Ready>(this.#options);
        this.#lastMessage = undefined;
        this.#watch();
        return;
      } catch (error) {
        why = (error as Error).message;
      }
    }
    onTrouble(`${why}; not started again after ${this.#restartsMax} times`);
  }

  #backOff(): Promise<void> {
    const waitMs = Math.min(RESTART_MAX_MS, RESTART_FIRST_MS * 2 ** this.#unstable);
    this.#restarts++;
    this.#unstable = Math.min(this.#unstable + 1, 16);
    const { promise, resolve } = deferred();
    const timer = setTimeout(resolve, waitMs);
    this.#endWait = () => {
      clearTimeout(timer);
      resolve();
    };
    return promise;
  }

  async #end(): Promise<unknown> {
    this.#stopping = true;
    this.#endWait();
    this.#endHold();
    await this.#restarting;
    const { child } = this.#current;
    if (child.exitCode !== null || child.signalCode !== null) return this.#lastMessage;
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await ended;
    clearTimeout(timer);
    return this.#lastMessage;
  }
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** Any message within the limit counts as an answer; a program without a channel is not asked. */
function isAnswering(child: ChildProcess, limitMs: number): Promise<boolean> {
  if (!child.connected) return Promise.resolve(true);
  return new Promise((resolve) => {
    const settle = (isWell: boolean) => {
      clearTimeout(timer);
      child.off("message", well);
      child.off("disconnect", well);
      resolve(isWell);
    };
    const well = () => settle(true);
    const timer = setTimeout(() => settle(false), limitMs);
    child.on("message", well);
    child.on("disconnect", well);
    child.send({ ask: "running" }, () => {});
  });
}

function isAnswer(message: unknown): boolean {
  return typeof message === "object" && message !== null && "running" in message;
}

/** A variable meant for this program would configure the other one, too: the caller passes all it needs. */
function withoutOurs(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith("WATT402_")));
}

function start<Ready>(options: SupervisedOptions): Promise<Started<Ready>> {
  const launcher = fileURLToPath(new URL(options.launcher, import.meta.url));
  const child = fork(launcher, options.args, {
    // A process group of its own: Ctrl-C is for the fleet, which stops the others in order.
    detached: true,
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    env: { ...withoutOurs(process.env), ...options.env },
  });
  // What hangs does not notice that its parent is gone.
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  let words = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(-STDERR_KEPT_CHARACTERS);
  });
  return new Promise((resolve, reject) => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, START_MS);
    child.on("error", (cause) => {
      clearTimeout(timer);
      reject(
        new Watt402Error("unreachable", `${options.name}: cannot be started: ${cause.message}`, { cause }),
      );
    });
    // "close" and not "exit": only then all its words have been read.
    const failed = (code: number | null) => {
      clearTimeout(timer);
      if (late)
        return reject(
          new Watt402Error("unreachable", `${options.name}: expected it to be ready within ${START_MS} ms`),
        );
      const why = `${options.name}: ended with exit code ${code} before it was ready`;
      reject(new Watt402Error("unreachable", lastWords(words) ?? why));
    };
    child.once("close", failed);
    child.on("message", (message) => {
      if (typeof message !== "object" || message === null || !("ready" in message)) return;
      clearTimeout(timer);
      child.off("close", failed);
      resolve({ child, ready: message as Ready, readyAtMs: performance.now(), words: () => words });
    });
  });
}

/** The line with the reason: a crash's error, which a stack follows, or else the last one. */
function lastWords(words: string): string | null {
  const lines = words.trim().split("\n");
  return (lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.at(-1)) || null;
}
