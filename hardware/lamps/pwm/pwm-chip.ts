/**
 * Finds the PWM chip behind a pin. The kernel numbers its chips anew with every version, so a number is
 * never asked for: a chip is known by the name of its device.
 *
 * Promise: one chip and one channel, or an error that lists what there is and says what to configure.
 */
import { Watt402Error } from "#payment/watt402-error";
import type { Sysfs } from "./sysfs.ts";

/** PWM blocks that reach the 40-pin header, and the channel of each of its PWM pins. */
const HEADER_CHIPS: Readonly<Record<string, Readonly<Record<number, number>>>> = {
  // Pi 1 and Zero; Pi 2, 3 and Zero 2; Pi 4, 400 and CM4.
  "2020c000.pwm": { 12: 0, 13: 1, 18: 0, 19: 1 },
  "3f20c000.pwm": { 12: 0, 13: 1, 18: 0, 19: 1 },
  "fe20c000.pwm": { 12: 0, 13: 1, 18: 0, 19: 1 },
  // Pi 5: RP1's first block. Its second, 1f0009c000.pwm, drives the fan.
  "1f00098000.pwm": { 12: 0, 13: 1, 18: 2, 19: 3 },
};

interface PwmPlace {
  /** Folder under the root, as class/pwm/pwmchip0. */
  readonly folder: string;
  readonly device: string;
  readonly channel: number;
}

export interface PwmWanted {
  readonly gpio?: number | undefined;
  readonly chip?: string | undefined;
  readonly channel?: number | undefined;
}

/** Throws one line when there is no such chip, or more than one that may be meant. */
export function findPwm(sysfs: Sysfs, wanted: PwmWanted): PwmPlace {
  const chips = sysfs
    .list("class/pwm")
    .filter((entry) => /^pwmchip\d+$/.test(entry))
    .map((entry) => {
      const folder = `class/pwm/${entry}`;
      return {
        folder,
        device: sysfs.linkName(`${folder}/device`) ?? entry,
        channels: Number(sysfs.read(`${folder}/npwm`)),
      };
    });
  const found =
    chips.map(({ device, channels }) => `${device} with ${channels} channels`).join(", ") || "none";
  const fits = chips.filter(({ device }) =>
    wanted.chip === undefined ? chips.length === 1 || device in HEADER_CHIPS : device === wanted.chip,
  );
  const [chip] = fits;
  if (chip === undefined) {
    const expected = wanted.chip ?? "a PWM chip of the header";
    throw new Watt402Error(
      "unexpected-answer",
      `PWM: expected ${expected}, found ${found}; ` +
        (chips.length === 0
          ? 'add "dtoverlay=pwm-2chan" to /boot/firmware/config.txt and reboot'
          : "set lamp.driver.chip to one of them"),
    );
  }
  if (fits.length > 1) {
    throw new Watt402Error(
      "unexpected-answer",
      `PWM: expected one chip, found ${found}; set lamp.driver.chip to the one that is wired`,
    );
  }
  const channel = wanted.channel ?? HEADER_CHIPS[chip.device]?.[wanted.gpio!];
  if (channel === undefined) {
    throw new Watt402Error(
      "unexpected-answer",
      `PWM: expected a chip whose pins are known, found ${chip.device}; set lamp.driver.channel instead of gpio`,
    );
  }
  if (channel >= chip.channels) {
    throw new Watt402Error(
      "unexpected-answer",
      `PWM: expected channel ${channel} on ${chip.device}, found ${chip.channels} channels; set lamp.driver.channel`,
    );
  }
  return { folder: chip.folder, device: chip.device, channel };
}
