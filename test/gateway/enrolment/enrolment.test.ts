// Enrolment of real lights at a whole gateway: who waits pays nothing and is paid for nothing, until the operator says so.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "smol-toml";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readAllowList } from "#gateway/enrolment/allow-list";
import type { SellerService } from "#simulator/seller/seller";
import { type Ground, prepareGround, until } from "../fixtures.ts";
import { bundleOf } from "../processes/bundle.ts";
import { GATEWAY_PROCESS, spawnGateway } from "../processes/gateway-process.ts";
import { startSeller } from "../purchase/agreement.ts";

let ground: Ground;
let utility: SellerService;
let program: string;
beforeAll(async () => {
  ground = await prepareGround();
  utility = await startSeller(ground);
  program = await bundleOf(GATEWAY_PROCESS, ground.directory());
});
afterAll(async () => {
  await utility.stop();
  await ground.stop();
});

/** A gateway, and the operator's commands on the same configuration. */
async function operated(enrolment: Record<string, unknown>) {
  const config = { ...ground.config(utility.url), enrolment, http: { port: 0 } };
  const file = join(ground.directory(), "gateway.toml");
  writeFileSync(file, stringify(config));
  const gateway = await ground.gateway(config);
  const command = async (...args: string[]) => {
    const { code, stdout, stderr } = await spawnGateway(["--config", file, ...args], program).ended;
    expect([code, stderr]).toEqual([0, ""]);
    return stdout;
  };
  const get = async (path: string) => (await fetch(gateway.httpUrl + path)).text();
  return { gateway, command, get };
}

test("a light that waits gets no offer and no deposit and says why; approved, it buys without anybody's restart; refused, it is out", async () => {
  const { gateway, command, get } = await operated({ mode: "pending" });
  const light = ground.light(gateway.brokerUrl);
  await until(
    () => light.host.state().offerRefusal === "not-enrolled",
    20_000,
    () => `a refusal, found ${light.troubles.join()}`,
  );
  expect(light.host.state().channel).toBeNull();
  expect(JSON.parse(await get("/api/v1/enrolments?state=pending"))).toMatchObject({
    enrolments: [{ device: light.device, state: "pending", decidedSeconds: 0 }],
    next: null,
  });
  const { refusal } = JSON.parse(await get(`/api/v1/lights/${light.device}`)) as { refusal: string };
  expect(refusal).toBe("not-enrolled");
  expect(await command("devices", "list", "--state", "pending")).toContain(light.device);
  /** The metrics, once they say so. */
  const metricsWith = async (line: RegExp) => {
    let metrics = "";
    for (let tries = 0; tries < 200 && !line.test(metrics); tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      metrics = await get("/metrics");
    }
    expect(metrics).toMatch(line);
    return metrics;
  };
  const metrics = await metricsWith(/^watt402_devices_pending 1$/m);
  expect(metrics).toContain('watt402_broker_refused_total{reason="login"} 0');
  expect(gateway.status().offers).toBe(0);

  expect(await command("devices", "approve", `0x${light.device}`)).toBe(
    `${light.device}: approved, pending before\n`,
  );
  await light.untilCharged(500, 30_000);
  expect(light.host.state().offerRefusal).toBeNull();

  const notEnrolled = async () =>
    Number(/^watt402_dropped_total\{reason="not-enrolled"\} (\d+)/m.exec(await get("/metrics"))?.[1] ?? 0);
  // While it waited, what it sent was dropped too.
  const droppedBefore = await notEnrolled();
  expect(await command("devices", "refuse", light.device)).toContain("refused, approved before");
  for (let tries = 0; tries < 200 && (await notEnrolled()) === droppedBefore; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(await notEnrolled()).toBeGreaterThan(droppedBefore);
  // A payment that was under way when the refusal was heard may still end.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const paid = gateway.status().ledgerPayments;
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(gateway.status().ledgerPayments).toBe(paid);
  const again = ground.light(gateway.brokerUrl, { key: light.key });
  await until(
    () => again.troubles.some((trouble) => trouble.includes("refused the login")),
    20_000,
    () => `a refused login, found ${again.troubles.join()}`,
  );
}, 120_000);

test("an allow-list admits only its lights, and a line more admits another", async () => {
  const file = join(ground.directory(), "devices.txt");
  writeFileSync(file, "# nobody yet\n");
  const { gateway } = await operated({ mode: "allow-list", allowFile: file });
  const light = ground.light(gateway.brokerUrl);
  await until(
    () => light.troubles.some((trouble) => trouble.includes("check that the gateway admits this device")),
    20_000,
    () => `a refused login, found ${light.troubles.join()}`,
  );
  writeFileSync(file, `# one\n0x${light.device.toUpperCase()}   # a lamp\n`);
  await light.untilCharged(300, 30_000);
});

test("an allow-list with a line that is no address is refused whole, with its number", () => {
  const file = join(ground.directory(), "devices.txt");
  writeFileSync(file, `${"ab".repeat(20)}\n\n# fine\n${"ab".repeat(19)}\n`);
  expect(() => readAllowList(file)).toThrow(
    `enrolment.allowFile: ${file} line 4: expected an address, 40 hex digits, found "${"ab".repeat(19)}"`,
  );
  expect(() => readAllowList(`${file}.none`)).toThrow("expected a readable file, found ENOENT");
});
