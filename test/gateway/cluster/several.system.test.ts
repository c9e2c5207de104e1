// Two gateways on Debian's Mosquitto and PostgreSQL, killed, stalled and started again while lights buy.

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { TAKEOVER_MAX_MS } from "#gateway/cluster/cluster";
import { type Mosquitto, startMosquitto } from "../broker/external/mosquitto.ts";
import { openSharingNothing } from "../broker/external/sharing-nothing.ts";
import { type Ground, type Light, prepareGround } from "../fixtures.ts";
import { type Postgres, startPostgres } from "../ledger/postgres/postgres.ts";
import { startSeller } from "../purchase/agreement.ts";
import { expectAllAgree, type Node, openCluster, tokensOf, untilAllBuy } from "./cluster.ts";

const LIGHTS = 8;
/** A light that waits presents its rung at least so often. */
const REPEAT_MAX_SECONDS = 2;
/** What a crowded machine adds to a bound that a clock keeps. */
const CROWDED_SECONDS = 5;
const TAKEOVER_MAX_SECONDS = TAKEOVER_MAX_MS / 1000 + REPEAT_MAX_SECONDS + CROWDED_SECONDS;
const OUTAGE_MS = 20_000;
const LONG_MS = 400_000;

let ground: Ground;
let postgres: Postgres;
let mosquitto: Mosquitto;
const started = new Set<Node>();
beforeAll(async () => {
  [ground, postgres, mosquitto] = await Promise.all([prepareGround(), startPostgres(), startMosquitto()]);
});
beforeEach(async () => {
  await postgres.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
});
afterEach(async () => {
  for (const node of started) await node.stop();
  started.clear();
});
afterAll(async () => {
  await ground.stop();
  postgres.stop();
  await mosquitto.end();
});

async function start(node: Node): Promise<void> {
  await node.start();
  started.add(node);
}

async function end(nodes: readonly Node[]): Promise<void> {
  for (const node of nodes) {
    expect(await node.stop()).toMatchObject({ code: 0, stderr: "" });
    started.delete(node);
  }
}

const lightUp = (brokerUrl: string, count = LIGHTS): Light[] =>
  Array.from({ length: count }, () => ground.light(brokerUrl));

/** Two gateways on one broker and one ledger, and lights that have all bought from them. */
async function twoServing() {
  const treasuryBefore = await tokensOf(ground, ground.treasuryKey.address);
  const utility = await startSeller(ground);
  const cluster = await openCluster(ground, postgres, mosquitto.url, utility.url, ["north", "south"]);
  const [north, south] = cluster.nodes as [Node, Node];
  await start(north);
  await start(south);
  await cluster.untilServed([north, south]);
  const lights = lightUp(mosquitto.url);
  await untilAllBuy(lights);
  return { treasuryBefore, utility, cluster, north, south, lights };
}

const shown = (seconds: readonly number[]) => seconds.map((took) => `${took.toFixed(1)} s`).join(", ");

test(
  "two gateways share a fleet; killed or stalled in turns under load, they lose nothing and do nothing twice",
  async () => {
    const { treasuryBefore, utility, north, south, cluster, lights } = await twoServing();
    for (const node of [north, south]) {
      expect(await node.duty()).toMatchObject({ state: "active", slotsOfAll: 64 });
      expect(await node.metric("watt402_members")).toBe(2);
    }
    const takeovers: number[] = [];
    for (const victim of [north, south]) {
      const other = victim === north ? south : north;
      await victim.kill();
      takeovers.push(await cluster.untilServed([other]));
      await untilAllBuy(lights);
      await victim.start();
      await cluster.untilServed([north, south]);
      await untilAllBuy(lights);
    }
    // A gateway that stalls longer than its lease wakes to find its devices elsewhere, and gets its part again.
    north.stall();
    takeovers.push(await cluster.untilServed([south]));
    await untilAllBuy(lights);
    north.wake();
    await cluster.untilServed([north, south]);
    await untilAllBuy(lights);
    // A power cut of the database: what was under way is said again.
    postgres.restart("immediate");
    await untilAllBuy(lights);
    await cluster.untilServed([north, south]);
    for (const took of takeovers) expect(took).toBeLessThan(TAKEOVER_MAX_SECONDS);
    const vanished = await Promise.all([north, south].map((node) => node.metric("watt402_takeovers_total")));
    expect(vanished[0]! + vanished[1]!).toBeGreaterThan(20);
    await Promise.all(lights.map((light) => light.stop()));
    await end([north, south]);
    const { payments, deposits } = await expectAllAgree(ground, postgres, utility, lights, treasuryBefore);
    console.log(`shared: ${payments} payments, ${deposits} deposits, taken over after ${shown(takeovers)}`);
    expect(deposits).toBeGreaterThan(LIGHTS);
  },
  LONG_MS,
);

