// Whatever a seller does, the gateway stays up, says what is wrong and whose fault it is, pays nothing twice, and
// goes on by itself when the seller does.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gateway } from "#gateway/gateway";
import type { SellerStatus } from "#gateway/sellers/seller-status";
import type { SellerService } from "#simulator/seller/seller";
import { type Ground, type Light, prepareGround, until } from "../fixtures.ts";
import { startSeller } from "../purchase/agreement.ts";
import { FAULTS, type Fault, type FaultyRoad, openFaultyRoad } from "./faulty-link.ts";

const QUANTUM = 100;
const TIMEOUT_MS = 1_000;
const MEMORY_MAX_BYTES = 64 * 1024 * 1024;

let ground: Ground;
let utility: SellerService;
let road: FaultyRoad;
let gateway: Gateway;
let light: Light;
const notes: { text: string; fields: Readonly<Record<string, unknown>> }[] = [];

beforeAll(async () => {
  ground = await prepareGround();
  utility = await startSeller(ground);
  road = await openFaultyRoad(utility.url);
  const config = ground.config("", {
    sellers: [{ name: "grid", url: road.url }],
    limits: { sellerTimeoutMs: TIMEOUT_MS },
    http: { port: 0 },
  });
  gateway = await ground.gateway(config, (_level, text, fields) => notes.push({ text, fields }));
  light = ground.light(gateway.brokerUrl);
  await light.untilCharged(2 * QUANTUM);
});
afterAll(async () => {
  await light.stop();
  await gateway.stop();
  await road.close();
  await utility.stop();
  await ground.stop();
});

async function grid(): Promise<SellerStatus> {
  const { sellers } = (await (await fetch(`${gateway.httpUrl}/api/v1/sellers`)).json()) as {
    sellers: SellerStatus[];
  };
  return sellers[0]!;
}

async function callsFailed(): Promise<number> {
  const text = await (await fetch(`${gateway.httpUrl}/metrics`)).text();
  return Number(/^watt402_seller_calls_total\{seller="grid",outcome="failed"\} (\d+)$/m.exec(text)![1]);
}

const REASONS: Readonly<Record<Fault, RegExp>> = {
  "HTTP 500": /HTTP 500 to a payment: out of order/,
  "a body that drips": /timeout|aborted/i,
  "a body without end": /content size|max|exceeded/i,
  garbage: /parse|http|socket/i,
  "a redirect": /found HTTP 302/,
  "another content type": /of type text\/html/,
  "a wrong Payment-Response": /PAYMENT-RESPONSE|payment-response/i,
  "a reset connection": /ECONNRESET|socket/i,
};

test.each(FAULTS)(
  "%s is reported with the seller's name, nothing is paid twice, and buying goes on",
  async (fault) => {
    const before = { failed: await callsFailed(), charged: light.charged(), noted: notes.length };
    const usedBefore = process.memoryUsage();
    road.fault = fault;
    const isTold = ({ fields }: (typeof notes)[number]) => REASONS[fault].test(String(fields.reason));
    await until(
      () => notes.slice(before.noted).some(isTold),
      8_000,
      () => `a note of ${fault}; ${JSON.stringify(notes.slice(before.noted))}`,
    );
    const used = process.memoryUsage();
    expect(await callsFailed()).toBeGreaterThan(before.failed);
    expect(used.external + used.heapUsed - usedBefore.external - usedBefore.heapUsed).toBeLessThan(
      MEMORY_MAX_BYTES,
    );
    expect((await fetch(`${gateway.httpUrl}/livez`)).status).toBe(200);
    road.fault = null;
    await light.untilCharged(before.charged + 2 * QUANTUM, 20_000);
    expect(light.host.state().channel!.granted).toBe((light.charged() / QUANTUM) * 500);
    const { id } = light.host.state().channel!;
    const account = (await (await fetch(`${utility.url}/v1/accounts/${id}`)).json()) as { charged: number };
    expect(account.charged).toBeLessThanOrEqual(light.maxSigned());
    expect(account.charged - light.charged()).toBeLessThanOrEqual(QUANTUM);
  },
);

test("no redirect was followed, and of a body without end no more was taken than sockets hold", () => {
  expect(road.followed).toBe(0);
  expect(road.takenBytes).toBeLessThan(8 * 1024 * 1024);
});

test("a seller that is out for longer is in trouble, then away, with its reason on every page, and good again", async () => {
  road.fault = "HTTP 500";
  await expect.poll(async () => (await grid()).standing, { timeout: 20_000 }).toMatch(/troubled|away/);
  const status = await grid();
  expect(status).toMatchObject({ name: "grid", lights: 1, reason: expect.stringContaining("HTTP 500") });
  const ready = await fetch(`${gateway.httpUrl}/readyz`);
  expect([ready.status, await ready.text()]).toEqual([503, expect.stringContaining("grid: ")]);
  const charged = light.charged();
  road.fault = null;
  await light.untilCharged(charged + 2 * QUANTUM, 30_000);
  expect((await grid()).standing).toBe("good");
});
