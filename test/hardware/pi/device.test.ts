import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { toHex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { until } from "../../device/node/broker.ts";
import { ASSET, NETWORK, PRICE, SELLER, startGateway, type TestGateway } from "../gateway.ts";
import { bundledDevice, type Program, type Run, runDevice } from "./device-process.ts";

const COMMAND = new URL("../../../hardware/pi/watt402-device.mjs", import.meta.url).pathname;
const GATEWAY_KEY = openKey(new Uint8Array(32).fill(9));

let folder: string;
let config: string;
let program: Program;
const running: Run[] = [];
beforeAll(async () => {
  program = await bundledDevice();
});
afterAll(() => program.remove());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "device-"));
  config = join(folder, "device.toml");
});
afterEach(() => {
  for (const { process } of running.splice(0)) process.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

function configure(port: number, more = ""): void {
  writeFileSync(
    config,
    `
[device]
key_file = "${folder}/device.key"
journal_file = "${folder}/device.journal"
[gateway]
broker = "mqtt://127.0.0.1:${port}"
public_key = "${toHex(GATEWAY_KEY.publicKey)}"
[policy]
network = "${NETWORK}"
asset = "${ASSET}"
payees = ["${SELLER}"]
price_ceiling_per_million_units = ${PRICE}
quantum_max_atomic = 100
daily_budget_atomic = 100000
[meter]
wanted_units = 20
power_max_milliwatts = 1000000
[lamp]
rated_milliwatts = 600000
[plan]
steps = [{ at = "00:00", level_percent = 100 }]
[timing]
tick_ms = 500
retry_first_ms = 500
${more}
`,
  );
}

function run(...args: string[]): Run {
  const started = runDevice(program, args);
  running.push(started);
  return started;
}

/** 20 mWh, which one purchase buys, are an eighth of a second. */
const bought = (gateway: TestGateway, rungs: number) => () => gateway.charged >= rungs * 100;

describe("watt402-device", () => {
  it("buys its light, stops dark, and takes up its ladder again, after a stop and after a kill", async () => {
    const gateway = await startGateway(GATEWAY_KEY);
    try {
      configure(gateway.broker.port);
      const first = run("--config", config);
      await until("three purchases", bought(gateway, 3), 20_000);
      expect(first.lines()).toContainEqual(expect.objectContaining({ msg: "lamp", levelPercent: 100 }));
      expect(first.lines()).toContainEqual(expect.objectContaining({ msg: "bought", charged: 100 }));
      first.process.kill("SIGTERM");
      expect(await first.ended).toEqual({ code: 0, signal: null });
      expect(gateway.lastState()).toMatchObject({
        status: "lost",
        levelPercent: 0,
      });

      const second = run("--config", config);
      await until("two more purchases", bought(gateway, gateway.charged / 100 + 2), 20_000);
      second.process.kill("SIGKILL");
      await second.ended;
      await until("the last will", () => gateway.lastState()?.status === "lost");
      expect(gateway.lastState()).toEqual({ status: "lost" });

      const third = run("--config", config);
      await until("two more purchases", bought(gateway, gateway.charged / 100 + 2), 20_000);
      third.process.kill("SIGINT");
      expect(await third.ended).toEqual({ code: 0, signal: null });

      expect(gateway.wrong).toEqual([]);
      // Every rung once on the ladder, in order; repeats are the same rung.
      const rungs = [...new Set(gateway.vouchers)];
      expect(rungs).toEqual(rungs.map((_, i) => (i + 1) * 100));
      for (const one of [first, second, third]) expect(one.errors()).toBe("");
    } finally {
      await gateway.close();
    }
  });

  it("keeps a second process off the same journal with one clear line", async () => {
    const gateway = await startGateway(GATEWAY_KEY);
    try {
      configure(gateway.broker.port);
      const first = run("--config", config);
      await until("a purchase", bought(gateway, 1), 20_000);
      const second = run("--config", config);
      expect((await second.ended).code).toBe(1);
      expect(second.errors()).toMatch(/^watt402-device: .*expected no other process, found process \d+.*\n$/);
      first.process.kill("SIGTERM");
      expect((await first.ended).code).toBe(0);
    } finally {
      await gateway.close();
    }
  });

  it("goes on without a broker, says why, and stops in good order", async () => {
    configure(1);
    const light = run("--config", config);
    await until("a word about it", () => light.out().includes("ECONNREFUSED"), 20_000);
    light.process.kill("SIGTERM");
    expect((await light.ended).code).toBe(0);
    expect(light.errors()).toBe("");
  });

  it("prints its address, the same each time, bundled or from the tree", async () => {
    configure(1);
    const first = run("address", "--config", config);
    expect((await first.ended).code).toBe(0);
    expect(first.out()).toMatch(/^0x[0-9a-f]{40}\n$/);
    expect(execFileSync(COMMAND, ["address", "--config", config], { encoding: "utf8" })).toBe(first.out());
    const second = run("--config", config, "address");
    expect((await second.ended).code).toBe(0);
    expect(second.out()).toBe(first.out());
  });

  it("checks a configuration without starting or making anything", async () => {
    configure(1);
    const checked = run("--config", config, "--check");
    expect(await checked.ended).toEqual({ code: 0, signal: null });
    expect(checked.out()).toContain("no fault found");
  });

  it("fails in one clear line and without a stack trace", async () => {
    configure(1, "tick_sm = 3");
    const misspelt = run("--config", config);
    const missing = run("--config", join(folder, "none.toml"));
    const bare = run();
    expect((await misspelt.ended).code).toBe(1);
    expect(misspelt.errors()).toBe(
      `watt402-device: ${config}: timing.tick_sm: expected no such key; check its spelling\n`,
    );
    expect((await missing.ended).code).toBe(1);
    expect(missing.errors()).toBe(
      `watt402-device: ${join(folder, "none.toml")}: expected a readable file, found ENOENT\n`,
    );
    expect((await bare.ended).code).toBe(1);
    expect(bare.errors()).toBe(
      "watt402-device: /etc/watt402/device.toml: expected a readable file, found ENOENT\n",
    );
    for (const one of [misspelt, missing, bare]) expect(one.errors()).not.toMatch(/\n\s+at /);
  });
});
