import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { examine } from "#hardware/pi/doctor/examine";
import { askStatus } from "#hardware/pi/status/status-socket";
import { loadConfig } from "#node/config/device-config";
import { toHex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { until } from "../device/node/broker.ts";
import { ASSET, NETWORK, SELLER, startGateway, type TestGateway } from "./gateway.ts";
import { bundledDevice, type Program, type Run, runDevice } from "./pi/device-process.ts";
import { type Pole, raisePole } from "./pi/simulated-light.ts";
import { type Converter, openConverter } from "./serial-line.ts";

const GATEWAY_KEY = openKey(new Uint8Array(32).fill(9));
const LOAD_WATTS = 720;
const SDM120 = new URL("../../hardware/meters/maps/sdm120.json", import.meta.url);

let program: Program;
beforeAll(async () => {
  program = await bundledDevice();
});
afterAll(() => program.remove());

let pole: Pole;
let line: Converter;
let gateway: TestGateway;
const runs: Run[] = [];
beforeEach(async () => {
  pole = await raisePole(LOAD_WATTS);
  line = await openConverter(pole.slaves);
  gateway = await startGateway(GATEWAY_KEY);
});
afterEach(async () => {
  for (const { process } of runs.splice(0)) process.kill("SIGKILL");
  await gateway.close();
  await line.close();
  await pole.remove();
});

function configure(map = "sdm120"): void {
  pole.configure({
    brokerUrl: `mqtt://127.0.0.1:${gateway.broker.port}`,
    gatewayPublicKey: toHex(GATEWAY_KEY.publicKey),
    network: NETWORK,
    asset: ASSET,
    payees: [SELLER],
    wantedUnits: 20,
    meter: `kind = "modbus"\nmap = "${map}"\nrtu_over_tcp = "127.0.0.1:${line.port}"\ntimeout_ms = 100`,
  });
}

function start(): Run {
  const run = runDevice(program, ["--config", pole.config]);
  runs.push(run);
  return run;
}

/** A map beside the configuration: the SDM120's with some text of it replaced. */
function customMap(change: (registers: Record<string, Record<string, unknown>>) => void): string {
  const map = JSON.parse(readFileSync(SDM120, "utf8")) as {
    registers: Record<string, Record<string, unknown>>;
  };
  change(map.registers);
  const file = join(pole.folder, "my-meter.json");
  writeFileSync(file, JSON.stringify(map));
  return file;
}

/** What doctor says of the meter: by itself, or as the running device reports it. */
async function doctorsWord(): Promise<string> {
  const check = (await examine(loadConfig(pole.config))).find(({ name }) => name === "meter")!;
  return `${check.verdict}: ${check.text}`;
}

/** Waits until the published state, and the status beside it, tell of a trouble in these words. */
async function untilReported(refusal: string, words: string): Promise<void> {
  await until(
    `"${words}" in the state`,
    () => {
      const state = gateway.lastState();
      return (
        state !== null && "trouble" in state && state.refusal === refusal && state.trouble!.includes(words)
      );
    },
    30_000,
  );
  const status = await askStatus(loadConfig(pole.config).statusSocket);
  expect(status).toMatchObject({ refusal });
  expect(status!.troubles.find(({ part }) => part === "meter")?.text).toContain(words);
  expect(await doctorsWord()).toContain(words);
}

async function untilLight(): Promise<void> {
  const { charged } = gateway;
  await until("light", () => gateway.charged > charged && pole.lit(), 30_000);
}

describe("a light whose meter", () => {
  it("has another slave address says which answers, burns and buys nothing, and lights by itself once it is right", async () => {
    pole.slaves.clear();
    pole.slaves.set(7, pole.meter);
    configure();
    const remedy = "set slave = 7 in [meter.driver]";
    // Each looks for others on the line, which takes seconds: both at once.
    const doctor = doctorsWord();
    start();
    await untilReported("meter-silent", remedy);
    expect(await doctor).toContain(
      `sdm120, slave 1 on 127.0.0.1:${line.port}: expected an answer within 100 ms, found silence`,
    );
    expect(await doctor).toContain(remedy);
    expect([gateway.vouchers, pole.lit(), pole.energyMilliwattHours()]).toEqual([[], false, 0]);
    pole.slaves.set(1, pole.meter);
    await untilLight();
    expect(gateway.lastState()).not.toHaveProperty("trouble");
  });

  it("is heard through noise names the CRC, the cable and the line's format, and goes on once it is quiet", async () => {
    configure();
    line.noisy = true;
    const reported =
      "expected an intact answer, found a damaged one (CRC); check parity, the converter's settings, the cable";
    expect(await doctorsWord()).toContain(reported);
    line.noisy = false;
    start();
    await untilLight();
    line.noisy = true;
    await untilReported("meter-silent", reported);
    line.noisy = false;
    await untilLight();
  });

  it("is read with swapped words has its values refused with the order that is right, and none of them metered", async () => {
    configure(
      customMap((registers) => {
        for (const register of Object.values(registers)) register.wordOrder = "low-first";
      }),
    );
    const reported =
      /voltage: expected 80\.\.300 V, found \S+ V; all values are right with wordOrder "high-first"/;
    expect(await doctorsWord()).toMatch(reported);
    start();
    await untilReported("meter-implausible", 'all values are right with wordOrder "high-first"');
    expect(gateway.lastState()).toMatchObject({ register: 0, trouble: expect.stringMatching(reported) });
    expect([gateway.vouchers, pole.lit(), pole.energyMilliwattHours()]).toEqual([[], false, 0]);
  });

  it("has a map whose registers overlap is not started: the two are named, with what to do", async () => {
    const file = customMap((registers) => {
      registers.current!.address = 12;
    });
    configure(file);
    const reported =
      `register map "${file}": power (input 12..13) and current (input 12..13) overlap; ` +
      "correct the address or the type of one";
    expect(await doctorsWord()).toBe(`wrong: ${reported}`);
    const refused = start();
    expect((await refused.ended).code).toBe(1);
    expect(refused.errors()).toBe(`watt402-device: ${reported}\n`);
    expect(pole.lit()).toBe(false);
  });
});
