// The whole path on real parts: lights, MQTT, the gateway, HTTP, the seller, the chain. Each part is killed
// while lights buy, and afterwards every counter agrees.

import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import Libsql from "libsql";
import { stringify } from "smol-toml";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "#gateway/gateway";
import { flatTariff } from "#simulator/utility/tariff";
import { startUtility, type Utility } from "#simulator/utility/utility";
import { bundleUtility } from "../simulator/utility/bundle.ts";
import { spawnUtility } from "../simulator/utility/process.ts";
import { bundleOf } from "./bundle.ts";
import { type Ended, GATEWAY_PROCESS, type GatewayProcess, spawnGateway } from "./gateway-process.ts";
import { type Ground, type Light, prepareGround, until } from "./ground.ts";
import { openLossyProxy } from "./lossy-proxy.ts";

const PRICE = 200_000;
const QUANTUM = 100;
const UNITS = 500;

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

function startSeller(directory = ground.directory(), price = PRICE): Promise<Utility> {
  return startUtility({
    rpcUrl: ground.anvil.rpcUrl,
    dataDirectory: directory,
    receiverKey: ground.anvil.accounts[0]!.privateKey,
    token: ground.contracts.token,
    tariff: flatTariff(price),
    minDepositAtomic: 2_000,
    log: () => {},
  });
}

interface Row {
  readonly id: string;
  readonly charged: number;
  readonly granted: number;
}

/** What the ledger's file says, read as an auditor would. */
function ledgerRows(data: string): {
  channels: Row[];
  payments: { channel_id: string; max_claimable: number; amount: number }[];
} {
  const db = new Libsql(join(data, "ledger.sqlite"), { readonly: true });
  const channels = db.prepare("SELECT id, charged, granted FROM channel WHERE charged > 0").all() as Row[];
  const payments = db
    .prepare("SELECT channel_id, max_claimable, amount FROM payment ORDER BY channel_id, max_claimable")
    .all() as { channel_id: string; max_claimable: number; amount: number }[];
  db.close();
  return { channels, payments };
}

interface Account {
  readonly charged: number;
  readonly granted: number;
}

async function accountOf(sellerUrl: string, id: string): Promise<Account> {
  return (await (await fetch(`${sellerUrl}/v1/accounts/${id}`)).json()) as Account;
}

/** Lights, ledger and seller agree: nothing charged twice, lost or granted for nothing. */
async function expectAgreement(lights: readonly Light[], data: string, sellerUrl: string): Promise<number> {
  const { channels, payments } = ledgerRows(data);
  expect(channels).toHaveLength(lights.length);
  let total = 0;
  for (const { id, charged, granted } of channels) {
    const rungs = payments.filter((payment) => payment.channel_id === id);
    expect(rungs.map((rung) => rung.max_claimable)).toEqual(rungs.map((_, index) => (index + 1) * QUANTUM));
    expect(rungs.reduce((sum, rung) => sum + rung.amount, 0)).toBe(charged);
    const account = await accountOf(sellerUrl, id);
    const light = lights.find((candidate) => candidate.host.state().channel?.id === id)!;
    const heard = light.host.state().channel!;
    expect(heard.charged).toBeLessThanOrEqual(charged);
    expect(charged).toBeLessThanOrEqual(account.charged);
    expect(account.charged).toBeLessThanOrEqual(light.maxSigned());
    expect(account.charged - heard.charged).toBeLessThanOrEqual(QUANTUM);
    expect(granted).toBe((charged / QUANTUM) * UNITS);
    expect(account.granted).toBe((account.charged / QUANTUM) * UNITS);
    total += account.charged;
  }
  return total;
}

const dataOf = (config: Record<string, unknown>) => (config.gateway as { data: string }).data;

