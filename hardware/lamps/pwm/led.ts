/**
 * A lamp that the kernel knows as an LED: a relay behind `dtoverlay=gpio-led`, or a dimmable light.
 *
 * Promise: the level is written, and read back, inside the call. It stays when the process dies, until
 * somebody writes another, so the service's ExecStopPost must write the safe one. A relay is closed at
 * every level above 0.
 */
import { Watt402Error } from "#payment/watt402-error";
import type { LampDriver } from "../lamp-driver.ts";
import type { LedSettings } from "../settings.ts";
import { codeOf, fileTrouble, type Sysfs } from "./sysfs.ts";

export function openLed({ label }: Pick<LedSettings, "label">, sysfs: Sysfs): LampDriver {
  const name = `LED "${label}"`;
  const folder = `class/leds/${label}`;
  const file = (leaf: string) => `${folder}/${leaf}`;
  /** Brightness that was written last; null before the first. */
  let written: number | null = null;

  const look = () => {
    if (!sysfs.list("class/leds").includes(label)) throw missing(name, label, sysfs);
    const max = Number(readFile(name, sysfs, file("max_brightness")));
    const brightness = Number(readFile(name, sysfs, file("brightness")));
    return {
      max,
      brightness,
      trigger: /\[(.+)\]/.exec(readFile(name, sysfs, file("trigger")))?.[1] ?? "none",
    };
  };
  const expectWritten = (wanted: number, found: number) => {
    if (found === wanted) return;
    throw new Watt402Error(
      "unexpected-answer",
      `${name}: expected brightness ${wanted} after writing it, found ${found}; another program sets it too`,
    );
  };
  return {
    name,
    afterDeath: "keeps its level until somebody sets another: `watt402-device safe` does",
    apply: (levelPercent) => {
      const { max, trigger } = look();
      // A trigger would blink the lamp for disk or network traffic.
      if (trigger !== "none") writeFile(name, sysfs, file("trigger"), "none");
      const wanted = levelPercent <= 0 ? 0 : Math.max(1, Math.round((levelPercent / 100) * max));
      writeFile(name, sysfs, file("brightness"), String(wanted));
      written = wanted;
      expectWritten(wanted, Number(readFile(name, sysfs, file("brightness"))));
      return undefined;
    },
    check: () => {
      const { brightness } = look();
      if (written !== null) expectWritten(written, brightness);
      return undefined;
    },
    probe: async () => {
      const { max, brightness, trigger } = look();
      if (!sysfs.isWritable(file("brightness"))) {
        throw fileTrouble(name, sysfs, file("brightness"), { code: "EACCES" });
      }
      return [
        `brightness ${brightness} of ${max}, ${max === 1 ? "a relay: on or off" : "dimmable"}`,
        ...(trigger === "none" ? [] : [`trigger "${trigger}", which is set to "none" at the first start`]),
      ];
    },
    close: async () => {},
  };
}

function missing(name: string, label: string, sysfs: Sysfs): Error {
  const others = sysfs.list("class/leds").join(", ") || "none at all";
  return new Watt402Error(
    "not-found",
    `${name}: expected ${sysfs.root}/class/leds/${label}, found ${others}; add ` +
      `"dtoverlay=gpio-led,gpio=17,label=${label}" to /boot/firmware/config.txt and reboot; ` +
      "if it is there, another overlay holds the pin: see `dmesg`",
  );
}

function readFile(name: string, sysfs: Sysfs, path: string): string {
  try {
    return sysfs.read(path);
  } catch (error) {
    // Old kernels have LEDs without triggers.
    if (path.endsWith("/trigger") && codeOf(error) === "ENOENT") return "[none]";
    throw fileTrouble(name, sysfs, path, error);
  }
}

function writeFile(name: string, sysfs: Sysfs, path: string, text: string): void {
  try {
    sysfs.write(path, text);
  } catch (error) {
    throw fileTrouble(name, sysfs, path, error);
  }
}
