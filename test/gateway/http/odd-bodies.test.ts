// Bodies, queries and paths that no browser sends: each is answered as the sender's own fault, and the server serves on.

import { request } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Ground, prepareGround } from "../fixtures.ts";
import { startSeller } from "../purchase/agreement.ts";
import { oddInput } from "../strangers/odd-input.ts";
import { openStage, type Stage } from "./fixtures.ts";

const INPUTS = 1_000;
const TYPES = [
  "application/json",
  "application/x-www-form-urlencoded",
  "text/plain",
  "multipart/form-data",
  "x",
];

let ground: Ground;
let stage: Stage;
let seller: Awaited<ReturnType<typeof startSeller>>;
beforeAll(async () => {
  ground = await prepareGround();
  seller = await startSeller(ground);
  stage = await openStage({ token: "a-token-that-is-long-enough" });
});
afterAll(async () => {
  await stage.close();
  await seller.stop();
  await ground.stop();
});

/** Mulberry32. */
function drawn(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Statuses of the answers to so many odd requests, each with how often it came. */
async function statusesOf(url: string, paths: readonly string[], seed: number): Promise<Map<number, number>> {
  const draw = drawn(seed);
  const statuses = new Map<number, number>();
  for (let count = 0; count < INPUTS; count += 1) {
    const body = oddInput(draw);
    const path = paths[count % paths.length]!;
    const odd = encodeURIComponent(body.toString("latin1").slice(0, 200));
    const target = count % 3 === 0 ? `${path}?quantum=${odd}&frames=${odd}&${odd}` : path;
    const headers = { "content-type": TYPES[count % TYPES.length]! };
    const { statusCode, body: answer } = await request(url + target, { method: "POST", headers, body });
    await answer.dump();
    statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1);
  }
  return statuses;
}

const faults = (statuses: ReadonlyMap<number, number>) => [...statuses.keys()].filter((code) => code >= 500);

test("a thousand odd bodies and queries are the gateway's page's to refuse, never to fail on", async () => {
  const paths = ["/login", "/api/v1/lights", "/api/v1/enrolments", "/api/v1/events", "/", "/metrics"];
  const statuses = await statusesOf(stage.url, paths, 1);
  expect(faults(statuses)).toEqual([]);
  expect([...statuses.values()].reduce((sum, count) => sum + count, 0)).toBe(INPUTS);
  expect((await request(`${stage.url}/livez`)).statusCode).toBe(200);
});

test("a thousand odd bodies and queries are the seller's to refuse, never to fail on", async () => {
  const paths = ["/v1/energy", "/v1/energy?quantum=100", "/v1/tariff", "/v1/accounts/0x00", "/nothing"];
  const statuses = await statusesOf(seller.url, paths, 2);
  expect(faults(statuses)).toEqual([]);
  expect(statuses.get(402) ?? 0).toBeGreaterThan(0);
  expect((await request(`${seller.url}/livez`)).statusCode).toBe(200);
});
