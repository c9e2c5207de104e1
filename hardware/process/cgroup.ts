/**
 * A command's processes in a control group of their own (Linux, cgroup v2): counted by `cpu.stat`, held by `cpu.max` and
 * `cgroup.freeze`.
 *
 * Promise: no process leaves it by forking, and what one used is counted when it is gone, too; the kernel keeps both.
 * Source: Documentation/admin-guide/cgroup-v2.rst.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Watt402Error } from "#payment/watt402-error";
import { type Entrance, type ProcessGroup, signal, untilGone } from "./process-group.ts";
import { DutyCycle } from "./share-of-time.ts";

/** Of `cpu.max`, microseconds. */
const PERIOD_US = 100_000;

const ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"';
const GUARD = 'read -r _; echo 0 > "$0/cgroup.freeze"; echo 1 > "$0/cgroup.kill"; sleep 1; rmdir "$0"';

/** Where the kernel shows mounts and this process's own group: "/proc/self", or a folder in its place. */
const SELF = "/proc/self";

/** Throws one line that says what of cgroup v2 is missing here. */
export function openCgroup(name: string, self = SELF): Cgroup & { readonly entrance: Entrance } {
  const parent = ownCgroup(self);
  const path = join(parent, name);
  try {
    mkdirSync(path);
  } catch (error) {
    throw missing(`to make ${path}`, (error as NodeJS.ErrnoException).code);
  }
  const lacking = ["cgroup.procs", "cgroup.freeze", "cpu.stat"].find((file) => !existsSync(join(path, file)));
  if (lacking !== undefined) {
    rmdirSync(path);
    throw missing(`${lacking} in ${path}`, "none");
  }
  return new Cgroup(path, canThrottle(parent, path));
}

export class Cgroup implements ProcessGroup {
  readonly location: string;
  readonly entrance: Entrance;
  readonly #path: string;
  readonly #duty: DutyCycle | null;

  constructor(path: string, hasCpuMax: boolean) {
    this.#path = path;
    this.location = `cgroup ${path}`;
    this.entrance = { argv: ["sh", "-c", ENTER, path], env: {}, guard: ["-c", GUARD, path] };
    this.#duty = hasCpuMax ? null : new DutyCycle((runs) => this.#freeze(!runs));
    this.allow(0);
  }

  usedMs(): number {
    const usage = /^usage_usec (\d+)$/m.exec(readFileSync(join(this.#path, "cpu.stat"), "utf8"))?.[1];
    if (usage !== undefined) return Number(usage) / 1000;
    throw new Watt402Error(
      "unexpected-answer",
      `${this.location}: expected usage_usec in cpu.stat, found none`,
    );
  }

  allow(levelPercent: number): void {
    if (this.#duty !== null) {
      this.#duty.allow(levelPercent);
      return;
    }
    const quota = Math.round((PERIOD_US * availableParallelism() * levelPercent) / 100);
    if (levelPercent > 0) this.#write("cpu.max", `${levelPercent === 100 ? "max" : quota} ${PERIOD_US}`);
    this.#freeze(levelPercent === 0);
  }

  alive(): number {
    return this.#members().length;
  }

  terminate(): void {
    for (const pid of this.#members()) signal(pid, "SIGTERM");
  }

  async kill(): Promise<void> {
    this.#duty?.stop();
    if (existsSync(join(this.#path, "cgroup.kill"))) this.#write("cgroup.kill", "1");
    else for (const pid of this.#members()) signal(pid, "SIGKILL");
    this.#freeze(false);
    // The kernel lets go of the folder somewhat after the last process.
    await untilGone(() => isRemoved(this.#path));
  }

  #members(): number[] {
    // After its end there is no folder any more.
    const file = join(this.#path, "cgroup.procs");
    return existsSync(file) ? readFileSync(file, "utf8").split("\n").filter(Boolean).map(Number) : [];
  }

  #freeze(isFrozen: boolean): void {
    this.#write("cgroup.freeze", isFrozen ? "1" : "0");
  }

  #write(file: string, text: string): void {
    writeFileSync(join(this.#path, file), text);
  }
}

function isRemoved(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EBUSY") return false;
    throw error;
  }
}

/** The folder of this process's own group. */
function ownCgroup(self: string): string {
  const mount = readFileSync(join(self, "mountinfo"), "utf8")
    .split("\n")
    .find((line) => / - cgroup2 /.test(line));
  const own = /^0::(.*)$/m.exec(readFileSync(join(self, "cgroup"), "utf8"))?.[1];
  const [, , , , at] = mount?.split(" ") ?? [];
  if (at !== undefined && own !== undefined) return join(at, own);
  throw missing("a mount of it and this process in it", "none");
}

function canThrottle(parent: string, path: string): boolean {
  const has = () => existsSync(join(path, "cpu.max"));
  try {
    if (!has()) writeFileSync(join(parent, "cgroup.subtree_control"), "+cpu");
  } catch {
    // Processes live beside the new group, or the controller is not to be had: then it is held by freezing alone.
  }
  return has();
}

function missing(what: string, found: string | undefined): Watt402Error {
  return new Watt402Error("not-found", `cgroup v2: expected ${what}, found ${found ?? "another error"}`);
}
