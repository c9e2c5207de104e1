/**
 * What the kernel counts of another process: CPU time of all its threads, memory that is resident.
 *
 * Promise: figures of the kernel's own, to its tick of 10 ms; the process measured does nothing for it.
 */
import { readFileSync } from "node:fs";

/** USER_HZ: ticks in a second that /proc counts in, on every Linux of today. */
const TICKS_PER_SECOND = 100;

/** User and system time since its start, microseconds. Throws one line when there is no such process, or no /proc. */
export function cpuMicroseconds(pid: number): number {
  // Its name stands in brackets and may hold anything: fields are counted from behind it.
  const stat = read(pid, "stat");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1e6;
}

/** Resident memory, bytes. */
export function residentBytes(pid: number): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB$/m.exec(read(pid, "status")) ?? [];
  return Number(kibibytes) * 1024;
}

function read(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    throw new Error(`bench: expected process ${pid} in /proc, found none; the bench needs Linux`);
  }
}
