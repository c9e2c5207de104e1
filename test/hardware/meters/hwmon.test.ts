import { mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type MeterDriver, openMeter, probeMeter } from "#hardware/meters/open-meter";
import { context, readOnce, reasonOf, temporaryFolder, until } from "./harness.ts";

let folder: ReturnType<typeof temporaryFolder>;
let open: MeterDriver[] = [];
beforeEach(() => {
  folder = temporaryFolder();
  mkdirSync(join(folder.path, "class/hwmon"), { recursive: true });
});
afterEach(async () => {
  for (const meter of open) await meter.close();
  open = [];
  folder.remove();
});

/** A chip as the kernel shows it: 12 V, 3.5 A, 42 W. */
function chip(hwmon: string, name: string, files: Record<string, string> = {}): string {
  const path = join(folder.path, "class/hwmon", hwmon);
  mkdirSync(path);
  const shown = {
    name,
    power1_input: "42000000",
    in0_input: "7",
    in1_input: "12000",
    curr1_input: "3500",
    ...files,
  };
  for (const [file, text] of Object.entries(shown)) writeFileSync(join(path, file), `${text}\n`);
  return path;
}

function meter(table: Record<string, unknown> = {}): MeterDriver {
  const made = openMeter(
    { kind: "ina226", sample_ms: 100, ...table },
    context({ sysfsRoot: folder.path, stateDirectory: join(folder.path, "state") }),
  );
  open.push(made);
  return made;
}

const isGood = async (one: MeterDriver) => reasonOf(await readOnce(one)) === "good";

describe("a chip of the kernel's hwmon", () => {
  it("is found by its name among others, and its power is integrated over real time", async () => {
    chip("hwmon0", "cpu_thermal");
    chip("hwmon3", "ina226");
    const startMs = Date.now();
    const one = meter();
    await until("a good reading", () => isGood(one));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const reading = await readOnce(one);
    expect(reading).toMatchObject({
      powerMilliwatts: 42_000,
      voltageMillivolts: 12_000,
      currentMilliamps: 3500,
    });
    // 42 W are 11.7 mWh a second.
    const most = ((Date.now() - startMs) * 42_000) / 3_600_000;
    expect(reading!.raw).toBeGreaterThan(0.6 * most);
    expect(reading!.raw).toBeLessThanOrEqual(most + 1);
  });

  it("is distinguished from another of its name by bus and address", async () => {
    for (const [hwmon, device, power] of [
      ["hwmon0", "1-0040", "1000000"],
      ["hwmon1", "1-0044", "2000000"],
    ] as const) {
      const target = join(folder.path, "devices", device);
      mkdirSync(target, { recursive: true });
      symlinkSync(target, join(chip(hwmon, "ina226", { power1_input: power }), "device"));
    }
    const one = meter({ address: 0x44 });
    await until("a good reading", () => isGood(one));
    expect((await readOnce(one))!.powerMilliwatts).toBe(2000);
  });

  it("uses the kernel's own energy counter where there is one", async () => {
    const path = chip("hwmon0", "ina228", { energy1_input: "5000000000" });
    const one = meter({ kind: "ina228" });
    await until("a good reading", () => isGood(one));
    // 36 J are 10 mWh.
    writeFileSync(join(path, "energy1_input"), "5036000000\n");
    await until("ten milliwatt-hours", async () => (await readOnce(one))!.raw === 10);
    // The chip lost its power and counted 3.6 J since.
    writeFileSync(join(path, "energy1_input"), "3600000\n");
    await until("one more", async () => (await readOnce(one))!.raw === 11);
  });

  it("is found again under another number when it comes back", async () => {
    const path = chip("hwmon0", "ina226");
    const one = meter();
    await until("a good reading", () => isGood(one));
    const away = join(folder.path, "away");
    renameSync(path, away);
    await until("a stale reading", async () => !(await isGood(one)));
    expect(reasonOf(await readOnce(one))).toMatch(
      /expected a chip "ina226" under .*found none|expected a readable file/,
    );
    renameSync(away, join(folder.path, "class/hwmon/hwmon7"));
    await until("a good reading", () => isGood(one));
  });

  it("that is not there names the overlay, and what is there instead", async () => {
    chip("hwmon0", "cpu_thermal");
    const { trouble } = await probeMeter(
      { kind: "ina226", sample_ms: 100 },
      context({ sysfsRoot: folder.path }),
    );
    expect(trouble).toContain('expected a chip "ina226"');
    expect(trouble).toContain("found cpu_thermal; add dtoverlay=i2c-sensor,ina226 to config.txt");
  });

  it("with another shunt than the board's is refused with the line to change", async () => {
    chip("hwmon0", "ina226", { shunt_resistor: "10000" });
    const one = meter({ shunt_microohms: 2000 });
    await until("the reason", async () => reasonOf(await readOnce(one)).includes("shunt_resistor"));
    expect(reasonOf(await readOnce(one))).toContain("set shunt-resistor=2000 in the overlay");
  });

  it("never meters what its data sheet forbids, or power flowing back", async () => {
    const path = chip("hwmon0", "ina226", { in1_input: "48000" });
    const one = meter();
    await until("the reason", async () => reasonOf(await readOnce(one)).includes("0..36 V, found 48 V"));
    writeFileSync(join(path, "in1_input"), "12000\n");
    writeFileSync(join(path, "curr1_input"), "-3500\n");
    await until("the reason", async () => reasonOf(await readOnce(one)).includes("flow back, found -42 W"));
    expect((await readOnce(one))!.raw).toBe(0);
    writeFileSync(join(path, "curr1_input"), "3500\n");
    await until("a good reading", () => isGood(one));
  });

  it("that shows no number says which file", async () => {
    const path = chip("hwmon0", "ina226", { power1_input: "???" });
    const one = meter();
    await until("the reason", async () =>
      reasonOf(await readOnce(one)).includes("power1_input: expected a whole"),
    );
    unlinkSync(join(path, "power1_input"));
    await until("the reason", async () => reasonOf(await readOnce(one)).includes("found ENOENT"));
  });

  it("fills a gap in its samples, marks the next reading alone, and reports it", async () => {
    const path = chip("hwmon0", "ina226");
    const one = meter();
    await until("a good reading", () => isGood(one));
    rmSync(join(path, "power1_input"));
    await new Promise((resolve) => setTimeout(resolve, 900));
    writeFileSync(join(path, "power1_input"), "42000000\n");
    await until("the reason", async () => reasonOf(await readOnce(one)).includes("without a gap"));
    await until("a good reading", () => isGood(one));
    const filled = Math.floor((850 * 42_000) / 3_600_000);
    await until("the gap's energy", async () => (await readOnce(one))!.raw >= filled);
    expect(one.notes()[0]).toContain("filled at the higher power around it");
  });
});
