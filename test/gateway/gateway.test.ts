// The whole path on real parts: lights, MQTT, the gateway, HTTP, the seller, the chain. Each part is killed
// while lights buy, and afterwards every counter agrees.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import Libsql from "libsql";
import { stringify } from "smol-toml";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "#gateway/gateway";
import { bundleUtility } from "../simulator/seller/bundle.ts";
import { spawnUtility } from "../simulator/seller/process.ts";
import { openLossyProxy } from "./faults/lossy-proxy.ts";
import { type Ground, prepareGround, until } from "./fixtures.ts";
import { bundleOf } from "./processes/bundle.ts";
import {
  type Ended,
  GATEWAY_PROCESS,
  type GatewayProcess,
  spawnGateway,
} from "./processes/gateway-process.ts";
import { dataOf, expectAgreement, freePort, ledgerRows, QUANTUM, startSeller } from "./purchase/agreement.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

test("lights buy over MQTT, and device, ledger, seller and chain agree to the last atomic unit", async () => {
  const utility = await startSeller(ground);
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
  const utility = await startSeller(ground);
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
  const utility = await startSeller(ground);
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
  const utility = await startSeller(ground);
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
  const utility = await startSeller(ground);
  road.leadTo(utility.url);
  await light.untilCharged(3 * QUANTUM);
  expect(notes).toContain("the seller is back");
  await light.stop();
  await gateway.stop();
  await road.close();
  await utility.stop();
});

test("a seller that changes its payee without changing its price is paid on a new channel", async () => {
  const first = await startSeller(ground);
  const road = await openLossyProxy(first.url, () => false);
  const config = ground.config(road.url);
  const gateway = await ground.gateway(config);
  const light = ground.light(gateway.brokerUrl);
  await light.untilCharged(4 * QUANTUM);
  const channelBefore = light.host.state().channel!.id;
  const second = await startSeller(ground, { receiverKey: ground.anvil.accounts[2]!.privateKey });
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
  const utility = await startSeller(ground);
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
