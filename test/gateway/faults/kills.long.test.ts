// A gateway killed five hundred times under load, at any moment: while it starts, recovers, asks the seller,
// writes, answers. Nothing that a device was granted is missing from the ledger, nothing is paid twice.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "smol-toml";
import { afterAll, beforeAll, expect, test } from "vitest";
import { channelTagOf } from "#core/rungs";
import { type Ground, type Light, prepareGround, until } from "../fixtures.ts";
import { bundleOf } from "../processes/bundle.ts";
import { type Ended, GATEWAY_PROCESS, spawnGateway } from "../processes/gateway-process.ts";
import {
  dataOf,
  expectAgreement,
  freePort,
  ledgerRows,
  QUANTUM,
  startSeller,
} from "../purchase/agreement.ts";
import { openLossyProxy } from "./lossy-proxy.ts";

const KILLS = 500;
const LIGHTS = 12;
/** Longest life of a gateway once it has sold; every third one dies before, while it starts. */
const LIFE_MS = 200;
const STARTING_MS = 600;
const SOLD_WITHIN_MS = 60_000;
const TEST_MS = 3_600_000;

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Grants that sold something, over all lights. */
const heard = (lights: readonly Light[]) =>
  lights.reduce((sum, { grants }) => sum + grants.filter(({ refusal }) => refusal === null).length, 0);

/** M4: what a grant stated is in the ledger, though its gateway died right behind it. */
function expectHeardIsWritten(lights: readonly Light[], data: string): void {
  const { channels } = ledgerRows(data);
  for (const { grants } of lights) {
    const heard = grants.findLast(({ refusal }) => refusal === null);
    if (heard === undefined) continue;
    const channel = channels.find(({ id }) => channelTagOf(id) === heard.channelTag);
    expect(channel?.charged ?? 0).toBeGreaterThanOrEqual(heard.charged);
    expect(channel?.granted ?? 0).toBeGreaterThanOrEqual(heard.granted);
  }
}

test(`${KILLS} kills of the gateway under load: nothing lost, nothing charged twice`, {
  timeout: TEST_MS,
}, async () => {
  const utility = await startSeller(ground);
  const road = await openLossyProxy(utility.url, (payment) => payment % 5 === 4);
  const port = await freePort();
  const config = ground.config(road.url, { broker: { kind: "embedded", port } });
  const file = join(ground.directory(), "gateway.toml");
  writeFileSync(file, stringify(config));
  const data = dataOf(config);
  const bundle = await bundleOf(GATEWAY_PROCESS, ground.directory());
  const spawn = () => spawnGateway(["--config", file, "--quiet"], bundle);

  let gateway = spawn();
  const brokerUrl = await gateway.ready;
  const lights = Array.from({ length: LIGHTS }, () => ground.light(brokerUrl));
  await Promise.all(lights.map((light) => light.untilCharged(QUANTUM)));
  for (let kill = 1; kill <= KILLS; kill += 1) {
    const isEarly = kill % 3 === 0;
    const before = heard(lights);
    if (!isEarly)
      await until(
        () => heard(lights) > before,
        SOLD_WITHIN_MS,
        () => "a sale of the new gateway",
      );
    await pause(Math.random() * (isEarly ? STARTING_MS : LIFE_MS));
    gateway.child.kill("SIGKILL");
    await gateway.ended;
    if (kill % 10 === 0) expectHeardIsWritten(lights, data);
    if (kill % 50 === 0)
      console.log(`${kill} kills, ${lights.map((light) => light.charged() / QUANTUM)} rungs`);
    gateway = spawn();
  }
  await gateway.ready;
  const before = lights.map((light) => light.charged());
  await Promise.all(lights.map((light, index) => light.untilCharged(before[index]! + 3 * QUANTUM, 60_000)));
  await Promise.all(lights.map((light) => light.stop()));
  gateway.child.kill("SIGTERM");
  const end: Ended = await gateway.ended;
  expect({ code: end.code, stderr: end.stderr }).toEqual({ code: 0, stderr: "" });
  expect(road.lost).toBeGreaterThan(KILLS / 10);
  const total = await expectAgreement(lights, data, utility.url);
  // The load was real: kills struck a gateway that was selling.
  expect(total / QUANTUM).toBeGreaterThan(KILLS);
  const { settles, deposits } = await utility.stop();
  expect(settles.amountAtomic).toBe(total);
  // One transfer on the chain for each deposit of the ledger, however often its carrier died.
  expect(deposits.transactions).toBe(ledgerRows(data).deposits);
  await road.close();
});
