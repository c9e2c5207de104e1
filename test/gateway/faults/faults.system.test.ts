// A disk that fills up, and a database that takes no more writes, under a gateway while lights buy.

import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Ground, prepareGround, until } from "../fixtures.ts";
import { startPostgres } from "../ledger/postgres/postgres.ts";
import { more, operate, untilTrouble } from "../processes/operate.ts";
import { expectAgreement, QUANTUM, startSeller } from "../purchase/agreement.ts";

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

  // From here on no file takes a byte: EFBIG, as ENOSPC, to the journal of payments and to SQLite.
  const limit = (bytes: string) =>
    execFileSync("prlimit", ["--pid", `${gateway.child.pid}`, `--fsize=${bytes}`]);
  limit("0:unlimited");
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

test("a database that turns read-only: no grant without its payment, and the lights go on when it takes writes again", async () => {
  const postgres = await startPostgres();
  const utility = await startSeller(ground);
  const passwordFile = join(ground.directory(), "password");
  writeFileSync(passwordFile, postgres.password, { mode: 0o600 });
  const ledger = { kind: "postgres", url: postgres.url, passwordFile };
  const operated = await operate(ground, utility.url, { ledger });
  const lights = [1, 2].map(() => ground.light(operated.brokerUrl));
  await Promise.all(lights.map((light) => light.untilCharged(4 * QUANTUM)));

  // As a standby after a failover: connections begin anew, and every transaction is read-only.
  const cutOff =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'watt402'";
  await postgres.query(`ALTER ROLE watt402 SET default_transaction_read_only = on; ${cutOff}`);
  await until(
    () => lights.every(({ host }) => host.state().answerRefusal === "ledger-unavailable"),
    60_000,
    () => `every light refused, found ${lights.map(({ host }) => host.state().answerRefusal)}`,
  );
  await untilTrouble(operated, "ledger", /could not be written/);

  await postgres.query(
    `BEGIN READ WRITE; ALTER ROLE watt402 RESET default_transaction_read_only; COMMIT; ${cutOff}`,
  );
  await Promise.all(lights.map((light) => more(light, 4)));
  await untilTrouble(operated, "ledger", /^$/);
  await Promise.all(lights.map((light) => light.stop()));
  await operated.stop();
  const [row] = await postgres.query(
    "SELECT SUM(amount)::int AS paid, COUNT(*)::int AS payments FROM payment",
  );
  const { settles } = await utility.stop();
  expect(row!.paid).toBe(settles.amountAtomic);
  expect(Number(row!.payments) * QUANTUM).toBe(row!.paid);
  postgres.stop();
});
