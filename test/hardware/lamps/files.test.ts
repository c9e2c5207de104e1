import { rmSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openLamp, probeLamp } from "#hardware/lamps/open-lamp";
import { outputAt, sortedCurve } from "#hardware/lamps/pwm/dimming-curve";
import { openLed } from "#hardware/lamps/pwm/led";
import { openAnalog, openPwm } from "#hardware/lamps/pwm/pwm";
import { type AnalogSettings, type PwmSettings, readLampSettings } from "#hardware/lamps/settings";
import { systemClock } from "#node/clock";
import { makeTree, type Tree } from "./tree.ts";

let tree: Tree;
beforeEach(() => {
  tree = makeTree();
});
afterEach(() => tree.remove());

const context = () => ({ clock: systemClock(), ratedMilliwatts: 60_000, sysfs: tree.sysfs });
const brightness = () => tree.read("class/leds/lamp/brightness");

describe("a relay that the kernel knows as an LED", () => {
  it("closes at every level above 0, opens at 0, and keeps its state when no process holds it", async () => {
    tree.led("lamp", 1);
    const led = openLed({ label: "lamp" }, tree.sysfs);
    for (const [level, found] of [
      [100, "1"],
      [1, "1"],
      [0, "0"],
      [40, "1"],
    ] as const) {
      await led.apply(level);
      expect(brightness()).toBe(found);
    }
    await led.close();
    expect(brightness()).toBe("1");
  });

  it("is written inside the call, before anything else can happen", () => {
    tree.led("lamp", 1);
    const { lamp } = openLamp({ kind: "led" }, context(), () => 0.5);
    lamp.set(100);
    expect(brightness()).toBe("1");
    lamp.set(0);
    expect(brightness()).toBe("0");
  });

  it("dims where the LED can, and never to darkness while some light is wanted", async () => {
    tree.led("lamp", 255);
    const led = openLed({ label: "lamp" }, tree.sysfs);
    for (const [level, found] of [
      [100, "255"],
      [40, "102"],
      [1, "3"],
      [0, "0"],
    ] as const) {
      await led.apply(level);
      expect(brightness()).toBe(found);
    }
    tree.led("lamp", 20);
    await led.apply(1);
    expect(brightness()).toBe("1");
  });

  it("takes the lamp out of the hands of a kernel trigger", async () => {
    tree.led("lamp", 1);
    tree.sysfs.write("class/leds/lamp/trigger", "heartbeat");
    expect((await probeLamp({ kind: "led" }, context())).found.join()).toContain('trigger "heartbeat"');
    await openLed({ label: "lamp" }, tree.sysfs).apply(100);
    expect(tree.read("class/leds/lamp/trigger")).toContain("[none]");
  });

  it("is missed when its files go, and when another hand sets it, without a change of level", async () => {
    tree.led("lamp", 1);
    const led = openLed({ label: "lamp" }, tree.sysfs);
    await led.apply(100);
    await led.check!();
    tree.sysfs.write("class/leds/lamp/brightness", "0");
    expect(() => led.check!()).toThrow("expected brightness 1 after writing it, found 0; another program");
    await led.apply(100);
    await led.check!();
    rmSync(join(tree.root, "class/leds/lamp"), { recursive: true });
    expect(() => led.check!()).toThrow("found none at all; add");
  });

  it("names a missing overlay, and what LEDs there are", async () => {
    tree.led("ACT", 1);
    const { trouble } = await probeLamp({ kind: "led" }, context());
    expect(trouble).toBe(
      `LED "lamp": expected ${tree.root}/class/leds/lamp, found ACT; add "dtoverlay=gpio-led,gpio=17,label=lamp" ` +
        "to /boot/firmware/config.txt and reboot; if it is there, another overlay holds the pin: see `dmesg`",
    );
  });

  it("names a missing udev rule, and another program's hand on the lamp", async () => {
    tree.led("lamp", 1);
    tree.refused.set("class/leds/lamp/brightness", "EACCES");
    const led = openLed({ label: "lamp" }, { ...tree.sysfs, read: (path) => tree.read(path) });
    expect(() => led.apply(100)).toThrow(
      "found EACCES; this user may not use it: install the package's udev rule",
    );
    await expect(led.probe()).rejects.toThrow("udev rule");
    tree.refused.clear();
    const stuck = openLed({ label: "lamp" }, { ...tree.sysfs, write: () => {} });
    expect(() => stuck.apply(100)).toThrow(
      "expected brightness 1 after writing it, found 0; another program",
    );
  });

  it("is looked at without changing its light", async () => {
    tree.led("lamp", 1);
    const probe = await probeLamp({ kind: "led" }, context());
    expect(probe).toMatchObject({ name: 'LED "lamp"', trouble: null });
    expect(probe.found).toEqual(["brightness 0 of 1, a relay: on or off"]);
    expect(tree.writes).toEqual([]);
  });
});

