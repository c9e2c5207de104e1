import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkLight } from "#hardware/pi/light";
import { systemClock } from "#node/clock";
import { loadConfig } from "#node/config/device-config";
import { toHex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { Car, COMPACT_CAR } from "#simulator/charging/car";
import { ChargePoint } from "#simulator/charging/charge-point";
import { dialWebSocket } from "#simulator/charging/station-socket";
import { freePort } from "#simulator/services/free-port";
import { until } from "../../device/node/broker.ts";
import { ASSET, NETWORK, SELLER, startGateway } from "../gateway.ts";
import { bundledDevice, runDevice } from "../pi/device-process.ts";

const GATEWAY_KEY = openKey(new Uint8Array(32).fill(9));
const PASSWORD = "4b6f9c0a7e21d58f";
const VOLTS = 230;
/** One phase at 6 A for the 1.6 s in which nothing is known are 614 mWh. */
const QUANTUM = 700;
const TABLE = `
identity = "CP-7"
host = "127.0.0.1"
phases = 1
volts = ${VOLTS}
max_amps = 6
report_seconds = 1
stop_latency_seconds = 0.5
link_latency_ms = 100
`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "charger-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function configure(brokerPort: number, port: number, wantedUnits: number): string {
  const config = join(folder, "device.toml");
  writeFileSync(join(folder, "password"), `${PASSWORD}\n`, { mode: 0o600 });
  const text = `[device]
key_file = "${folder}/device.key"
journal_file = "${folder}/device.journal"
[gateway]
broker = "mqtt://127.0.0.1:${brokerPort}"
public_key = "${toHex(GATEWAY_KEY.publicKey)}"
[policy]
network = "${NETWORK}"
asset = "${ASSET}"
payees = ["${SELLER}"]
price_ceiling_per_million_units = 4000000
quantum_max_atomic = 1000
daily_budget_atomic = 500000
[meter]
wanted_units = ${wantedUnits}
power_max_milliwatts = 2000000
driver = { kind = "ocpp" }
[lamp]
rated_milliwatts = 1380000
driver = { kind = "ocpp" }
[charger]
port = ${port}
password_file = "${folder}/password"
${TABLE}`;
  writeFileSync(config, text);
  return config;
}

describe("watt402-device with a charge point", () => {
  it("buys what a car charges, and a charger that outlives it stops within one purchase of what is paid", async () => {
    const gateway = await startGateway(GATEWAY_KEY, QUANTUM);
    const program = await bundledDevice();
    const port = await freePort();
    const run = runDevice(program, ["--config", configure(gateway.broker.port, port, QUANTUM)]);
    const point = new ChargePoint({
      dial: dialWebSocket({
        url: `ws://127.0.0.1:${port}`,
        identity: "CP-7",
        password: PASSWORD,
        version: "2.0.1",
      }),
      version: "2.0.1",
      clock: fastClock(),
      random: Math.random,
      faults: [],
      maxMilliwatts: 16 * VOLTS * 1000,
      milliwattsPerAmp: VOLTS * 1000,
      followMs: 200,
      meterInitial: 5_000_000,
      onWait: () => {},
    });
    try {
      point.plug(new Car(COMPACT_CAR, 0.2));
      await until(
        "more than one purchase delivered",
        () => point.deliveredMilliwattHours() > 1.5 * QUANTUM,
        20_000,
      );
      expect(gateway.wrong).toEqual([]);
      expect(gateway.granted).toBeGreaterThanOrEqual(QUANTUM);
      run.process.kill("SIGKILL");
      await run.ended;
      await until("the charger stopped by itself", () => point.powerMilliwatts() === 0, 20_000);
      const over = point.deliveredMilliwattHours() - gateway.granted;
      expect(over).toBeLessThanOrEqual(QUANTUM);
      expect(point.isInTransaction()).toBe(true);
    } finally {
      await point.close();
      run.process.kill("SIGKILL");
      program.remove();
      await gateway.close();
    }
  });

  it("refuses at the start a purchase that is too small, with its sum, and whatever else does not fit a charger", () => {
    const config = configure(1883, 9220, 600);
    expect(() => checkLight(loadConfig(config))).toThrow(
      "meter.wanted_units: expected a purchase of at least 614 mWh: 1380 W x (report 1 s + stop latency 0.5 s + " +
        "link latency 0.1 s), found 600 mWh",
    );
    const changed = (from: string, to: string) => {
      writeFileSync(config, readFileSync(configure(1883, 9220, 700), "utf8").replace(from, to));
      return () => checkLight(loadConfig(config));
    };
    expect(changed("volts = 230", "volts = 230")).not.toThrow();
    expect(changed("[lamp]\n", "[lamp]\nlevel_percent_without_clock = 0\n")).not.toThrow();
    expect(changed("[policy]", '[policy]\nunpaid = "on"')).toThrow(
      'policy.unpaid: expected "off" beside [charger]',
    );
    expect(changed("[charger]", "[charger]\nmax_watts = 7")).toThrow(
      "charger.max_watts: expected no such key",
    );
    expect(changed("[charger]", '[plan]\nsteps = [{ at = "10:00", level_percent = 5 }]\n[charger]')).toThrow(
      "plan: expected a table, or one of [charger] in its place",
    );
    expect(changed(`password_file = "${folder}/password"`, `password_file = "${folder}/none"`)).toThrow(
      "charger.password_file: expected a password",
    );
  });
});

/** The charge point tries to connect each half second of real time instead of ten. */
function fastClock() {
  const clock = systemClock();
  return {
    ...clock,
    at: (ms: number, wake: () => void) =>
      clock.at(ms - clock.nowMs() > 9_000 ? clock.nowMs() + 500 : ms, wake),
  };
}
