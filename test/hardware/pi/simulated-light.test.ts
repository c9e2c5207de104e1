import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CHECK_MS } from "#hardware/lamps/steady-lamp";
import { examine } from "#hardware/pi/doctor/examine";
import type { Status } from "#hardware/pi/status/status";
import { loadConfig } from "#node/config/device-config";
import { openOrCreateKey } from "#node/key/keystore";
import { toHex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { until } from "../../device/node/broker.ts";
import { ASSET, NETWORK, SELLER, startGateway, type TestGateway } from "../gateway.ts";
import { bundledDevice, type Program, type Run, runDevice } from "./device-process.ts";
import { type Pole, type PoleOptions, raisePole } from "./simulated-light.ts";

const GATEWAY_KEY = openKey(new Uint8Array(32).fill(9));
/** 20 mWh, which one purchase buys of the test's gateway, are a tenth of a second. */
const LOAD_WATTS = 720;

let program: Program;
beforeAll(async () => {
  program = await bundledDevice();
});
afterAll(() => program.remove());

let pole: Pole;
const runs: Run[] = [];
beforeEach(async () => {
  pole = await raisePole(LOAD_WATTS);
});
afterEach(async () => {
  for (const { process } of runs.splice(0)) process.kill("SIGKILL");
  await pole.remove();
});

function configure(brokerPort: number, more: Partial<PoleOptions> = {}): void {
  pole.configure({
    brokerUrl: `mqtt://127.0.0.1:${brokerPort}`,
    gatewayPublicKey: toHex(GATEWAY_KEY.publicKey),
    network: NETWORK,
    asset: ASSET,
    payees: [SELLER],
    wantedUnits: 20,
    ...more,
  });
}

function start(...args: string[]): Run {
  const run = runDevice(program, ["--config", pole.config, ...args]);
  runs.push(run);
  return run;
}

async function reported(...args: string[]): Promise<{ code: number | null; out: string; errors: string }> {
  const run = start(...args);
  const { code } = await run.ended;
  return { code, out: run.out(), errors: run.errors() };
}

interface Diagnosis {
  readonly well: boolean;
  readonly checks: readonly { readonly name: string; readonly verdict: string; readonly text: string }[];
}
async function diagnosis(): Promise<Diagnosis> {
  return JSON.parse((await reported("doctor", "--json")).out) as Diagnosis;
}
const checkOf = ({ checks }: Diagnosis, name: string) => checks.find((check) => check.name === name)!;

async function status(): Promise<Status> {
  return JSON.parse((await reported("status", "--json")).out) as Status;
}

async function withGateway(act: (gateway: TestGateway) => Promise<void>): Promise<void> {
  const gateway = await startGateway(GATEWAY_KEY);
  try {
    await act(gateway);
  } finally {
    await gateway.close();
  }
}

describe("watt402-device on a pole", () => {
  it("lights a real relay while its meter's energy is paid for, reports its status, and leaves it safe", async () => {
    await withGateway(async (gateway) => {
      configure(gateway.broker.port);
      const device = start();
      await until("five purchases", () => gateway.charged >= 500, 20_000);
      await until("light", () => pole.lit(), 20_000);
      // E2: never more light than was granted and one quantum.
      expect(pole.energyMilliwattHours()).toBeLessThanOrEqual(gateway.granted + 20);
      await until("a reading", () => gateway.lastReading() !== null, 20_000);
      expect(gateway.lastReading()).toMatchObject({
        voltageMillivolts: 230_000,
        frequencyMillihertz: 50_000,
        quality: "good",
      });
      const now = await status();
      expect(now).toMatchObject({ v: 1, linkUp: true, refusal: null, troubles: [], pid: device.process.pid });
      expect(now.lamp).toMatchObject({ name: 'LED "lamp"', wantedPercent: 100 });
      expect(now.meter.name).toContain("sdm120");
      expect(now.channel?.payTo).toBe(SELLER);
      expect((await reported("status")).out).toContain("all well");
      const beside = await diagnosis();
      expect(beside.checks.filter(({ verdict }) => verdict === "wrong")).toEqual([]);
      expect(checkOf(beside, "channel").text).toContain("running");
      const twice = await reported("safe");
      expect([twice.code, twice.errors]).toEqual([1, expect.stringContaining("expected no running device")]);
      device.process.kill("SIGTERM");
      expect((await device.ended).code).toBe(0);
      expect(pole.lit()).toBe(false);
      expect(device.errors()).toBe("");
      expect(gateway.wrong).toEqual([]);
    });
  });

  it("stays lit through a kill only until the service's ExecStopPost runs `safe`", async () => {
    await withGateway(async (gateway) => {
      configure(gateway.broker.port);
      const device = start();
      await until("light", () => gateway.charged > 0 && pole.lit(), 20_000);
      device.process.kill("SIGKILL");
      await device.ended;
      writeFileSync(join(pole.tree.root, "class/leds/lamp/brightness"), "1");
      const safe = await reported("safe");
      expect([safe.code, safe.out]).toEqual([0, 'LED "lamp": 0 %\n']);
      expect(pole.lit()).toBe(false);
    });
  });

  it("misses a lamp that vanishes at the level it has, buys nothing for it, and lights it again when it is back", async () => {
    await withGateway(async (gateway) => {
      configure(gateway.broker.port);
      const device = start();
      await until("light", () => gateway.charged > 0 && pole.lit(), 20_000);
      rmSync(join(pole.tree.root, "class/leds/lamp"), { recursive: true });
      const isFailed = () => {
        const state = gateway.lastState();
        return state !== null && "refusal" in state && state.refusal === "lamp-failed";
      };
      await until("the lamp in the state", isFailed, CHECK_MS + 5000);
      expect(gateway.lastState()).toMatchObject({
        trouble: expect.stringContaining("found none at all; add"),
      });
      expect((await status()).troubles.map(({ part }) => part)).toContain("lamp");
      const { charged } = gateway;
      await new Promise((resolve) => setTimeout(resolve, 1500));
      expect(gateway.charged).toBe(charged);
      pole.tree.led("lamp", 1);
      await until("light again", () => gateway.charged > charged && pole.lit(), 40_000);
      expect(device.errors()).toBe("");
    });
  });

  it("names a meter that goes silent in state, status and doctor, and buys light again by itself once it is back", async () => {
    await withGateway(async (gateway) => {
      configure(gateway.broker.port);
      start();
      await until("light", () => gateway.charged > 0 && pole.lit(), 20_000);
      const refusal = (code: string | null) => () => {
        const state = gateway.lastState();
        return state?.status === "online" && "refusal" in state && state.refusal === code;
      };
      pole.slaves.delete(1);
      await until("the meter in the state", refusal("meter-silent"), 20_000);
      expect(gateway.lastState()).toMatchObject({ trouble: expect.stringContaining("sdm120") });
      const silent = await status();
      expect(silent.troubles.map(({ part }) => part)).toContain("meter");
      expect((await reported("status")).out).toContain(
        "refused   meter-silent: the meter gives no reading; check its power",
      );
      const diagnosed = await diagnosis();
      expect(diagnosed.well).toBe(false);
      expect(checkOf(diagnosed, "meter")).toMatchObject({ verdict: "wrong" });

      pole.slaves.set(1, pole.meter);
      await until("the meter back", refusal(null), 20_000);
      const before = gateway.charged;
      await until("light again", () => gateway.charged > before && pole.lit(), 20_000);
    });
  });
});

/** A second token of a policy, whose own table ends before it. */
function furtherToken(network: string, priceCeiling: number): string {
  return `
[[policy.tokens]]
network = "${network}"
asset = "${ASSET}"
payees = []
price_ceiling_per_million_units = ${priceCeiling}
quantum_max_atomic = 10000
daily_budget_atomic = 10000000
`;
}

describe("watt402-device doctor", () => {
  it("finds all well before the first start, but for a key that is plain", async () => {
    await withGateway(async (gateway) => {
      configure(gateway.broker.port);
      const unborn = await diagnosis();
      expect(checkOf(unborn, "key")).toMatchObject({
        verdict: "unknown",
        text: expect.stringContaining("the first start makes it"),
      });
      const { out } = await reported("address");
      const found = await diagnosis();
      expect(found.checks.filter(({ verdict }) => verdict === "wrong")).toEqual([]);
      expect(found.checks.map(({ name }) => name)).toEqual([
        "clock",
        "disk",
        "key",
        "lamp",
        "meter",
        "broker",
        "gateway",
        "channel",
      ]);
      expect(checkOf(found, "key")).toMatchObject({
        verdict: "doubtful",
        text: expect.stringContaining(`found a plain one of ${out.trim()}`),
      });
      expect(checkOf(found, "lamp").text).toContain(
        "keeps its level until somebody sets another: `watt402-device safe` does",
      );
      expect(checkOf(found, "channel").text).toContain(SELLER);
      // A look signs nothing and changes no light.
      expect(gateway.vouchers).toEqual([]);
      expect(pole.lit()).toBe(false);
    });
  });

  it.each([
    [
      "a missing overlay",
      { lamp: 'kind = "led"\nlabel = "street"' },
      "lamp",
      'add "dtoverlay=gpio-led,gpio=17,label=street"',
    ],
    [
      "a meter at another address",
      { meter: 'kind = "modbus"\nmap = "sdm120"\ntcp = "127.0.0.1:1"' },
      "meter",
      "127.0.0.1:1",
    ],
    ["a broker that is not there", { brokerUrl: "mqtt://127.0.0.1:1" }, "broker", "ECONNREFUSED"],
    [
      "another gateway's key",
      { gatewayPublicKey: toHex(openKey(new Uint8Array(32).fill(5)).publicKey) },
      "broker",
      "that its public key is the configured one",
    ],
    [
      "a gateway key that is none",
      { gatewayPublicKey: `0x02${"ff".repeat(32)}` },
      "gateway",
      "expected a point of secp256k1",
    ],
    [
      "a price above the ceiling",
      { policy: "price_ceiling_per_million_units = 1" },
      "channel",
      "price-above-ceiling: the price is above the owner's ceiling; wait, or raise policy.price",
    ],
    ["a seller that is not allowed", { payees: [`0x${"dd".repeat(20)}`] }, "channel", "payee-not-allowed"],
  ] as const)("names %s, with the remedy", async (_name, change, check, words) => {
    await withGateway(async (gateway) => {
      configure(gateway.broker.port, change);
      if ("policy" in change) {
        const text = readFileSync(pole.config, "utf8").replace(
          "price_ceiling_per_million_units = 5000000\n",
          "",
        );
        writeFileSync(pole.config, text);
      }
      openOrCreateKey(join(pole.folder, "device.key"));
      const found = (await examine(loadConfig(pole.config))).find(({ name }) => name === check);
      expect(found).toMatchObject({ verdict: "wrong", text: expect.stringContaining(words) });
    });
  });

  it.each([
    [5_000_000, "well", "a purchase at"],
    [1, "wrong", "price-above-ceiling"],
  ])(
    "holds an offer against the policy of its own token: at a ceiling of %s %s",
    async (ceiling, verdict, words) => {
      await withGateway(async (gateway) => {
        configure(gateway.broker.port, { policy: furtherToken("eip155:1", ceiling) });
        const text = readFileSync(pole.config, "utf8");
        // The offer is in the second of the two.
        writeFileSync(pole.config, text.replace(NETWORK, "eip155:2").replace('eip155:1"', `${NETWORK}"`));
        openOrCreateKey(join(pole.folder, "device.key"));
        const found = (await examine(loadConfig(pole.config))).find(({ name }) => name === "channel");
        expect(found).toMatchObject({ verdict, text: expect.stringContaining(words) });
        expect(gateway.wrong).toEqual([]);
      });
    },
  );

  it("names a damaged journal, a folder that is not there, and a key that others may have read", async () => {
    configure(1);
    await reported("address");
    writeFileSync(join(pole.folder, "device.journal"), "something else");
    chmodSync(join(pole.folder, "device.key"), 0o644);
    const found = await diagnosis();
    expect(checkOf(found, "disk").text).toContain("restore the file from a copy");
    expect(checkOf(found, "key").text).toContain(
      "expected mode 0600, found 0644; others may have read it, make a new key",
    );
    configure(1, { device: `status_socket = "${pole.folder}/s"` });
    writeFileSync(
      pole.config,
      readFileSync(pole.config, "utf8").replace("/device.journal", "/none/device.journal"),
    );
    expect(checkOf(await diagnosis(), "disk").text).toContain("expected a folder, found none; make it");
  });
});

describe("watt402-device's small commands", () => {
  it("tell the address with a picture of it, and the policy in words", async () => {
    configure(1);
    const { out } = await reported("address", "--qr");
    expect(out).toMatch(/^0x[0-9a-f]{40}\n/);
    expect(out).toContain("\u2588");
    const policy = await reported("policy");
    expect(policy.out).toContain(`It pays these sellers and no other: ${SELLER}.`);
    expect(policy.out).toContain("at that price 10000 buy 2000 mWh");
    expect(policy.out).toContain("worth something to that channel's seller alone");
    configure(1, { policy: furtherToken("eip155:10", 7) });
    const both = await reported("policy");
    expect(both.out).toContain("pays with any of 2 tokens, each with limits and a day's budget of its own");
    for (const network of [NETWORK, "eip155:10"]) {
      expect(both.out).toContain(`pays in the token ${ASSET} on ${network}`);
    }
    expect(both.out).toContain("It buys at 7 per million mWh or less");
    const nobody = await reported("status");
    expect([nobody.code, nobody.errors]).toEqual([
      1,
      expect.stringContaining("expected a running device, found none"),
    ]);
  });

  it("keep the key's custody: encrypted, backed up, rotated, restored, and never shown", async () => {
    const phrase = join(pole.folder, "phrase");
    writeFileSync(phrase, "a passphrase of some length\n", { mode: 0o600 });
    configure(1);
    const { out: address } = await reported("address");
    configure(1, { device: `key_passphrase_file = "${phrase}"` });
    expect((await reported("key", "encrypt")).out).toContain(`the key of ${address.trim()}, encrypted`);
    expect((await reported("address")).out).toBe(address);
    const backup = join(pole.folder, "backup");
    expect((await reported("key", "backup", "--out", backup, "--passphrase-file", phrase)).code).toBe(0);
    const rotated = await reported("key", "rotate");
    expect(rotated.code).toBe(0);
    expect(rotated.out.split("\n")[0]).not.toBe(address.trim());
    expect(rotated.out).toContain("No channel was open.");
    const refused = await reported("key", "restore", "--from", backup, "--passphrase-file", phrase);
    expect([refused.code, refused.errors]).toEqual([
      1,
      expect.stringContaining("expected no key, found one"),
    ]);
    rmSync(join(pole.folder, "device.key"));
    expect((await reported("key", "restore", "--from", backup, "--passphrase-file", phrase)).out).toContain(
      address.trim(),
    );
    for (const name of readdirSync(pole.folder).filter(
      (file) => file.startsWith("device.key") || file === "backup",
    )) {
      expect(readFileSync(join(pole.folder, name), "utf8")).toContain("aes-256-gcm");
    }
  });
});
