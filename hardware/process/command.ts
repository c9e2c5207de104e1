/**
 * A command that runs under payment: started in a group that is held, and guarded by a shell that ends the group when
 * this process dies without a word.
 *
 * Promise: not one instruction of the command runs before it is allowed to; it ends with this process, however that ends.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { constants } from "node:os";
import { Watt402Error } from "#payment/watt402-error";
import { openCgroup } from "./cgroup.ts";
import type { ProcessGroup } from "./process-group.ts";
import { ProcessTree } from "./process-tree.ts";

/** Between two looks at whether anything of a command is left that ended itself, milliseconds. */
const LEFT_LOOK_MS = 200;

export interface Command {
  readonly group: ProcessGroup;
  /** Why it is not counted by a control group; null where it is. */
  readonly lacking: string | null;
  /** The command's exit code, or 128 and its signal's number, when every process of it has ended. */
  readonly ended: Promise<number>;
  /** Ends what is left of it, and its guard. */
  close(): Promise<void>;
}

/** What a command's processes are counted and held by. */
type GroupKind = "cgroup" | "tree";

/** Starts it, held. Throws one line when it cannot be started. @param kind tried first; a tree is always to be had */
export async function startCommand(argv: readonly string[], kind: GroupKind = "cgroup"): Promise<Command> {
  const { group, lacking } = openGroup(`watt402-run-${process.pid}-${randomBytes(4).toString("hex")}`, kind);
  const { entrance } = group;
  const guard = spawn("sh", entrance.guard, { stdio: ["pipe", "ignore", "ignore"], detached: true });
  guard.unref();
  const [file, ...args] = [...entrance.argv, ...argv];
  const child = spawn(file!, args, { stdio: "inherit", env: { ...process.env, ...entrance.env } });
  const ended = exitCodeOf(child).then(async (code) => {
    while (group.alive() > 0) await new Promise((resolve) => setTimeout(resolve, LEFT_LOOK_MS));
    return code;
  });
  return {
    group,
    lacking,
    ended,
    async close() {
      await group.kill();
      guard.kill("SIGKILL");
    },
  };
}

function openGroup(
  name: string,
  kind: GroupKind,
): { readonly group: ReturnType<typeof openCgroup> | ProcessTree; readonly lacking: string | null } {
  if (kind === "tree") return { group: new ProcessTree(name), lacking: null };
  try {
    return { group: openCgroup(name), lacking: null };
  } catch (error) {
    if (!(error instanceof Watt402Error)) throw error;
    return { group: new ProcessTree(name), lacking: error.message };
  }
}

/** The shell that enters the group says 127 of a command that is not there, and 126 of one that is no program. */
function exitCodeOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", (cause) =>
      reject(
        new Watt402Error("not-found", `command: expected a shell to start it, found ${cause.message}`, {
          cause,
        }),
      ),
    );
    child.once("exit", (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  });
}
