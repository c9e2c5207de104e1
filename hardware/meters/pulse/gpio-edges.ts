/**
 * Rising edges on GPIO lines, as `gpiomon` of libgpiod 2 reports them.
 *
 * Promise: every edge that the kernel counted is reported once, with the kernel's own time; a child that ends
 * is started again, with its words as the reason, no sooner than RESTART_MS after.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { detach } from "#core/detach";
import type { Clock } from "#core/ports";
import { throwUncaught } from "#node/process-guard";

/** Rest before a child that ended is started again. */
const RESTART_MS = 1000;

/** Longest stretch without a line end that is kept, and longest complaint reported. */
const TEXT_MAX = 4096;
const COMPLAINT_MAX = 160;

interface EdgeSettings {
  readonly chip: string;
  readonly lines: readonly number[];
  readonly debounceMicroseconds: number;
  readonly bias: "pull-up" | "as-is";
}

interface EdgeListener {
  /** @param atSeconds kernel's monotonic clock, with nanoseconds */
  edge(line: number, atSeconds: number): void;
  /** The lines are watched. */
  watching(): void;
  /** They are not, and why. */
  lost(reason: string): void;
}

/** Watches until the returned function has resolved. */
export function watchEdges(
  settings: EdgeSettings,
  clock: Clock,
  listener: EdgeListener,
): () => Promise<void> {
  let child: ChildProcess | null = null;
  let ended = false;
  let cancel: () => void = () => {};
  const start = () => {
    const started = startChild(settings, listener);
    child = started.child;
    const restarted = started.gone.then((reason) => {
      child = null;
      if (ended) return;
      listener.lost(reason);
      cancel = clock.at(clock.nowMs() + RESTART_MS, start);
    });
    detach(restarted, throwUncaught);
  };
  start();
  return async () => {
    ended = true;
    cancel();
    const last = child;
    if (last === null) return;
    const gone = new Promise<void>((resolve) => last.once("close", () => resolve()));
    last.kill("SIGTERM");
    await gone;
  };
}

function startChild(settings: EdgeSettings, listener: EdgeListener) {
  const { chip, lines, debounceMicroseconds, bias } = settings;
  const child = spawn(
    "gpiomon",
    [
      "--banner",
      ...["-c", chip, "-e", "rising", "-F", "%o %S"],
      ...(debounceMicroseconds > 0 ? ["-p", `${debounceMicroseconds}us`] : []),
      ...(bias === "pull-up" ? ["-b", "pull-up"] : []),
      ...lines.map(String),
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let text = "";
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk).slice(0, TEXT_MAX);
  });
  child.stdout.on("data", (chunk: Buffer) => {
    const whole = (text + chunk).split("\n");
    text = (whole.pop() ?? "").slice(-TEXT_MAX);
    for (const line of whole) takeLine(line, listener);
  });
  const gone = new Promise<string>((resolve) => {
    child.on("error", (error: NodeJS.ErrnoException) =>
      resolve(explain(settings, error.code ?? error.message)),
    );
    child.on("close", (code) => resolve(explain(settings, complaint.trim() || `exit code ${code}`)));
  });
  return { child, gone };
}

function takeLine(line: string, listener: EdgeListener): void {
  const [, offset, seconds] = /^(\d+) (\d+\.\d+)$/.exec(line) ?? [];
  if (offset !== undefined) listener.edge(Number(offset), Number(seconds));
  else if (line.startsWith("Monitoring line")) listener.watching();
}

function explain({ chip, lines }: EdgeSettings, complaint: string): string {
  const pins = `${chip} line ${lines.join(", ")}`;
  const said = complaint.split("\n")[0]!.slice(0, COMPLAINT_MAX);
  if (complaint === "ENOENT") return "expected the command gpiomon, found none; install the package gpiod";
  if (/invalid option|unrecognized option/.test(complaint)) {
    return `expected gpiomon of libgpiod 2 or later, found an older one (${said}); install gpiod 2`;
  }
  if (/busy/i.test(complaint)) {
    return `expected ${pins} to be free, found it busy; gpioinfo shows what holds it: remove that overlay or change the line`;
  }
  if (/permission/i.test(complaint)) {
    return `expected to be allowed ${pins}, found no permission; add the service's user to group gpio`;
  }
  return `expected gpiomon to watch ${pins}, found: ${said}`;
}
