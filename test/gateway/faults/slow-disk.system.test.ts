// A disk whose every flush takes 5 s, under a real gateway: it answers, hears telemetry and takes new lights meanwhile,
// and no grant leaves before its payment is on that disk.

import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "smol-toml";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Ground, prepareGround } from "../fixtures.ts";
import { spawnGateway } from "../processes/gateway-process.ts";
import { more } from "../processes/operate.ts";
import { dataOf, expectAgreement, freePort, QUANTUM, startSeller } from "../purchase/agreement.ts";

const SHIM = fileURLToPath(new URL("./slow-flush.c", import.meta.url));
const FLUSH_MS = 5_000;
const ASKED_EVERY_MS = 25;
const LIVE_WITHIN_MS = 50;
/** One answer may wait for a busy machine; none waits for the disk. */
const NEVER_MS = FLUSH_MS / 5;

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test("with a disk whose flush takes 5 s /livez answers within 50 ms, telemetry flows, and every grant is on disk", async () => {
  const shim = join(ground.directory(), "slow-flush.so");
  execFileSync("gcc", ["-shared", "-fPIC", "-o", shim, SHIM, "-ldl"]);
  const utility = await startSeller(ground);
  const port = await freePort();
  const config = { ...ground.config(utility.url), http: { port } };
  const folder = ground.directory();
  const [file, flag] = [join(folder, "gateway.toml"), join(folder, "slow")];
  writeFileSync(file, stringify(config));
  const gateway = spawnGateway(["--config", file, "--quiet"], undefined, {
    LD_PRELOAD: shim,
    SLOW_FLUSH: flag,
  });
  const brokerUrl = await gateway.ready;
  const url = `http://127.0.0.1:${port}`;
  const buyers = [1, 2].map(() => ground.light(brokerUrl));
  // Bought once, it burns its quantum for a long time: what is heard of it is telemetry.
  const teller = ground.light(brokerUrl, { loadMilliwatts: 36_000, readingMs: 200 });
  await Promise.all([...buyers, teller].map((light) => light.untilCharged(QUANTUM, 60_000)));
  const reported = async () => {
    const answer = await fetch(`${url}/api/v1/lights/${teller.device}`);
    return ((await answer.json()) as { register: number }).register;
  };

  const granted = buyers.map((light) => light.grants.length);
  writeFileSync(flag, "");
  const before = await reported();
  const tookMs: number[] = [];
  const endMs = performance.now() + 3 * FLUSH_MS;
  while (performance.now() < endMs) {
    const sinceMs = performance.now();
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    tookMs.push(performance.now() - sinceMs);
    await pause(ASKED_EVERY_MS);
  }
  const after = await reported();
  tookMs.sort((left, right) => left - right);
  expect(tookMs[tookMs.length >> 1]).toBeLessThan(LIVE_WITHIN_MS);
  expect(tookMs.at(-1)).toBeLessThan(NEVER_MS);
  expect(after).toBeGreaterThan(before);
  // The disk was slow for payments: one grant a flush, where a light hears four a second else.
  for (const [index, light] of buyers.entries()) {
    expect(light.grants.length - granted[index]!).toBeLessThanOrEqual(6);
  }

  rmSync(flag);
  await Promise.all(buyers.map((light) => more(light, 4)));
  await Promise.all([...buyers, teller].map((light) => light.stop()));
  gateway.child.kill("SIGTERM");
  expect((await gateway.ended).code).toBe(0);
  const total = await expectAgreement([...buyers, teller], dataOf(config), utility.url);
  expect((await utility.stop()).settles.amountAtomic).toBe(total);
  console.log(`/livez under a 5 s flush: median ${tookMs[tookMs.length >> 1]} ms, worst ${tookMs.at(-1)} ms`);
});