test("lights buy over MQTT, and device, ledger, seller and chain agree to the last atomic unit", async () => {
  const utility = await startSeller();
  const config = ground.config(utility.url);
  const gateway = await ground.gateway(config);
  const lights = [1, 2, 3].map(() => ground.light(gateway.brokerUrl));
  await Promise.all(lights.map((light) => light.untilCharged(20 * QUANTUM)));
  await Promise.all(lights.map((light) => light.stop()));
  const { grants, ledgerPayments, devices } = gateway.status();
  await gateway.stop();
  expect(devices).toBe(3);
  expect(grants).toBeGreaterThanOrEqual(ledgerPayments);
  const total = await expectAgreement(lights, dataOf(config), utility.url);
  const { settles, deposits } = await utility.stop();
  expect(settles.amountAtomic).toBe(total);
  expect(deposits.transactions).toBe(3);
});

test("an exact seller is paid from wallets that the gateway fills, one transfer a rung", async () => {
  const utility = await startSeller();
  const config = ground.config(utility.url, {
    seller: { schemes: ["exact"] },
    treasury: { depositAtomic: 800 },
  });
  const gateway = await ground.gateway(config);
  const lights = [1, 2].map(() => ground.light(gateway.brokerUrl, { loadMilliwatts: 3_600_000 }));
  await Promise.all(lights.map((light) => light.untilCharged(10 * QUANTUM)));
  await Promise.all(lights.map((light) => light.stop()));
  await gateway.stop();
  const { channels } = ledgerRows(dataOf(config));
  const { exact } = await utility.stop();
  const charged = channels.reduce((sum, channel) => sum + channel.charged, 0);
  expect(exact.amountAtomic).toBeGreaterThanOrEqual(charged);
  expect(exact.amountAtomic).toBeLessThanOrEqual(lights.reduce((sum, light) => sum + light.maxSigned(), 0));
});

test("a gateway killed again and again in mid-sale loses no payment and repeats none", async () => {
  const utility = await startSeller();
  const road = await openLossyProxy(utility.url, (payment) => payment % 5 === 4);
  const port = await freePort();
  const config = ground.config(road.url, { broker: { kind: "embedded", port } });
  const file = join(ground.directory(), "gateway.toml");
  writeFileSync(file, stringify(config));
  const bundle = await bundleOf(GATEWAY_PROCESS, ground.directory());
  let gateway: GatewayProcess = spawnGateway(["--config", file, "--quiet"], bundle);
  const brokerUrl = await gateway.ready;
  const lights = [1, 2, 3].map(() => ground.light(brokerUrl));
  for (const rungs of [4, 10, 16]) {
    await Promise.all(lights.map((light) => light.untilCharged(rungs * QUANTUM)));
    gateway.child.kill("SIGKILL");
    await gateway.ended;
    gateway = spawnGateway(["--config", file, "--quiet"], bundle);
    await gateway.ready;
  }
  await Promise.all(lights.map((light) => light.untilCharged(22 * QUANTUM)));
  await Promise.all(lights.map((light) => light.stop()));
  gateway.child.kill("SIGTERM");
  const end: Ended = await gateway.ended;
  expect({ code: end.code, stderr: end.stderr }).toEqual({ code: 0, stderr: "" });
  expect(road.lost).toBeGreaterThan(5);
  const total = await expectAgreement(lights, dataOf(config), utility.url);
  expect((await utility.stop()).settles.amountAtomic).toBe(total);
  await road.close();
});

test("a seller killed in mid-sale is bought from again when it is back, and is owed exactly what it charged", async () => {
  const directory = ground.directory();
  const bundle = await bundleUtility(directory);
  const receiver = ground.keyFile(ground.anvil.accounts[1]!.privateKey);
  const args = [
    ...["--rpc", ground.anvil.rpcUrl, "--data", join(directory, "data"), "--receiver-key", receiver],
    ...["--token", ground.contracts.token, "--min-deposit", "2000"],
  ];
  let utility = spawnUtility(bundle, args);
  const road = await openLossyProxy(await utility.ready, () => false);
  const config = ground.config(road.url);
  const gateway = await ground.gateway(config);
  const lights = [1, 2, 3].map(() => ground.light(gateway.brokerUrl));
  let sellerUrl = "";
  for (const rungs of [4, 10]) {
    await Promise.all(lights.map((light) => light.untilCharged(rungs * QUANTUM)));
    utility.child.kill("SIGKILL");
    await utility.ended;
    utility = spawnUtility(bundle, args);
    sellerUrl = await utility.ready;
    road.leadTo(sellerUrl);
  }
  await Promise.all(lights.map((light) => light.untilCharged(16 * QUANTUM)));
  await Promise.all(lights.map((light) => light.stop()));
  await gateway.stop();
  const total = await expectAgreement(lights, dataOf(config), sellerUrl);
  utility.child.kill("SIGTERM");
  const { stdout } = await utility.ended;
  expect(JSON.parse(stdout.trim().split("\n").at(-1)!).report.settles.amountAtomic).toBe(total);
  await road.close();
});

