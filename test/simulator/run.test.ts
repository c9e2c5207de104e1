import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { readFleetFlags } from "#simulator/fleet-flags";
import { planRun } from "#simulator/run-plan";
import { endRuns, evening, expectSound, pass, RUN_MS, run } from "./evening.ts";
import { descendantsOf, documentOf, isRunning, until } from "./process.ts";
import { writeRoute } from "./profiles/driven.ts";

const folder = mkdtempSync(join(tmpdir(), "watt402-run-"));
afterEach(endRuns);
afterAll(() => rmSync(folder, { recursive: true }));

/** What 200 atomic units buy of road data: the quantum nearest to half a minute. */
const QUANTUM_SECONDS = 20;

test(
  "prints one document with every figure, nothing else on standard output, and leaves nothing running",
  async () => {
    const started = run("--lights", "5", "--minutes", "2");
    const processes = await evening(started);
    const result = await documentOf(started);
    expect(await started.ended).toBe(0);
    expectSound(result, 5);
    expect(result).toMatchObject({
      lights: 5,
      simulatedMinutes: expect.closeTo(2, 1),
      wallMs: expect.any(Number),
      payments: { made: expect.any(Number), resent: expect.any(Number), refused: expect.any(Number) },
      energyMilliwattHours: { consumed: expect.any(Number), granted: expect.any(Number) },
      amountAtomic: {
        deposited: "1000000",
        signed: expect.stringMatching(/^\d+$/),
        charged: expect.stringMatching(/^\d+$/),
        claimed: expect.stringMatching(/^\d+$/),
        settled: expect.stringMatching(/^\d+$/),
        refunded: "0",
        sellerBalance: expect.stringMatching(/^\d+$/),
      },
      latencyMs: { p50: expect.any(Number), p99: expect.any(Number) },
      gas: {
        deposit: expect.any(Number),
        claim: expect.any(Number),
        settle: expect.any(Number),
        perPayment: expect.any(Number),
      },
      bytesPerPayment: { up: expect.any(Number), down: expect.any(Number) },
      atEnd: { lit: 5, dark: 0, starved: 0, offline: 0 },
      starvedLightSeconds: expect.any(Number),
      longestStarvedSeconds: expect.any(Number),
      conserved: true,
      violations: [],
    });
    expect(result.bytesPerPayment.up).toBeGreaterThanOrEqual(99);
    expect(result.bytesPerPayment.down).toBeGreaterThanOrEqual(42);
    expect(result.gas!.claim).toBeGreaterThan(0);
    if (process.platform === "linux") expect(processes.length).toBeGreaterThanOrEqual(3);
    expect(processes.filter(isRunning)).toEqual([]);
  },
  RUN_MS,
);

test(
  "devices of several units buy at one gateway, each from its unit's seller, and every counter agrees",
  async () => {
    const machines = ["--scenario", "machines", "--devices", "5", "--minutes", "4"];
    const result = await documentOf(run(...machines, "--route", writeRoute(folder)));
    expectSound(result, 5);
    expect(result.unit).toBe("mixed");
    expect(result.profiles.map(({ profile, unit, devices }) => ({ profile, unit, devices }))).toEqual([
      { profile: "streetlight", unit: "mWh", devices: 1 },
      { profile: "ev-charger", unit: "mWh", devices: 1 },
      { profile: "compute", unit: "ms", devices: 1 },
      { profile: "saas", unit: "s", devices: 1 },
      { profile: "road-data", unit: "s", devices: 1 },
    ]);
    // The car was with either seller, and what one of them granted was used there or waits there.
    expect(result.moving.map(({ seller, devices }) => [seller, devices])).toEqual([
      [1, 1],
      [2, 1],
    ]);
    for (const { granted, used, waiting, waitingMost } of result.moving) {
      expect(used).toBeGreaterThan(0);
      expect(used + waiting).toBe(granted);
      expect(waitingMost).toBeLessThanOrEqual(QUANTUM_SECONDS);
    }
    for (const { consumed, granted, payments } of result.profiles) {
      expect(payments).toBeGreaterThan(1);
      expect(consumed).toBeGreaterThan(0);
      expect(consumed).toBeLessThanOrEqual(granted);
    }
    const [lamp, charger] = result.profiles;
    expect(result.energyMilliwattHours).toEqual({
      consumed: lamp!.consumed + charger!.consumed,
      granted: lamp!.granted + charger!.granted,
    });
  },
  RUN_MS,
);

