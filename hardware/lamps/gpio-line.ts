/**
 * A relay on a GPIO line, held by a child process: libgpiod v2's `gpioset`, which keeps the line for as
 * long as it lives.
 *
 * Promise: the child dies with this process whatever way it ends (`setpriv --pdeathsig`), and the line is
 * released with it: the relay then falls to what its pull resistor says. A change of level is a change of
 * child, so the line is free for some milliseconds between. A child that ends by itself is reported.
 */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { detach } from "#core/detach";
import { within } from "#node/deadline";
import { throwUncaught } from "#node/process-guard";
import { Watt402Error } from "#payment/watt402-error";
import type { LampDriver } from "./lamp-driver.ts";
import type { GpioSettings } from "./settings.ts";

/** Longest wait for gpioset to have its line, milliseconds. */
const GPIOSET_MS = 3000;

/** Longest wait for it to let go of its line before it is killed, milliseconds. */
const RELEASE_MS = 1000;

/** Of what a child says, so much is kept. */
const SAID_MAX = 1000;

const CONSUMER = "watt402-lamp";

interface Held {
  readonly child: ChildProcess;
  readonly value: 0 | 1;
  readonly ended: Promise<void>;
}

export function openGpioLine(settings: GpioSettings): LampDriver {
  const { line, chip } = settings;
  const name = `GPIO line ${line}${chip === undefined ? "" : ` on ${chip}`}`;
  let held: Held | null = null;
  let takeLost: (trouble: string) => void = () => {};

  const release = async (): Promise<void> => {
    const before = held;
    held = null;
    if (before === null) return;
    before.child.kill("SIGTERM");
    await within(RELEASE_MS, before.ended, () => before.child.kill("SIGKILL"));
  };

  const hold = async (value: 0 | 1): Promise<void> => {
    const child = spawn("setpriv", ["--pdeathsig", "TERM", "gpioset", ...argumentsOf(settings, value)], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    const ended = new Promise<void>((resolve) => {
      child.once("close", () => resolve());
      child.once("error", () => resolve());
    });
    const holding = await new Promise<boolean>((resolve, reject) => {
      const timer = setTimeout(() => resolve(false), GPIOSET_MS);
      const settle = (act: () => void) => {
        clearTimeout(timer);
        act();
      };
      // With --banner it speaks as soon as the line is its own.
      child.stdout.once("data", () => settle(() => resolve(true)));
      child.stderr.on("data", (chunk: Buffer) => {
        said = `${said}${chunk}`.slice(0, SAID_MAX);
      });
      child.once("error", (error: NodeJS.ErrnoException) =>
        settle(() => reject(noTool(name, "setpriv", error.code))),
      );
      child.once("close", (code) => settle(() => reject(refused(name, code, said))));
    });
    if (!holding) {
      child.kill("SIGKILL");
      throw new Watt402Error(
        "in-use",
        `${name}: expected gpioset to take the line within ${GPIOSET_MS} ms, found it silent`,
      );
    }
    const now: Held = { child, value, ended };
    held = now;
    const lost = ended.then(() => {
      if (held !== now) return;
      held = null;
      takeLost(refused(name, child.exitCode, said).message);
    });
    detach(lost, throwUncaught);
  };

  return {
    name,
    afterDeath: "released with the process: the relay falls to what its pull resistor says",
    apply: async (levelPercent) => {
      const value = levelPercent > 0 ? 1 : 0;
      if (held?.value === value) return;
      await release();
      await hold(value);
    },
    probe: () => lookAt(name, settings, held !== null),
    onLost: (take) => {
      takeLost = take;
    },
    close: release,
  };
}

/** libgpiod 2: -c chip, -l active low, -C consumer. */
function argumentsOf({ line, chip, active_low }: GpioSettings, value: 0 | 1): string[] {
  return [
    "--banner",
    "-C",
    CONSUMER,
    ...(chip === undefined ? [] : ["-c", chip]),
    ...(active_low ? ["-l"] : []),
    `${line}=${value}`,
  ];
}

function lookAt(name: string, { line, chip }: GpioSettings, isOurs: boolean): Promise<readonly string[]> {
  const args = [...(chip === undefined ? [] : ["-c", chip]), line];
  return new Promise((resolve, reject) => {
    execFile("gpioinfo", args, { timeout: GPIOSET_MS }, (error, stdout, stderr) => {
      if (error !== null) {
        const { code } = error as { code?: unknown };
        reject(code === "ENOENT" ? noTool(name, "gpioinfo", code) : refused(name, Number(code), stderr));
        return;
      }
      const user = /consumer="?([^"\s]+)"?/.exec(stdout)?.[1];
      if (user !== undefined && !isOurs) reject(busy(name, `in use by "${user}"`));
      else resolve([stdout.trim().replace(/\s+/g, " ")]);
    });
  });
}

function noTool(name: string, tool: string, code: string | undefined): Error {
  const bundle = tool === "setpriv" ? "util-linux" : "gpiod (2 or newer)";
  return new Watt402Error(
    "not-found",
    `${name}: expected the command ${tool}, found ${code ?? "none"}; install ${bundle}`,
  );
}

function busy(name: string, found: string): Error {
  return new Watt402Error(
    "in-use",
    `${name}: expected a free line, found it ${found}; stop that program, or remove the overlay that uses the pin`,
  );
}

/** What gpioset meant. Its exit code says little, its words are those of libgpiod 2's tools. */
function refused(name: string, code: number | null, said: string): Error {
  const found = said.trim().split("\n")[0] || `exit code ${code ?? "none: killed"}`;
  if (/resource busy/i.test(said)) return busy(name, "busy");
  if (/cannot find line/.test(said)) {
    return new Watt402Error(
      "not-found",
      `${name}: expected a line of that name, found none; see the names with \`gpioinfo\``,
    );
  }
  if (/cannot find GPIO chip/.test(said)) {
    return new Watt402Error(
      "not-found",
      `${name}: expected that chip, found none; see the chips with \`gpiodetect\`, or leave chip out`,
    );
  }
  if (/permission denied/i.test(said)) {
    return new Watt402Error(
      "file-inaccessible",
      `${name}: expected to be allowed to open the chip, found EACCES; add this user to the group gpio`,
    );
  }
  if (/failed to execute gpioset/.test(said)) return noTool(name, "gpioset", "ENOENT");
  if (/invalid option|unrecognized option|invalid offset/i.test(said)) {
    return new Watt402Error(
      "unexpected-answer",
      `${name}: expected gpioset of libgpiod 2, found another ("${found}"); install gpiod 2 or newer`,
    );
  }
  return new Watt402Error(
    "unexpected-answer",
    `${name}: expected gpioset to hold the line, found: ${found}; see \`gpioinfo\` and \`dmesg\``,
  );
}