test(
  "on a broker that swallows shared subscriptions one gateway is active, the other stands by and takes over",
  async () => {
    const treasuryBefore = await tokensOf(ground, ground.treasuryKey.address);
    const broker = await openSharingNothing();
    const brokerUrl = `mqtt://127.0.0.1:${broker.port}`;
    const utility = await startSeller(ground);
    const cluster = await openCluster(ground, postgres, brokerUrl, utility.url, ["north", "south"]);
    const [north, south] = cluster.nodes as [Node, Node];
    await start(north);
    await cluster.untilServed([north]);
    await start(south);
    const lights = lightUp(brokerUrl, 5);
    await untilAllBuy(lights);
    const takeovers: number[] = [];
    expect((await north.duty()).slots).toBe(64);
    expect(await south.duty()).toMatchObject({ state: "standby", slots: 0 });
    expect(await south.metric("watt402_duty_ratio")).toBe(0);
    await north.kill();
    takeovers.push(await cluster.untilServed([south]));
    await untilAllBuy(lights);
    await north.start();
    await untilAllBuy(lights);
    for (const took of takeovers) expect(took).toBeLessThan(TAKEOVER_MAX_SECONDS);
    // One that is stopped in order gives up at once.
    expect(await south.stop()).toMatchObject({ code: 0, stderr: "" });
    started.delete(south);
    const inOrder = await cluster.untilServed([north]);
    expect(inOrder).toBeLessThan(TAKEOVER_MAX_SECONDS / 2);
    await untilAllBuy(lights);
    await Promise.all(lights.map((light) => light.stop()));
    await end([north]);
    const { payments } = await expectAllAgree(ground, postgres, utility, lights, treasuryBefore);
    console.log(
      `standby: ${payments} payments, taken over after ${shown(takeovers)}, in order ${shown([inOrder])}`,
    );
    await broker.close();
  },
  LONG_MS,
);

test(
  "while the broker is gone the gateways stay up, bounded, and say so; back, they go on by themselves",
  async () => {
    const { treasuryBefore, utility, north, south, cluster, lights } = await twoServing();
    await mosquitto.stop();
    const before = await north.residentBytes();
    await new Promise((resolve) => setTimeout(resolve, OUTAGE_MS / 2));
    for (const node of [north, south]) {
      expect(await node.isReady()).toBe(false);
      expect(await node.metric('watt402_up{part="broker"}')).toBe(0);
      expect((await node.duty()).state).not.toBe("lapsed");
    }
    await new Promise((resolve) => setTimeout(resolve, OUTAGE_MS / 2));
    const grewBytes = (await north.residentBytes()) - before;
    expect(grewBytes).toBeLessThan(50_000_000);
    await mosquitto.start();
    const backSeconds = await untilAllBuy(lights);
    await cluster.untilServed([north, south]);
    for (const node of [north, south]) expect(await node.metric('watt402_up{part="broker"}')).toBe(1);
    await Promise.all(lights.map((light) => light.stop()));
    await end([north, south]);
    await expectAllAgree(ground, postgres, utility, lights, treasuryBefore);
    console.log(
      `broker back: all buy after ${shown([backSeconds])}, grew ${(grewBytes / 1e6).toFixed(0)} MB`,
    );
  },
  LONG_MS,
);
