/**
 * One channel of a PWM chip through sysfs: found, exported, and set to a share of its period.
 *
 * Promise: an already running channel is changed without a gap unless its period differs. It goes on as
 * it is when the process dies. Kernel documentation: driver-api/pwm, "Using PWMs with the sysfs interface".
 */

import type { Clock } from "#core/ports";
import { Watt402Error } from "#payment/watt402-error";
import { findPwm, type PwmWanted } from "./pwm-chip.ts";
import { codeOf, fileTrouble, type Sysfs } from "./sysfs.ts";

interface PwmOptions extends PwmWanted {
  readonly frequency_hertz: number;
  readonly inverted: boolean;
}

interface PwmOutput {
  /** @param duty share of the period that the output is on, 0..1 */
  set(duty: number): Promise<void>;
  /** Throws when chip or channel are gone, or no longer as they were set. */
  check(): void;
  look(): readonly string[];
}

/** Longest wait for the kernel's files, and udev's permissions on them, after an export, milliseconds. */
const EXPORT_MS = 1000;
const EXPORT_LOOK_MS = 20;

const NANOSECONDS = 1_000_000_000;

export function openPwmOutput(name: string, options: PwmOptions, sysfs: Sysfs, clock: Clock): PwmOutput {
  const periodNanoseconds = Math.round(NANOSECONDS / options.frequency_hertz);
  const write = (path: string, text: string) => {
    try {
      sysfs.write(path, text);
    } catch (error) {
      throw fileTrouble(name, sysfs, path, error);
    }
  };

  /** Where it was set last, and to what; null before the first. */
  let held: { readonly place: string; readonly duty: string } | null = null;

  const exported = async (): Promise<string> => {
    const { folder, channel } = findPwm(sysfs, options);
    const place = `${folder}/pwm${channel}`;
    if (isReady(sysfs, place)) return place;
    try {
      if (sysfs.list(place).length === 0) sysfs.write(`${folder}/export`, String(channel));
    } catch (error) {
      throw fileTrouble(`${name} channel ${channel}`, sysfs, `${folder}/export`, error);
    }
    const untilMs = clock.nowMs() + EXPORT_MS;
    while (!isReady(sysfs, place)) {
      if (clock.nowMs() > untilMs)
        throw fileTrouble(name, sysfs, `${place}/duty_cycle`, unready(sysfs, place));
      await new Promise<void>((resolve) => clock.at(clock.nowMs() + EXPORT_LOOK_MS, resolve));
    }
    return place;
  };

  return {
    set: async (duty) => {
      const place = await exported();
      const polarity = options.inverted ? "inversed" : "normal";
      if (read(sysfs, `${place}/polarity`) !== polarity) {
        // The kernel changes polarity of a channel at rest only.
        write(`${place}/enable`, "0");
        write(`${place}/polarity`, polarity);
      }
      if (read(sysfs, `${place}/period`) !== String(periodNanoseconds)) {
        // Duty must never exceed the period, whichever of the two is changed first.
        if (read(sysfs, `${place}/period`) !== "0") write(`${place}/duty_cycle`, "0");
        write(`${place}/period`, String(periodNanoseconds));
      }
      const nanoseconds = String(Math.round(periodNanoseconds * Math.min(1, Math.max(0, duty))));
      write(`${place}/duty_cycle`, nanoseconds);
      held = { place, duty: nanoseconds };
      if (read(sysfs, `${place}/enable`) !== "1") write(`${place}/enable`, "1");
    },
    check: () => {
      if (held === null) return;
      for (const [leaf, wanted] of [
        ["duty_cycle", held.duty],
        ["enable", "1"],
      ] as const) {
        const found = read(sysfs, `${held.place}/${leaf}`);
        if (found === wanted) continue;
        throw new Watt402Error(
          "unexpected-answer",
          `${name}: expected ${sysfs.root}/${held.place}/${leaf} to stay ${wanted}, found ${found}; ` +
            "another program sets it too, or its overlay is gone: see `dmesg`",
        );
      }
    },
    look: () => {
      const { folder, device, channel } = findPwm(sysfs, options);
      const place = `${folder}/pwm${channel}`;
      const asks = sysfs.list(place).length > 0 ? `${place}/duty_cycle` : `${folder}/export`;
      if (!sysfs.isWritable(asks)) throw fileTrouble(name, sysfs, asks, { code: "EACCES" });
      return [`${device} channel ${channel}, ${options.frequency_hertz} Hz`];
    },
  };
}

function isReady(sysfs: Sysfs, place: string): boolean {
  return sysfs.list(place).includes("duty_cycle") && sysfs.isWritable(`${place}/duty_cycle`);
}

function unready(sysfs: Sysfs, place: string): { readonly code: string } {
  return { code: sysfs.list(place).length === 0 ? "ENOENT" : "EACCES" };
}

function read(sysfs: Sysfs, path: string): string {
  try {
    return sysfs.read(path);
  } catch (error) {
    return codeOf(error);
  }
}
