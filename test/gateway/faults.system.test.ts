// A disk that fills up under a gateway while lights buy.

import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectAgreement, QUANTUM, startSeller } from "./agreement.ts";
import { type Ground, prepareGround, until } from "./ground.ts";
import { more, operate, untilTrouble } from "./operate.ts";

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

test("a full disk: no grant without its payment in the ledger, and lights are lit again once there is room", async () => {
  const utility = await startSeller(ground);
  const operated = await operate(ground, utility.url);
  const { gateway, data } = operated;
  const lights = [1, 2, 3].map(() => ground.light(operated.brokerUrl));
  await Promise.all(lights.map((light) => light.untilCharged(4 * QUANTUM)));

  // From here on no file may grow beyond what the write-ahead log already takes: EFBIG, as ENOSPC to SQLite.
  const sizeBytes = statSync(join(data, "ledger.sqlite-wal")).size;
  const limit = (bytes: string) =>
    execFileSync("prlimit", ["--pid", `${gateway.child.pid}`, `--fsize=${bytes}`]);
  limit(`${sizeBytes}:unlimited`);
  await until(
    () => lights.every(({ host }) => host.state().answerRefusal === "ledger-unavailable"),
    60_000,
    () => `every light refused, found ${lights.map(({ host }) => host.state().answerRefusal)}`,
  );
  const before = lights.map((light) => light.charged());
  await untilTrouble(operated, "ledger", /could not be written/);
  expect(lights.map((light) => light.charged())).toEqual(before);
  expect(gateway.child.exitCode).toBeNull();

  limit("unlimited:unlimited");
  await Promise.all(lights.map((light) => more(light, 4)));
  await untilTrouble(operated, "ledger", /^$/);
  await Promise.all(lights.map((light) => light.stop()));
  await operated.stop();
  const total = await expectAgreement(lights, data, utility.url);
  expect((await utility.stop()).settles.amountAtomic).toBe(total);
});
