import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openRegisterMap, shippedMaps } from "#hardware/meters/modbus/map-table";
import { registersOf } from "#hardware/meters/modbus/register-map";
import { encodeWords } from "#hardware/meters/modbus/words";
import { type MeterDriver, openMeter, probeMeter } from "#hardware/meters/open-meter";
import { context, readOnce, reasonOf, temporaryFolder, until } from "./harness.ts";

const SIMULATE = new URL("../../../simulator/watt402-simulate.mjs", import.meta.url).pathname;
const PYMODBUS = new URL("./pymodbus_slave.py", import.meta.url).pathname;
/** Debian's own, which has python3-pymodbus. */
const PYTHON = "/usr/bin/python3";

let folder: ReturnType<typeof temporaryFolder>;
let children: ChildProcess[] = [];
let open: MeterDriver[] = [];
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(async () => {
  for (const meter of open) await meter.close();
  for (const child of children) await ended(child, "SIGKILL");
  children = [];
  open = [];
  folder.remove();
});

function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve(child.exitCode);
    child.once("exit", resolve);
    child.kill(signal);
  });
}

function run(command: string, args: readonly string[], input = ""): ChildProcess & { said: () => string } {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
  children.push(child);
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      text += chunk;
    });
  }
  child.stdin.end(input);
  return Object.assign(child, { said: () => text });
}

/** Both ends of a serial line. */
async function line(): Promise<{ near: string; far: string; socat: ChildProcess }> {
  const [near, far] = [join(folder.path, "near"), join(folder.path, "far")];
  const socat = run("socat", [`pty,raw,echo=0,link=${near}`, `pty,raw,echo=0,link=${far}`]);
  await until("a serial line", () => existsSync(near) && existsSync(far));
  return { near, far, socat };
}

function meter(table: Record<string, unknown>): MeterDriver {
  const made = openMeter({ kind: "modbus", timeout_ms: 500, ...table }, context());
  open.push(made);
  return made;
}

describe("a meter on a serial line", () => {
  it.each(shippedMaps().map(({ name }) => name))(
    "%s, served by another implementation of Modbus RTU, is read to the last digit",
    async (name) => {
      const { near, far } = await line();
      const map = openRegisterMap(name);
      const units = { energy: 4321, power: 60.5, voltage: 229.5, current: 0.25, frequency: 50 };
      const scaled = { ...units, energy: map.registers.energy.unit === "Wh" ? 4_321_000 : 4321 };
      const words = registersOf(map).flatMap(({ quantity, register }) =>
        encodeWords(register, scaled[quantity] / register.scale + 1e-6).map(
          (word, index) => [String(register.address + index), word] as const,
        ),
      );
      const slave = run(PYTHON, [PYMODBUS, far, "3"], JSON.stringify(Object.fromEntries(words)));
      await until("the slave", () => slave.said().includes("ready"), 20_000);
      const one = meter({ map: name, serial: near, slave: 3 });
      await until("a good reading", async () => reasonOf(await readOnce(one)) === "good", 15_000);
      const reading = await readOnce(one);
      expect(reading).toMatchObject({ raw: 4_321_000_000, powerMilliwatts: 60_500 });
      expect([229_500, undefined]).toContain(reading!.voltageMillivolts);
      expect([250, undefined]).toContain(reading!.currentMilliamps);
      expect([50_000, undefined]).toContain(reading!.frequencyMillihertz);
    },
  );

  it("comes back by itself when the adapter was pulled out and plugged in again", async () => {
    const first = await line();
    const serve = () =>
      run(process.execPath, [SIMULATE, "modbus-server", "--map", "sdm120", "--serial", first.far]);
    let served = serve();
    await until("the simulated meter", () => served.said().includes('"ready":true'), 30_000);
    const one = meter({ map: "sdm120", serial: first.near });
    expect(reasonOf(await readOnce(one))).toBe("good");
    await ended(first.socat, "SIGTERM");
    await until("a stale reading", async () => (await readOnce(one))!.quality!.kind === "stale", 10_000);
    await until(
      "the reason",
      async () => reasonOf(await readOnce(one)).includes("plug the adapter in"),
      10_000,
    );
    await ended(served, "SIGKILL");
    await line();
    served = serve();
    await until("the simulated meter", () => served.said().includes('"ready":true'), 30_000);
    await until("a good reading", async () => reasonOf(await readOnce(one)) === "good", 15_000);
  });

  it("is not taken from another process that has the port", async () => {
    const { near, far } = await line();
    const served = run(process.execPath, [SIMULATE, "modbus-server", "--map", "pzem-004t", "--serial", near]);
    await until("the simulated meter", () => served.said().includes('"ready":true'), 30_000);
    expect(far).toContain("far");
    const { trouble } = await probeMeter({ kind: "modbus", map: "pzem-004t", serial: near }, context());
    expect(trouble).toContain("expected a free port, found another process on it");
  });

  it("that is simulated rises with the lamp's own brightness file, and ends in good order", async () => {
    const { near, far } = await line();
    const lamp = join(folder.path, "leds/lamp");
    mkdirSync(lamp, { recursive: true });
    writeFileSync(join(lamp, "max_brightness"), "255\n");
    writeFileSync(join(lamp, "brightness"), "0\n");
    const args = [
      "meter",
      "--map",
      "pzem-004t",
      "--serial",
      far,
      "--watts",
      "3600",
      "--lamp",
      join(lamp, "brightness"),
    ];
    const served = run(process.execPath, [SIMULATE, ...args]);
    await until("the simulated meter", () => served.said().includes('"ready":true'), 30_000);
    const one = openMeter(
      { kind: "modbus", map: "pzem-004t", serial: near },
      context({ powerMaxMilliwatts: 10_000_000 }),
    );
    open.push(one);
    expect(await readOnce(one)).toMatchObject({ raw: 0, powerMilliwatts: 0 });
    writeFileSync(join(lamp, "brightness"), "255\n");
    // 3.6 kW are 1 Wh a second.
    await until("two watt-hours", async () => (await readOnce(one))!.raw >= 2000, 10_000);
    expect((await readOnce(one))!.powerMilliwatts).toBe(3_600_000);
    writeFileSync(join(lamp, "brightness"), "0\n");
    await until("no load", async () => (await readOnce(one))!.powerMilliwatts === 0);
    expect(await ended(served, "SIGTERM")).toBe(0);
    expect(served.said()).toContain('"stopped":true');
  });
});