const pwm = (table: Record<string, unknown>) => readLampSettings({ kind: "pwm", ...table }) as PwmSettings;
const analog = (table: Record<string, unknown>) =>
  readLampSettings({ kind: "analog", ...table }) as AnalogSettings;

describe("a PWM dimmer", () => {
  it("finds its chip whatever number the kernel gave it, and its channel from the pin", async () => {
    const boards = [
      ["fe20c000.pwm", 0, 2, "pwm0"],
      ["1f00098000.pwm", 2, 4, "pwm2"],
    ] as const;
    for (const [device, number, channels, channel] of boards) {
      const board = makeTree();
      board.pwmChip(number, device, channels);
      // The fan's block of a Pi 5 must not be taken for the header's.
      board.pwmChip(7, "1f0009c000.pwm", 4);
      await openPwm(pwm({ gpio: 18 }), { ...context(), sysfs: board.sysfs }).apply(25);
      const place = `class/pwm/pwmchip${number}/${channel}`;
      expect([board.read(`${place}/period`), board.read(`${place}/duty_cycle`)]).toEqual([
        "1000000",
        "250000",
      ]);
      expect(board.read(`${place}/enable`)).toBe("1");
      board.remove();
    }
  });

  it("changes a running channel by its duty alone, so that the light never flickers", async () => {
    tree.pwmChip(0, "fe20c000.pwm", 2);
    const dimmer = openPwm(pwm({ gpio: 18, frequency_hertz: 500, inverted: true }), context());
    await dimmer.apply(100);
    expect(tree.read("class/pwm/pwmchip0/pwm0/polarity")).toBe("inversed");
    tree.writes.length = 0;
    await dimmer.apply(50);
    // Another process, after a crash, finds the channel as it is.
    await openPwm(pwm({ gpio: 18, frequency_hertz: 500, inverted: true }), context()).apply(10);
    expect(tree.writes).toEqual([
      "class/pwm/pwmchip0/pwm0/duty_cycle=1000000",
      "class/pwm/pwmchip0/pwm0/duty_cycle=200000",
    ]);
  });

  it("is missed when its chip goes, and when another hand stops it, without a change of level", async () => {
    tree.pwmChip(0, "fe20c000.pwm", 2);
    const lamp = openPwm(pwm({ gpio: 18 }), context());
    await lamp.check!();
    await lamp.apply(50);
    await lamp.check!();
    tree.sysfs.write("class/pwm/pwmchip0/pwm0/enable", "0");
    expect(() => lamp.check!()).toThrow("pwm0/enable to stay 1, found 0; another program");
    await lamp.apply(50);
    await lamp.check!();
    rmSync(join(tree.root, "class/pwm/pwmchip0"), { recursive: true });
    expect(() => lamp.check!()).toThrow("pwm0/duty_cycle to stay 500000, found ENOENT");
  });

  it("never asks the kernel for a duty above the period", async () => {
    tree.pwmChip(0, "fe20c000.pwm", 2);
    await openPwm(pwm({ gpio: 18, frequency_hertz: 100 }), context()).apply(100);
    tree.writes.length = 0;
    await openPwm(pwm({ gpio: 18, frequency_hertz: 1000 }), context()).apply(100);
    const leaves = tree.writes.map((write) => write.split("/").at(-1));
    expect(leaves).toEqual(["duty_cycle=0", "period=1000000", "duty_cycle=1000000"]);
  });

  it.each([
    ["no overlay", () => {}, { gpio: 18 }, 'found none; add "dtoverlay=pwm-2chan"'],
    [
      "two chips that may be meant",
      () => [tree.pwmChip(0, "a.pwm", 2), tree.pwmChip(1, "b.pwm", 2)],
      { gpio: 18 },
      "set lamp.driver.chip to one of them",
    ],
    [
      "a chip that is not there",
      () => tree.pwmChip(0, "fe20c000.pwm", 2),
      { channel: 0, chip: "z.pwm" },
      "expected z.pwm, found fe20c000.pwm with 2 channels",
    ],
    [
      "a channel that is not there",
      () => tree.pwmChip(0, "fe20c000.pwm", 2),
      { channel: 2 },
      "expected channel 2 on fe20c000.pwm, found 2 channels",
    ],
    [
      "a pin of an unknown board",
      () => tree.pwmChip(0, "soc.pwm", 2),
      { gpio: 18 },
      "set lamp.driver.channel instead of gpio",
    ],
  ])("names %s", async (_name, prepare, table, reported) => {
    prepare();
    const { trouble } = await probeLamp({ kind: "pwm", ...table }, context());
    expect(trouble).toContain(reported);
  });

  it("names a channel that another driver holds, and a missing udev rule", async () => {
    tree.pwmChip(0, "fe20c000.pwm", 2);
    tree.refused.set("class/pwm/pwmchip0/export", "EBUSY");
    const dimmer = openPwm(pwm({ gpio: 18 }), context());
    await expect(dimmer.apply(1)).rejects.toThrow("found EBUSY; another driver or program holds the pin");
    tree.refused.clear();
    tree.refused.set("class/pwm/pwmchip0/pwm0/duty_cycle", "EACCES");
    await expect(dimmer.apply(1)).rejects.toThrow("found EACCES; this user may not use it");
    tree.refused.clear();
    await dimmer.apply(1);
    expect(tree.read("class/pwm/pwmchip0/pwm0/duty_cycle")).toBe("10000");
  });
});

