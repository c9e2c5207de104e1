// The whole gateway with its [http]: a real light buys, and page, metrics, feed, terminal and log tell of it.

import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkConfig } from "#gateway/config/config";
import { openLog } from "#gateway/log";
import { type Ground, prepareGround, until } from "../fixtures.ts";
import { startSeller } from "../purchase/agreement.ts";

/** A log's stream that keeps its lines. */
function into(lines: string[]): Writable {
  return new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
}

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

test("a light that buys is seen on every side, and no answer or log line carries a secret", async () => {
  const utility = await startSeller(ground);
  const lines: string[] = [];
  const log = openLog("info", into(lines));
  const places = join(ground.directory(), "places.csv");
  const config = { ...ground.config(utility.url), http: { port: 0 }, map: { places } };
  writeFileSync(places, "device,name,latitude,longitude\n");
  const gateway = await ground.gateway(config, (level, text, fields) => log[level](fields, text));
  const url = gateway.httpUrl!;
  const watching = spawn(process.execPath, ["gateway/watt402-gateway.mjs", "watch", "--url", url], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let watched = "";
  watching.stdout.on("data", (chunk) => {
    watched += chunk;
  });
  const json = async (path: string) => (await fetch(url + path)).json();
  const light = ground.light(gateway.brokerUrl, { readingMs: 200 });
  await light.untilCharged(1_000);
  await until(
    () => /<- \w{8} grant {3}charged=/.test(watched),
    60_000,
    () => `grants in the terminal, found ${watched}`,
  );
  watching.kill("SIGKILL");

  expect(await json("/readyz")).toMatchObject({ status: "ready" });
  await utility.stop();
  const isDown = async () => {
    const { checks } = (await json("/readyz")) as { checks: { seller: { isGood: boolean } } };
    return !checks.seller.isGood;
  };
  await expect.poll(isDown, { timeout: 20_000 }).toBe(true);
  await light.stop();

  const seen = (await json(`/api/v1/lights/${light.device}`)) as { charged: number; payments: number };
  const { ledgerPayments } = gateway.status();
  expect(seen.payments).toBe(ledgerPayments);
  expect(await json("/api/v1/fleet")).toMatchObject({ payments: ledgerPayments, spentAtomic: seen.charged });
  const { payments } = (await json(`/api/v1/lights/${light.device}/payments?limit=500`)) as {
    payments: unknown[];
  };
  expect(payments).toHaveLength(ledgerPayments);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toMatch(new RegExp(`^watt402_payments_total ${ledgerPayments}$`, "m"));
  expect(metrics).toMatch(/^watt402_stage_seconds_count\{stage="ledger",outcome="good"\} [1-9]/m);
  expect(metrics).toMatch(/^watt402_deposits_total\{network="eip155:31337",asset="0x[0-9a-f]{40}"\} 1$/m);
  expect(metrics).toMatch(
    /^watt402_treasury_balance_atomic\{network="eip155:31337",asset="0x[0-9a-f]{40}"\} [1-9]/m,
  );
  const page = await (await fetch(url)).text();
  const reported = [...lines, metrics, page, await (await fetch(`${url}/dashboard.js`)).text(), watched].join(
    "\n",
  );
  expect(reported).not.toContain(ground.treasurySecret.slice(2));
  expect(lines.length).toBeGreaterThan(0);

  await gateway.stop();
  await expect(fetch(url)).rejects.toThrow();
});

test("members named like secrets are never logged, at any depth", () => {
  const lines: string[] = [];
  const log = openLog("info", into(lines));
  const secret = "0x5ec2e7";
  const payment = { signature: secret };
  log.info({ password: secret, payment, broker: { login: { token: secret } }, safe: "shown" }, "x");
  expect(lines.join("")).toContain("shown");
  expect(lines.join("")).not.toContain(secret);
});

test("beyond loopback a token is asked for, and Home Assistant needs a broker that lets it in", () => {
  const config = ground.config("http://127.0.0.1:1");
  expect(() => checkConfig({ ...config, http: { host: "0.0.0.0" } }, "f")).toThrow(
    "config f: http.tokenFile: expected a file with a token, because http.host 0.0.0.0 is open to others",
  );
  expect(() => checkConfig({ ...config, homeAssistant: { enabled: true } }, "f")).toThrow(
    'homeAssistant.enabled: expected broker.kind "external"',
  );
  expect(checkConfig(config, "f").http).toBeUndefined();
});

test("a token file that is too short, and a place that is none, are refused before anything starts", async () => {
  const directory = ground.directory();
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const config = ground.config("http://127.0.0.1:1");
  const short = { ...config, http: { port: 0, tokenFile: file("token", "short\n") } };
  await expect(ground.gateway(short)).rejects.toThrow("expected at least 16 printable characters");
  const nowhere = { ...config, map: { places: file("places.csv", "name\n") } };
  await expect(ground.gateway(nowhere)).rejects.toThrow("line 1: expected the header");
});
