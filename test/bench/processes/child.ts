/**
 * A part of the bench in a process of its own, asked over a channel.
 *
 * Promise: one question, one answer; a child that throws says so in one line, and one whose parent is gone ends.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";

export interface Child {
  readonly pid: number;
  /** Rejects with the child's own words, or when it has ended. */
  ask<Reply>(command: string, argument?: unknown): Promise<Reply>;
  stop(): Promise<void>;
}

type Command = (argument: never) => unknown;

interface Question {
  readonly id: number;
  readonly command: string;
  readonly argument: unknown;
}

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

const STOP_MS = 5_000;
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/**
 * Starts a module of this folder that calls `answerParent`.
 * @param options JSON, as the module's first argument
 */
export function startChild(module: string, options: unknown, nodeArguments: readonly string[] = []): Child {
  const file = fileURLToPath(new URL(module, import.meta.url));
  const child: ChildProcess = fork(file, [JSON.stringify(options)], {
    cwd: ROOT,
    // A process group of its own: Ctrl-C is for the bench, which stops its parts in order.
    detached: true,
    execArgv: ["--import", "tsx", ...nodeArguments],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (reason: Error) => void }>();
  let asked = 0;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  void ended.then(() => {
    for (const { reject } of waiting.values()) reject(new Error(`bench: ${module} has ended`));
    waiting.clear();
  });
  child.on("message", (message) => {
    const { id, value, error } = message as Answer;
    const asker = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) asker?.resolve(value);
    else asker?.reject(new Error(`${module}: ${error}`));
  });
  return {
    pid: child.pid!,
    ask<Reply>(command: string, argument: unknown = null) {
      if (child.exitCode !== null || !child.connected) {
        return Promise.reject(new Error(`bench: ${module} has ended`));
      }
      const id = asked++;
      return new Promise<Reply>((resolve, reject) => {
        waiting.set(id, { resolve: (value) => resolve(value as Reply), reject });
        child.send({ id, command, argument } satisfies Question);
      });
    },
    async stop() {
      if (child.connected) child.disconnect();
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** The options that the parent gave. */
export function optionsOfParent<Options>(): Options {
  return JSON.parse(process.argv[2]!) as Options;
}

/** Answers the parent's questions until it is gone, then calls `end` and ends. */
export function answerParent(commands: Readonly<Record<string, Command>>, end: () => Promise<void>): void {
  process.on("message", (message) => {
    const { id, command, argument } = message as Question;
    void Promise.resolve()
      .then(() => commands[command]!(argument as never))
      .then(
        (value): Answer => ({ id, value }),
        (error: unknown): Answer => ({ id, error: error instanceof Error ? error.message : String(error) }),
      )
      .then((answer) => {
        if (process.connected) process.send!(answer);
      });
  });
  process.once("disconnect", () => {
    void end().finally(() => process.exit());
  });
}
