// The whole way of a command that pays for its CPU time: kernel, device, MQTT, a real gateway, a seller of milliseconds, the chain.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { toHex } from "#payment/bytes";
import { flatTariff } from "#simulator/seller/sale/tariff";
import { until } from "../../device/node/broker.ts";
import { openLossyProxy } from "../../gateway/faults/lossy-proxy.ts";
import { type Ground, prepareGround } from "../../gateway/fixtures.ts";
import { dataOf, ledgerRows, startSeller } from "../../gateway/purchase/agreement.ts";
import { bundledDevice, type Program, runDevice } from "../pi/device-process.ts";

/** Atomic units for a million milliseconds of CPU time: 833 ms for the smallest quantum of 10. */
const PRICE = 12_000;
const WANTED_MS = 833;

/** Longer than what is held back until the meter is read. */
const STANDING_MS = 1_500;

let ground: Ground;
let program: Program;
beforeAll(async () => {
  ground = await prepareGround();
  program = await bundledDevice();
});
afterAll(async () => {
  program.remove();
  await ground.stop();
});

function configure(folder: string, brokerUrl: string, unit = "ms"): string {
  const file = join(folder, "device.toml");
  writeFileSync(
    file,
    `[device]
key_file = "${folder}/key"
journal_file = "${folder}/journal"
status_socket = "${folder}/status.sock"
[gateway]
broker = "${brokerUrl}"
public_key = "${toHex(ground.gatewayKey.publicKey)}"
[policy]
network = "${ground.network}"
asset = "${ground.contracts.token.toLowerCase()}"
payees = []
price_ceiling_per_million_units = ${2 * PRICE}
quantum_max_atomic = 10
daily_budget_atomic = 100000
[meter]
unit = "${unit}"
wanted_units = ${WANTED_MS}
${unit === "ms" ? "" : "power_max_milliwatts = 100000\n[lamp]\nrated_milliwatts = 60000\n[plan]\nsteps = [{ at = '00:00', level_percent = 100 }]"}
[timing]
retry_first_ms = 200
retry_max_ms = 1000
`,
  );
  return file;
}

test("a command runs while its CPU time is paid for, stands when it is not, goes on when it is again, and ends with a statement", {
  timeout: 180_000,
}, async () => {
  const goods = { unit: "ms", resources: [{ path: "/v1/cpu", description: "CPU time" }] } as const;
  const seller = await startSeller(ground, { goods, tariff: flatTariff(PRICE), menu: [10] });
  const proxy = await openLossyProxy(seller.url, () => false);
  onTestFinished(() => proxy.close());
  const config = ground.config(proxy.url);
  const gateway = await ground.gateway(config);
  const device = runDevice(program, [
    ...["--config", configure(ground.directory(), gateway.brokerUrl)],
    ...[
      "run",
      "--",
      process.execPath,
      "-e",
      "console.log('began'); process.on('SIGTERM', () => process.exit(5)); const burn = () => { const end = Date.now() + 100; while (Date.now() < end); setImmediate(burn); }; burn();",
    ],
  ]);
  onTestFinished(() => void device.process.kill("SIGKILL"));
  const rows = () => ledgerRows(dataOf(config)).channels;
  const granted = () => rows().reduce((sum, channel) => sum + channel.granted, 0);
  await until("five purchases", () => granted() >= 5 * WANTED_MS, 60_000).catch((error: Error) => {
    throw new Error(`${error.message}; the device said: ${device.errors()}`);
  });
  // Its own output, and nothing of the device's.
  expect(device.out()).toBe("began\n");
  const place = /"place":"([^"]+)"/.exec(device.errors())![1]!;
  const kernelMs = kernelCountOf(place);

  proxy.leadTo("http://127.0.0.1:1");
  let used = kernelMs();
  let ranAtMs = performance.now();
  await until(
    "the command to stand for a while",
    () => {
      if (kernelMs() > used) ranAtMs = performance.now();
      used = kernelMs();
      return performance.now() - ranAtMs > STANDING_MS;
    },
    30_000,
  );
  // Within a second of its credit's end, on one core.
  expect(used).toBeLessThanOrEqual(granted() + 1_000);

  proxy.leadTo(seller.url);
  await until("the command to go on", () => kernelMs() > used + 500, 30_000);
  device.process.kill("SIGTERM");
  expect((await device.ended).code).toBe(0);
  const [, seconds, register] = /used +([0-9.]+) s of CPU time .*\n +register +(\d+) ms/.exec(
    device.errors(),
  )!;
  expect(Math.abs(Number(register) - 1000 * Number(seconds))).toBeLessThanOrEqual(1 + Number(seconds));
  expect(device.errors()).toMatch(/charged +\d+ atomic units/);
  await gateway.stop();
  const charged = rows().reduce((sum, channel) => sum + channel.charged, 0);
  expect((await seller.stop()).settles.amountAtomic).toBe(charged);
});

test("a command whose unit is not CPU time is refused before it is started", async () => {
  const file = configure(ground.directory(), "mqtt://127.0.0.1:1", "mWh");
  const device = runDevice(program, ["--config", file, "run", "--", "echo", "started"]);
  expect((await device.ended).code).toBe(1);
  expect(device.out()).toBe("");
  expect(device.errors()).toBe(
    'watt402-device: meter.unit: expected "ms", milliseconds of CPU time, for a command, found "mWh"\n',
  );
});

/** The kernel's count of the device's group, read beside the device. */
function kernelCountOf(place: string): () => number {
  const path = /^cgroup (.*)$/.exec(place)?.[1];
  if (path !== undefined) {
    return () => Number(/usage_usec (\d+)/.exec(readFileSync(`${path}/cpu.stat`, "utf8"))![1]) / 1000;
  }
  const mark = `WATT402_RUN=${/^process tree (.*)$/.exec(place)![1]}`;
  return () => {
    let ticks = 0;
    for (const pid of pidsWith(mark)) {
      const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      ticks += Number(fields[11]) + Number(fields[12]);
    }
    return 10 * ticks;
  };
}

function pidsWith(mark: string): string[] {
  return readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/environ`, "latin1").split("\0").includes(mark);
    } catch {
      return false;
    }
  });
}