test("--devices and --lights are one thing, asked for once", () => {
  expect(readFleetFlags(["--devices", "3"]).lights).toBe(3);
  expect(() => readFleetFlags(["--devices", "3", "--lights", "4"])).toThrow(
    "--devices 3: expected no --lights beside it, found 4",
  );
});

test("what only streetlights of one unit can do is refused by name before anything is started", () => {
  const flags = { scheme: "batch-settlement", profile: "compute" } as const;
  expect(() => planRun({ ...flags, espruino: 1 })).toThrow(
    "--espruino: expected streetlights, found compute",
  );
  expect(() => planRun({ ...flags, report: "night.html" })).toThrow(
    "--report: expected streetlights, found compute",
  );
  const mixed = { scheme: "batch-settlement", scenario: "machines", seller: "http://s.example" } as const;
  expect(() => planRun({ ...mixed, rpc: "http://c.example" })).toThrow(
    "--seller: expected devices of one seller beside it, found 8 sellers",
  );
});

test("with --lean, a broker that it cannot speak to is refused before anything is started", () => {
  const flags = { scheme: "batch-settlement", lean: true, broker: "mqtts://b.example" } as const;
  expect(() => planRun(flags)).toThrow("--lean: expected --broker mqtt://, found mqtts://b.example");
  expect(() => planRun({ ...flags, broker: "mqtt://b.example" }).release()).not.toThrow();
});

test.each([
  [
    { broker: "mqtt://b", brokerUser: "fleet" },
    "--broker-password-file: expected it beside --broker-user, found none",
  ],
  [
    { broker: "mqtt://b", brokerPasswordFile: "f" },
    "--broker-user: expected it beside --broker-password-file, found none",
  ],
  [{ broker: "mqtt://b", brokerCa: "/none.pem" }, "--broker-ca: /none.pem: cannot be read (ENOENT)"],
  [
    { lean: true as const, broker: "mqtt://b", brokerUser: "fleet" },
    "--broker-user: expected lights that log in",
  ],
  [{ brokerCa: "f" }, "--broker: expected a broker beside its account, found none"],
])("an account at a broker elsewhere that is not whole is refused: %j", (flags, reported) => {
  expect(() => planRun({ scheme: "batch-settlement", ...flags })).toThrow(reported);
});

test.each([
  [{ rpc: "http://127.0.0.1:9" }, "--chains: expected 1 beside --rpc, found 2"],
  [{ espruino: 1 }, "--chains: expected 1 beside --espruino, found 2"],
  [{ report: "out.html" }, "--chains: expected 1 beside --report, found 2"],
  [{ lights: 1 }, "--chains: expected at most the fleet's 1 lights, found 2"],
])("several chains beside what is on one are refused: %j", (flags, reported) => {
  expect(() => planRun({ scheme: "batch-settlement", chains: 2, ...flags })).toThrow(reported);
});

test(
  "Ctrl-C ends the evening early, reconciles what was bought, and exits 0",
  async () => {
    const started = run("--lights", "4", "--minutes", "600");
    const processes = await evening(started);
    await pass(1_000);
    started.child.kill("SIGINT");
    const result = await documentOf(started);
    expect(started.stderr()).toContain("stopping: the lights finish what they pay for");
    expectSound(result, 4);
    expect(result.simulatedMinutes).toBeLessThan(300);
    expect(await started.ended).toBe(0);
    expect(processes.filter(isRunning)).toEqual([]);
  },
  RUN_MS,
);

test(
  "left by SIGKILL in the middle of its start, it leaves nothing running",
  async () => {
    const started = run("--lights", "4");
    await until("it starts its services", () => started.stderr().includes("starting seller"), 30_000);
    await until("the seller is under way", () => descendantsOf(started.child.pid!).length >= 3);
    const processes = descendantsOf(started.child.pid!);
    started.child.kill("SIGKILL");
    await started.ended;
    await until("all that it started is gone", () => !processes.some(isRunning), 30_000);
  },
  RUN_MS,
);
