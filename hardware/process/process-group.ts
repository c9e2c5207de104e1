/**
 * All processes of one command, as what meters and holds them sees them.
 *
 * Promise: a process that the command forks is of the group, also when it left its parent; what was used is never
 * shown to fall.
 */

export interface ProcessGroup {
  /** Where the kernel counts it, as "cgroup /sys/fs/cgroup/watt402-run-17". */
  readonly location: string;
  /** CPU time used so far, milliseconds with their fraction. Throws one line when the kernel does not tell. */
  usedMs(): number;
  /** Lets it use a share of the machine, 0..100 per cent; at 0 nothing of it runs when this returns. */
  allow(levelPercent: number): void;
  /** Processes that have not ended. */
  alive(): number;
  /** Asks each of them to end. */
  terminate(): void;
  /** Ends them, also where they are held, and lets go of what the kernel kept for the group. */
  kill(): Promise<void>;
}

/** What starts a command inside a group: arguments before the command's own, and what goes into its environment. */
export interface Entrance {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** A shell script, and its arguments, that ends the group from outside when this process died. */
  readonly guard: readonly string[];
}

/** Longest wait for processes that were killed to be gone, milliseconds, and between two looks. */
const GONE_MS = 2_000;
const GONE_LOOK_MS = 20;

/** Resolves when it is so, or after GONE_MS. */
export async function untilGone(isGone: () => boolean): Promise<void> {
  const deadline = performance.now() + GONE_MS;
  while (!isGone() && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, GONE_LOOK_MS));
  }
}

/** One that has just ended is as good as signalled. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
