// The example that needs PostgreSQL and a broker of others does what it says.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, onTestFinished, test, vi } from "vitest";
import { startMosquitto } from "../gateway/broker/external/mosquitto.ts";
import { startPostgres } from "../gateway/ledger/postgres/postgres.ts";
import { outputOf } from "./output.ts";

afterEach(() => {
  vi.unstubAllEnvs();
});

test("two gateways on one ledger share a fleet, and one that stops leaves its lights to the other", async () => {
  const folder = mkdtempSync(join(tmpdir(), "watt402-example-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const postgres = await startPostgres();
  onTestFinished(() => postgres.stop());
  const mosquitto = await startMosquitto();
  onTestFinished(() => mosquitto.end());
  const passwordFile = join(folder, "password");
  writeFileSync(passwordFile, postgres.password, { mode: 0o600 });
  vi.stubEnv("WATT402_LEDGER_URL", postgres.url);
  vi.stubEnv("WATT402_LEDGER_PASSWORD_FILE", passwordFile);
  vi.stubEnv("WATT402_BROKER_URL", mosquitto.url);

  const [shared, moved] = await outputOf(() => import("./two-gateways.ts"));
  const [north, south] = /serve (\d+) and (\d+) of 64 slots$/.exec(shared!)!.slice(1).map(Number);
  expect(north! + south!).toBe(64);
  expect(moved).toBe("north stopped, south serves 64 of 64 slots, and every light buys on");
});
