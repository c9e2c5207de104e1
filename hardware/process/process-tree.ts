/**
 * A command's processes without a control group: found by a mark in their environment, counted by `/proc/PID/stat`.
 *
 * Promise: a process that left its parent is found as long as it keeps its environment; what processes used is counted
 * when they are gone, but for what they used since they were looked at last (LOOK_MS).
 * Source: proc_pid_stat(5).
 */
import { readdirSync, readFileSync } from "node:fs";
import { type Entrance, type ProcessGroup, signal, untilGone } from "./process-group.ts";
import { DutyCycle } from "./share-of-time.ts";

/** Between two looks, milliseconds. */
export const LOOK_MS = 200;

/** A clock tick of `/proc`: USER_HZ is 100 on every architecture that Node runs on. */
const TICK_MS = 10;

const MARK = "WATT402_RUN";

/** Passes in which new processes are still looked for while all are stopped. */
const PASSES_MAX = 20;

const GUARD =
  'read -r _; for pass in 1 2 3; do for entry in /proc/[0-9]*; do tr "\\0" "\\n" < "$entry/environ" 2> /dev/null | ' +
  'grep -qx "$0" && kill -KILL "' +
  "$" +
  '{entry#/proc/}"; done; done';

interface Member {
  /** Ticks since boot at its start: with its number it is this process and no later one. */
  readonly startedAt: string;
  readonly parent: number;
  /** Used by itself and by the children that it waited for, milliseconds. */
  readonly ownMs: number;
  readonly waitedMs: number;
  /** Ended, and not waited for by its parent: what it used is still its own. */
  readonly isZombie: boolean;
}

export class ProcessTree implements ProcessGroup {
  readonly location: string;
  readonly entrance: Entrance;
  readonly #mark: string;
  readonly #duty = new DutyCycle((runs) => this.#let(runs));
  #runs = false;
  readonly #timer: NodeJS.Timeout;
  #members = new Map<number, Member>();
  /** By number and start: processes that were looked at and are none of it. */
  #others = new Map<number, string>();
  #departedMs = 0;
  #shownMs = 0;

  /** @param name of this group alone, letters, digits and hyphens */
  constructor(name: string) {
    this.#mark = `${MARK}=${name}`;
    this.location = `process tree ${name}`;
    this.entrance = {
      argv: ["sh", "-c", 'kill -STOP $$; exec "$@"', "sh"],
      env: { [MARK]: name },
      guard: ["-c", GUARD, this.#mark],
    };
    // Again and again: one may have been forked, or have stopped itself at its start, since.
    this.#timer = setInterval(() => this.#let(this.#runs), LOOK_MS).unref();
  }

  usedMs(): number {
    this.#look();
    let used = this.#departedMs;
    for (const { ownMs, waitedMs } of this.#members.values()) used += ownMs + waitedMs;
    this.#shownMs = Math.max(this.#shownMs, used);
    return this.#shownMs;
  }

  allow(levelPercent: number): void {
    this.#duty.allow(levelPercent);
  }

  alive(): number {
    this.#look();
    return [...this.#members.values()].filter(({ isZombie }) => !isZombie).length;
  }

  terminate(): void {
    this.#look();
    for (const pid of this.#members.keys()) signal(pid, "SIGTERM");
  }

  async kill(): Promise<void> {
    this.#duty.stop();
    clearInterval(this.#timer);
    this.#signalAll("SIGKILL");
    await untilGone(() => this.alive() === 0);
  }

  #let(runs: boolean): void {
    this.#runs = runs;
    this.#signalAll(runs ? "SIGCONT" : "SIGSTOP");
  }

  /** Until a look finds no process that was not signalled: one may fork while it is. */
  #signalAll(name: NodeJS.Signals): void {
    const signalled = new Set<string>();
    for (let pass = 0; pass < PASSES_MAX; pass++) {
      this.#look();
      const fresh = [...this.#members].filter(
        ([pid, { startedAt }]) => !signalled.has(`${pid} ${startedAt}`),
      );
      if (fresh.length === 0) return;
      for (const [pid, { startedAt }] of fresh) {
        signal(pid, name);
        signalled.add(`${pid} ${startedAt}`);
      }
    }
  }

  #look(): void {
    const before = this.#members;
    const members = new Map<number, Member>();
    const others = new Map<number, string>();
    for (const name of readdirSync("/proc")) {
      const pid = Number(name);
      const member = Number.isInteger(pid) ? memberAt(pid) : null;
      if (member === null) continue;
      if (this.#isOurs(pid, member)) members.set(pid, member);
      else others.set(pid, member.startedAt);
    }
    this.#members = members;
    this.#others = others;
    this.#departedMs += departed(before, members);
  }

  #isOurs(pid: number, { startedAt }: Member): boolean {
    if (this.#members.get(pid)?.startedAt === startedAt) return true;
    if (this.#others.get(pid) === startedAt) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(this.#mark);
    } catch {
      // Another user's, or gone meanwhile.
      return false;
    }
  }
}

/** What those used who are gone, and whose parent did not take it over by waiting for them. */
function departed(before: ReadonlyMap<number, Member>, now: ReadonlyMap<number, Member>): number {
  const byParent = new Map<number, number>();
  for (const [pid, { startedAt, parent, ownMs, waitedMs }] of before) {
    if (now.get(pid)?.startedAt === startedAt) continue;
    byParent.set(parent, (byParent.get(parent) ?? 0) + ownMs + waitedMs);
  }
  let lost = 0;
  for (const [parent, usedMs] of byParent) {
    const [then, present] = [before.get(parent), now.get(parent)];
    const taken =
      then !== undefined && present?.startedAt === then.startedAt ? present.waitedMs - then.waitedMs : 0;
    lost += Math.max(0, usedMs - taken);
  }
  return lost;
}

/** Null when it is gone. */
function memberAt(pid: number): Member | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name is in parentheses and may hold spaces and parentheses itself.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const ticks = (first: number) => (Number(fields[first]) + Number(fields[first + 1])) * TICK_MS;
    return {
      startedAt: fields[19]!,
      parent: Number(fields[1]),
      ownMs: ticks(11),
      waitedMs: ticks(13),
      isZombie: fields[0] === "Z",
    };
  } catch {
    return null;
  }
}