test("a light whose power is cut goes on with its counters, under a gateway that was down meanwhile", async () => {
  const utility = await startSeller();
  const port = await freePort();
  const config = ground.config(utility.url, { broker: { kind: "embedded", port } });
  let gateway: Gateway = await ground.gateway(config);
  const before = ground.light(gateway.brokerUrl);
  await before.untilCharged(6 * QUANTUM);
  const memory = structuredClone(before.memory);
  await before.stop();
  await gateway.stop();
  const light = ground.light(gateway.brokerUrl, { key: before.key, memory });
  gateway = await ground.gateway(config);
  await light.untilCharged(12 * QUANTUM);
  await light.stop();
  await gateway.stop();
  expect(light.signed[0]).toBeGreaterThan(6 * QUANTUM - 1);
  await expectAgreement([light], dataOf(config), utility.url);
  await utility.stop();
});

test("a seller that is down at the start is noted, waited for and bought from", async () => {
  const road = await openLossyProxy("http://127.0.0.1:9", () => false);
  const notes: string[] = [];
  const gateway = await ground.gateway(ground.config(road.url), (_level, text) => notes.push(text));
  const light = ground.light(gateway.brokerUrl);
  await until(
    () => notes.some((note) => note.includes("out of reach")),
    5_000,
    () => "a note of the seller",
  );
  const utility = await startSeller();
  road.leadTo(utility.url);
  await light.untilCharged(3 * QUANTUM);
  expect(notes).toContain("the seller is back");
  await light.stop();
  await gateway.stop();
  await road.close();
  await utility.stop();
});

test("a seller that changes its payee without changing its price is paid on a new channel", async () => {
  const first = await startSeller();
  const road = await openLossyProxy(first.url, () => false);
  const config = ground.config(road.url);
  const gateway = await ground.gateway(config);
  const light = ground.light(gateway.brokerUrl);
  await light.untilCharged(4 * QUANTUM);
  const channelBefore = light.host.state().channel!.id;
  const second = await startUtility({
    rpcUrl: ground.anvil.rpcUrl,
    dataDirectory: ground.directory(),
    receiverKey: ground.anvil.accounts[2]!.privateKey,
    token: ground.contracts.token,
    tariff: flatTariff(PRICE),
    log: () => {},
  });
  road.leadTo(second.url);
  await until(
    () => light.host.state().channel!.id !== channelBefore,
    10_000,
    () => "another channel",
  );
  await light.untilCharged(3 * QUANTUM);
  await light.stop();
  await gateway.stop();
  await road.close();
  await second.stop();
  await first.stop();
});

test("a day's limit leaves a light dark, and the next day's lights it again", async () => {
  const utility = await startSeller();
  const config = ground.config(utility.url, {
    treasury: { depositAtomic: 2_000, perDevicePerDayAtomic: 2_000 },
  });
  const gateway = await ground.gateway(config);
  const light = ground.light(gateway.brokerUrl, { readingMs: 500 });
  await until(
    () => light.host.state().answerRefusal === "deposit-exhausted",
    20_000,
    () => "a light without deposit",
  );
  expect(light.charged()).toBe(2_000);
  const db = new Libsql(join(dataOf(config), "ledger.sqlite"));
  db.exec("UPDATE deposit SET at_seconds = at_seconds - 86401");
  db.close();
  await light.untilCharged(2_300);
  await light.stop();
  await gateway.stop();
  await utility.stop();
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
