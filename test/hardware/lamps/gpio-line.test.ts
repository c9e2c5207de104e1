import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openGpioLine } from "#hardware/lamps/gpio-line";
import { openLamp } from "#hardware/lamps/open-lamp";
import { type GpioSettings, readLampSettings } from "#hardware/lamps/settings";
import { systemClock } from "#node/clock";
import { until } from "../../device/node/broker.ts";
import { type FakeGpio, fakeGpio, makeTree } from "./tree.ts";

let gpio: FakeGpio;
beforeEach(() => {
  gpio = fakeGpio("GPIO17");
});
afterEach(() => gpio.remove());

const settings = (table: Record<string, unknown> = {}) =>
  readLampSettings({ kind: "gpio", ...table }) as GpioSettings;

describe("a relay on a GPIO line", () => {
  it("is held at each level by one child, and released when closed", async () => {
    const line = openGpioLine(settings());
    await line.apply(100);
    expect(gpio.line("GPIO17")).toBe("1");
    const holder = gpio.holder("GPIO17");
    await line.apply(40);
    expect(gpio.holder("GPIO17")).toBe(holder);
    await line.apply(0);
    expect(gpio.line("GPIO17")).toBe("0");
    await line.close();
    expect(gpio.line("GPIO17")).toBe("released");
  });

  it("is driven low for light where it is active low", async () => {
    const line = openGpioLine(settings({ active_low: true }));
    await line.apply(100);
    expect(gpio.line("GPIO17")).toBe("0");
    await line.close();
  });

  it("is let go when its process is killed without a word", async () => {
    const source = `
      import { register } from "tsx/esm/api";
      register();
      const { openGpioLine } = await import("${new URL("../../../hardware/lamps/gpio-line.ts", import.meta.url)}");
      await openGpioLine({ kind: "gpio", line: "GPIO17", active_low: false }).apply(100);
      console.log("lit");
      setInterval(() => {}, 1000);`;
    const owner = spawn(process.execPath, ["--input-type=module", "-e", source], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise((resolve) => owner.stdout.once("data", resolve));
    expect(gpio.line("GPIO17")).toBe("1");
    owner.kill("SIGKILL");
    await until("the line released", () => gpio.line("GPIO17") === "released");
  });

  it.each([
    [
      "a busy pin",
      () => mkdirSync(join(gpio.folder, "GPIO17.held")),
      {},
      "expected a free line, found it busy; stop that program, or remove the overlay",
    ],
    [
      "a line that is not there",
      () => {},
      { line: "GPIO99" },
      "expected a line of that name, found none; see the names with `gpioinfo`",
    ],
    [
      "a chip that is not there",
      () => {},
      { chip: "gpiochip4" },
      "expected that chip, found none; see the chips with `gpiodetect`",
    ],
    [
      "a chip that may not be opened",
      () => writeFileSync(join(gpio.folder, "forbidden"), ""),
      {},
      "found EACCES; add this user to the group gpio",
    ],
    [
      "tools of libgpiod 1",
      () =>
        writeFileSync(
          join(gpio.folder, "bin/gpioset"),
          "#!/bin/sh\necho \"gpioset: unrecognized option '--banner'\" >&2; exit 1\n",
        ),
      {},
      "install gpiod 2 or newer",
    ],
  ])("names %s", async (_name, prepare, table, reported) => {
    prepare();
    await expect(openGpioLine(settings(table)).apply(100)).rejects.toThrow(reported);
  });

  it("names missing tools", async () => {
    const { PATH } = process.env;
    process.env.PATH = join(gpio.folder, "none");
    await expect(openGpioLine(settings()).apply(100)).rejects.toThrow(
      "expected the command setpriv, found ENOENT; install util-linux",
    );
    await expect(openGpioLine(settings()).probe()).rejects.toThrow(
      "expected the command gpioinfo, found ENOENT; install gpiod (2 or newer)",
    );
    process.env.PATH = PATH;
  });

  it("is looked at without being taken, and says who has it", async () => {
    expect(await openGpioLine(settings()).probe()).toEqual(['gpiochip0 17 "GPIO17" input']);
    mkdirSync(join(gpio.folder, "GPIO17.held"));
    writeFileSync(join(gpio.folder, "GPIO17.held/consumer"), "fan-control");
    await expect(openGpioLine(settings()).probe()).rejects.toThrow('in use by "fan-control"');
  });

  it("is taken again by itself when its child dies, and says so meanwhile", async () => {
    const tree = makeTree();
    const { lamp } = openLamp(
      { kind: "gpio" },
      { clock: systemClock(), ratedMilliwatts: 1, sysfs: tree.sysfs },
      () => 0,
    );
    const reported: (string | null)[] = [];
    lamp.onTrouble!((trouble) => reported.push(trouble));
    lamp.set(100);
    await until("light", () => gpio.holder("GPIO17") !== null && gpio.line("GPIO17") === "1");
    process.kill(gpio.holder("GPIO17")!, "SIGTERM");
    await until("a word about it", () => reported.length > 0);
    expect(reported[0]).toContain("expected gpioset to hold the line");
    await until("light again", () => reported.at(-1) === null && gpio.line("GPIO17") === "1");
    expect(lamp.trouble()).toBeNull();
    await lamp.close();
    tree.remove();
  });
});
