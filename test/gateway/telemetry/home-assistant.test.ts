// Home Assistant's discovery: what is announced, that it points at what lights really say, and that it is taken back.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openHomeAssistant } from "#gateway/telemetry/home-assistant";
import { deviceName, stateOf } from "../http/fixtures.ts";

const folder = mkdtempSync(join(tmpdir(), "watt402-discovery-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const DOLLAR = { symbol: "USDC", decimals: 6 };
const EURO = { symbol: "EURC", decimals: 2 };

function run(isEnabled: boolean, file = "memory.txt", prefix = "homeassistant") {
  const retained = new Map<string, string>();
  const home = openHomeAssistant({
    isEnabled,
    prefix,
    moneyOf: ({ network }) => (network === null ? DOLLAR : EURO),
    memoryFile: join(folder, file),
    retain: (topic, text) => retained.set(topic, text),
  });
  return { home, retained };
}

interface Config {
  readonly name: string;
  readonly unique_id: string;
  readonly state_topic: string;
  readonly value_template: string;
  readonly availability_template: string;
}

const light = {
  device: deviceName(1),
  name: "Bridge 1",
  model: "LED 60",
  firmware: "1.2",
  unit: "mWh",
  network: null,
  asset: null,
};

/** The small part of Home Assistant's templates that is used: member paths, division, a condition. */
function rendered(template: string, message: Readonly<Record<string, unknown>>): string {
  const [, expression] = /^\{\{ (.*) \}\}$/.exec(template)!;
  const choice = /^'(\w+)' if value_json\.(\w+)(?: == '(\w+)')? else '(\w+)'$/.exec(expression!);
  if (choice) {
    const [, yes, member, wanted, no] = choice;
    const value = message[member!];
    return (wanted === undefined ? value === true : value === wanted) ? yes! : no!;
  }
  const [, member, divisor] = /^value_json\.(\w+)(?: \/ (\d+))?$/.exec(expression!)!;
  const value = message[member!];
  expect(value).toBeDefined();
  return divisor === undefined ? String(value) : String(Number(value) / Number(divisor));
}

test("a light is announced once, with entities that read its own messages", () => {
  const { home, retained } = run(true);
  home.announce(light);
  expect(retained.size).toBe(5);
  retained.clear();
  home.announce(light);
  expect(retained.size).toBe(0);
  home.announce({ ...light, network: "eip155:31338", asset: `0x${"b0".repeat(20)}` });
  expect([...retained.values()].filter((text) => text.includes("EURC"))).toHaveLength(1);
  const again = run(true);
  again.home.announce(light);
  const configs = [...again.retained].map(([topic, text]) => ({
    topic,
    ...(JSON.parse(text) as Config),
  }));
  expect(configs.map(({ topic }) => topic)[0]).toBe(
    `homeassistant/sensor/watt402_${light.device}/energy/config`,
  );
  expect(new Set(configs.map(({ unique_id }) => unique_id)).size).toBe(5);
  const messages: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
    [`x402/1/${light.device}/reading`]: { v: 1, register: 1_482_000, powerMilliwatts: 60_500, atSeconds: 0 },
    [`x402/1/${light.device}/state`]: { ...stateOf({ charged: 296_600, starved: true }) },
  };
  const values = Object.fromEntries(
    configs.map(({ name, state_topic, value_template }) => [
      name,
      rendered(value_template, messages[state_topic]!),
    ]),
  );
  expect(values).toEqual({ Energy: "1.482", Power: "60.5", Spent: "0.2966", State: "online", Starved: "ON" });
  const [energy] = configs;
  expect(energy).toMatchObject({
    device_class: "energy",
    state_class: "total_increasing",
    unit_of_measurement: "kWh",
  });
  expect(rendered(energy!.availability_template, { v: 1, status: "lost" })).toBe("offline");
});

test("switched off, everything that was ever announced is taken back, once", () => {
  const file = "off.txt";
  run(true, file, "homes").home.announce(light);
  const off = run(false, file);
  expect([...off.retained.values()]).toEqual(["", "", "", "", ""]);
  expect([...off.retained.keys()].every((topic) => topic.startsWith("homes/"))).toBe(true);
  off.home.announce(light);
  expect(off.retained.size).toBe(5);
  expect(run(false, file).retained.size).toBe(0);
});

test("off from the start nothing is said", () => {
  const { home, retained } = run(false, "never.txt");
  home.announce(light);
  expect(retained.size).toBe(0);
});

test("ten thousand lights that come and are forgotten leave no announcement, and no more lines than the bound", () => {
  const { home, retained } = run(true, "strangers.txt");
  home.announce(light);
  for (let index = 2; index <= 10_000; index += 1) {
    const device = deviceName(index);
    home.announce({ ...light, device });
    home.forget(device);
  }
  const kept = [...retained].filter(([, text]) => text !== "");
  expect(kept).toHaveLength(5);
  expect(readFileSync(join(folder, "strangers.txt"), "utf8").split("\n").length).toBeLessThanOrEqual(1_002);
  retained.clear();
  home.announce({ ...light, device: deviceName(2) });
  expect(retained.size).toBe(5);
});

test("what is metered in another unit than energy is announced in that unit, and as no device class of energy", () => {
  const { home, retained } = run(true, "ms.txt");
  home.announce({ ...light, unit: "ms" });
  const configs = [...retained.values()].map((text) => JSON.parse(text) as Record<string, unknown>);
  const named = (name: string) => configs.find((config) => config.name === name)!;
  expect(named("Used")).toMatchObject({
    unit_of_measurement: "ms",
    value_template: "{{ value_json.register }}",
  });
  expect(named("Rate")).toMatchObject({ unit_of_measurement: "ms/h" });
  expect(configs.some((config) => "device_class" in config && config.device_class !== "problem")).toBe(false);
});
