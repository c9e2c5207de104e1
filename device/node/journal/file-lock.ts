/**
 * One process at a time: a lock file that names its holder by process id, start time and boot.
 *
 * Promise: two processes never both hold it; one left behind by a process that is gone, or by an
 * earlier boot, is recognised and taken over, even when the process id has a new owner.
 */

import { randomBytes } from "node:crypto";
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { Watt402Error } from "#payment/watt402-error";

/** Times a stale lock is taken over before giving up: somebody else keeps taking it too. */
const TAKE_OVER_MAX = 3;

/** Takes the lock or throws naming its holder; returns the release. */
export function lockFile(path: string): () => void {
  const own = `${process.pid} ${startOf(process.pid)} ${bootId()}\n`;
  for (let attempt = 0; attempt < TAKE_OVER_MAX; attempt++) {
    if (created(path, own)) return () => release(path, own);
    const holder = textOf(path);
    if (holder !== null && isAlive(holder)) break;
    if (holder !== null) moveAside(path, holder);
  }
  const pid = (textOf(path) ?? "").split(" ")[0] || "unknown";
  throw new Watt402Error("in-use", `${path}: expected no other process, found process ${pid}; stop it first`);
}

/** Whole or not at all: the content is there before the name is. */
function created(path: string, content: string): boolean {
  const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  writeFileSync(draft, content, { flag: "wx", mode: 0o600 });
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft);
  }
}

/** Removes a stale lock, but puts back one that somebody took in the meantime. */
function moveAside(path: string, stale: string): void {
  const aside = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  if (textOf(aside) !== stale) linkSync(aside, path);
  rmSync(aside);
}

function release(path: string, own: string): void {
  if (textOf(path) === own) rmSync(path);
}

function isAlive(holder: string): boolean {
  const [pid, start, boot] = holder.trim().split(" ");
  return boot === bootId() && start !== "gone" && startOf(Number(pid)) === start;
}

/** When a process began, in ticks since boot (proc(5), stat field 22); "gone" when there is none. */
function startOf(pid: number): string {
  const stat = textOf(`/proc/${pid}/stat`);
  if (stat === null) return "gone";
  // The second field is the command in parentheses and may hold spaces.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "gone";
}

/** A service may be kept from /proc/sys; then start times alone distinguish two boots. */
function bootId(): string {
  return textOf("/proc/sys/kernel/random/boot_id")?.trim() ?? "unknown";
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