describe("a 0-10 V lamp", () => {
  const duty = () => Number(tree.read("class/pwm/pwmchip0/pwm0/duty_cycle")) / 1_000_000;

  it("gets the volts of its calibration, and goes dark by its relay", async () => {
    tree.pwmChip(0, "fe20c000.pwm", 2);
    tree.led("lamp", 1);
    const curve = [
      { level_percent: 100, volts: 9 },
      { level_percent: 20, volts: 2 },
    ];
    const lamp = openAnalog(
      analog({ gpio: 18, relay_label: "lamp", full_scale_volts: 10, curve }),
      context(),
    );
    await lamp.apply(60);
    expect([duty(), brightness()]).toEqual([0.55, "1"]);
    await lamp.apply(5);
    expect([duty(), brightness()]).toEqual([0.2, "1"]);
    await lamp.apply(0);
    expect([duty(), brightness()]).toEqual([0, "0"]);
    const order = tree.writes
      .filter((write) => /brightness|duty_cycle/.test(write))
      .map((write) => write.split("/").at(-1));
    expect(order.slice(-2)).toEqual(["brightness=0", "duty_cycle=0"]);
    expect(order.slice(0, 2)).toEqual(["duty_cycle=550000", "brightness=1"]);
  });

  it("says when it has no relay to go dark with, and refuses a curve beyond its converter", async () => {
    tree.pwmChip(0, "fe20c000.pwm", 2);
    const probe = await probeLamp({ kind: "analog", gpio: 18 }, context());
    expect(probe.found.join()).toContain("shine on at 0 V");
    expect(() => openAnalog(analog({ gpio: 18, full_scale_volts: 5 }), context())).toThrow(
      "lamp.driver.curve: expected at most full_scale_volts, 5 V, found 10 V",
    );
  });
});

describe("a curve", () => {
  const points = fc
    .uniqueArray(fc.tuple(fc.integer({ min: 1, max: 100 }), fc.double({ min: 0, max: 10, noNaN: true })), {
      minLength: 1,
      selector: ([level]) => level,
    })
    .map((pairs) => {
      const levels = pairs.map(([level]) => level).sort((left, right) => left - right);
      const outputs = pairs.map(([, output]) => output).sort((left, right) => left - right);
      return levels.map((levelPercent, i) => ({ levelPercent, output: outputs[i]! }));
    });

  it("goes through its points, rises with the level, and is 0 in the dark", () => {
    fc.assert(
      fc.property(points, fc.integer({ min: 0, max: 99 }), (given, level) => {
        const curve = sortedCurve("c", [...given].reverse());
        for (const { levelPercent, output } of given)
          expect(outputAt(curve, levelPercent)).toBeCloseTo(output, 9);
        expect(outputAt(curve, level)).toBeLessThanOrEqual(outputAt(curve, level + 1) + 1e-9);
        expect(outputAt(curve, 0)).toBe(0);
      }),
    );
  });

  it("is refused where it falls", () => {
    const fallen = [
      { levelPercent: 10, output: 5 },
      { levelPercent: 20, output: 4 },
    ];
    expect(() => sortedCurve("lamp.driver.curve", fallen)).toThrow(
      "lamp.driver.curve: expected output to rise",
    );
  });
});

describe("the table of a lamp", () => {
  it.each([
    [
      { kind: "torch" },
      'lamp.driver.kind: expected one of simulated, led, gpio, pwm, analog, dali, found "torch"',
    ],
    [{ kind: "led", label: "../etc" }, "lamp.driver.label: expected the label of an LED"],
    [{ kind: "led", pin: 17 }, "lamp.driver.pin: expected no such key; check its spelling"],
    [{ kind: "pwm" }, "expected exactly one of gpio and channel"],
    [{ kind: "pwm", gpio: 17 }, "lamp.driver.gpio: expected 12, 13, 18 or 19, found 17"],
    [
      { kind: "pwm", gpio: 18, curve: [{ level_percent: 0, output_percent: 3 }] },
      "lamp.driver.curve.0.level_percent: expected an integer in 1..100",
    ],
    [{ kind: "dali", address: 64 }, "lamp.driver.address: expected an integer in -1..63, found 64"],
    [{ kind: "gpio", line: "GPIO 17" }, "lamp.driver.line: expected the name of a GPIO line"],
  ])("is refused by its key: %o", (table, reported) => {
    expect(() => openLamp(table, context(), () => 0.5)).toThrow(reported);
  });
});
