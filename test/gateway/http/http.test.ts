// The HTTP side on a real server: the API against its own description, who may look, and a viewer who does not read.

import { connect } from "node:net";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterEach, expect, test } from "vitest";
import { eventText, Feed, VIEWERS_MAX } from "#gateway/http/feed";
import { OPENAPI } from "#gateway/http/openapi";
import { Fleet } from "#gateway/telemetry/fleet-view";
import { channelOf, deviceName, openStage, type Stage, type StageOptions, TOKENS } from "./fixtures.ts";

const TOKEN = "a-token-that-is-long-enough";
const stages: Stage[] = [];

async function staged(options: StageOptions = {}): Promise<Stage> {
  const stage = await openStage(options);
  stages.push(stage);
  return stage;
}

afterEach(async () => {
  await Promise.all(stages.splice(0).map((stage) => stage.close()));
});

async function lively(): Promise<Stage> {
  const stage = await staged();
  for (let index = 0; index < 120; index++) {
    stage.hello(index);
    stage.state(index);
    stage.pay(index);
  }
  stage.pass(90);
  for (let index = 0; index < 120; index++) stage.pay(index);
  stage.state(7, { starved: true, levelPercent: 0, refusal: "deposit-exhausted" });
  stage.state(8, { levelPercent: 0, refusal: "load-disobeys" });
  stage.tell({ type: "lost", device: deviceName(9) });
  for (let second = 0; second < 3; second++) {
    stage.pass(1);
    stage.fleet.sample();
  }
  return stage;
}

const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, strictRequired: false });
ajv.addSchema({ $id: "openapi", components: OPENAPI.components }, "openapi", false, false);
ajv.addVocabulary(["components", "securitySchemes", "schemas"]);

function expectFits(schema: { $ref?: string }, body: unknown): void {
  const validate = ajv.compile({ $ref: `openapi${schema.$ref}` });
  expect(validate(body) ? [] : validate.errors).toEqual([]);
}

interface Operation {
  readonly parameters?: readonly { name: string; in: string }[];
  readonly responses: Readonly<
    Record<string, { content?: Readonly<Record<string, { schema?: { $ref: string } }>> }>
  >;
}

test("every JSON answer is as the served OpenAPI document says, members and all", async () => {
  const { url } = await lively();
  const served = (await (await fetch(`${url}/api/v1/openapi.json`)).json()) as typeof OPENAPI;
  expect(served).toEqual(JSON.parse(JSON.stringify(OPENAPI)));
  const paths = Object.entries(served.paths as unknown as Record<string, { get: Operation }>);
  let checked = 0;
  for (const [path, { get }] of paths) {
    const schema = get.responses["200"]!.content?.["application/json"]?.schema;
    if (schema === undefined) continue;
    const named = path.replace("{seller}", "seller");
    const answer = await fetch(url + named.replace("{device}", deviceName(5)));
    expect([path, answer.status]).toEqual([path, 200]);
    expectFits(schema, await answer.json());
    checked += 1;
    if (!get.responses["404"]) continue;
    const missing = await fetch(url + path.replace("{seller}", "nobody").replace("{device}", "0".repeat(40)));
    expect(missing.status).toBe(404);
    expectFits({ $ref: "#/components/schemas/Error" }, await missing.json());
  }
  expect(checked).toBeGreaterThanOrEqual(9);
});

test("an answer that is not as described is noticed", async () => {
  const { url } = await lively();
  const fleet = (await (await fetch(`${url}/api/v1/fleet`)).json()) as Record<string, unknown>;
  const validate = ajv.compile({ $ref: "openapi#/components/schemas/Fleet" });
  expect(validate({ ...fleet, payments: "many" })).toBe(false);
  expect(validate({ ...fleet, extra: 1 })).toBe(false);
  expect(validate({ ...fleet, treasury: { ...(fleet.treasury as object), extra: 1 } })).toBe(false);
  const { payments: _, ...less } = fleet;
  expect(validate(less)).toBe(false);
});

test("lights and payments are walked page by page, each once; a wrong query is refused", async () => {
  const { url } = await lively();
  const seen: string[] = [];
  let after: number | null = -1;
  while (after !== null) {
    const page = (await (await fetch(`${url}/api/v1/lights?limit=50&after=${after}`)).json()) as {
      lights: { device: string }[];
      next: number | null;
    };
    seen.push(...page.lights.map(({ device }) => device));
    after = page.next;
  }
  expect(new Set(seen).size).toBe(120);
  expect(seen).toHaveLength(120);
  const starved = await (await fetch(`${url}/api/v1/lights?condition=starved`)).json();
  expect(starved).toMatchObject({
    lights: [{ device: deviceName(7), refusal: "deposit-exhausted" }],
    next: null,
  });
  const disobeyed = await (await fetch(`${url}/api/v1/lights/${deviceName(8)}`)).json();
  expect(disobeyed).toMatchObject({ refusal: "load-disobeys" });
  const payments = `${url}/api/v1/lights/${deviceName(3)}/payments`;
  const first = await (await fetch(`${payments}?limit=1`)).json();
  expect(first).toMatchObject({ channel: channelOf(3), payments: [{ maxClaimable: 100 }], next: 100 });
  expect(await (await fetch(`${payments}?limit=1&after=100`)).json()).toMatchObject({
    payments: [{ maxClaimable: 200 }],
  });
  // Another light's channel is not shown under this one's name.
  expect((await fetch(`${payments}?channel=${channelOf(4)}`)).status).toBe(404);
  const wrong = await fetch(`${url}/api/v1/lights?limit=0`);
  expect([wrong.status, await wrong.json()]).toMatchObject([
    400,
    { error: expect.stringContaining("limit") },
  ]);
});

test("no answer carries a signature: anyone could present it for money", async () => {
  const { url } = await lively();
  for (const path of ["", "/payments", "/deposits"]) {
    const text = await (await fetch(`${url}/api/v1/lights/${deviceName(3)}${path}`)).text();
    expect(text).not.toMatch(/signature|eeee|dddd/);
  }
});

test("metrics tell payments, lights, stages and parts by their stated names", async () => {
  const { url } = await lively();
  const answer = await fetch(`${url}/metrics`);
  expect(answer.headers.get("content-type")).toContain("text/plain");
  const text = await answer.text();
  expect(text).toMatch(/^watt402_payments_total 240$/m);
  expect(text).toMatch(/^watt402_spent_atomic_total\{network="eip155:8453",asset="0x(a0){20}"\} 24000$/m);
  expect(text).toMatch(/^watt402_lights\{condition="starved"\} 1$/m);
  expect(text).toMatch(/^watt402_stage_seconds_count\{stage="purchase",outcome="good"\} 240$/m);
  expect(text).toMatch(
    /^watt402_treasury_balance_atomic\{network="eip155:8453",asset="0x(a0){20}"\} 123456789$/m,
  );
  expect(text).toMatch(/^watt402_up\{part="chain"\} 1$/m);
  // A second reading counts nothing twice.
  expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/^watt402_payments_total 240$/m);
});

test("ready means every part is good, and the part that is not says why", async () => {
  const { url, sellers } = await staged();
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  sellers[0] = { ...sellers[0]!, standing: "away", reason: "ECONNREFUSED 127.0.0.1:9" };
  const answer = await fetch(`${url}/readyz`);
  expect([answer.status, await answer.json()]).toMatchObject([
    503,
    {
      status: "not-ready",
      checks: {
        seller: { isGood: false, reason: "grid: ECONNREFUSED 127.0.0.1:9" },
        broker: { isGood: true },
      },
    },
  ]);
  expect((await fetch(`${url}/livez`)).status).toBe(200);
});

test("with a token only health and version are answered without it; a login is a cookie that scripts cannot read", async () => {
  const { url } = await staged({ token: TOKEN });
  for (const path of ["/livez", "/readyz", "/version", "/login"]) {
    expect([path, (await fetch(url + path)).status]).toEqual([path, 200]);
  }
  for (const path of [
    "/metrics",
    "/api/v1/fleet",
    "/api/v1/events",
    "/api/v1/openapi.json",
    "/dashboard.js",
    "/none",
  ]) {
    const answer = await fetch(url + path);
    expect([path, answer.status]).toEqual([path, 401]);
    expect(await answer.text()).not.toContain(TOKEN);
  }
  const bearer = (token: string) =>
    fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  expect((await bearer(TOKEN)).status).toBe(200);
  expect((await bearer(`${TOKEN}x`)).status).toBe(401);
  expect((await fetch(url, { redirect: "manual" })).headers.get("location")).toBe("/login");
  const login = (token: string) =>
    fetch(`${url}/login`, { method: "POST", body: new URLSearchParams({ token }), redirect: "manual" });
  expect((await login("wrong")).status).toBe(401);
  const right = await login(TOKEN);
  const cookie = right.headers.get("set-cookie")!;
  expect(right.status).toBe(303);
  expect(cookie).toMatch(/HttpOnly; SameSite=Strict/);
  expect(cookie).not.toContain(TOKEN);
  expect((await fetch(`${url}/api/v1/fleet`, { headers: { cookie: cookie.split(";")[0]! } })).status).toBe(
    200,
  );
});

test("without a token a host name that is not this machine's is refused, so no page elsewhere can look", async () => {
  const { url } = await staged();
  const port = Number(new URL(url).port);
  const status = await new Promise<string>((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("data", (data) => {
      resolve(data.toString().split("\r\n")[0]!);
      socket.destroy();
    });
    socket.write("GET /api/v1/fleet HTTP/1.1\r\nHost: evil.example.org\r\n\r\n");
  });
  expect(status).toContain("403");
});

test("a viewer hears the whole fleet once, then only what changes", async () => {
  const stage = await lively();
  const answer = await fetch(`${stage.url}/api/v1/events`);
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const hear = async (isEnough: () => boolean) => {
    while (!isEnough()) text += (await reader.read()).value ?? "";
  };
  await hear(() => text.includes("event: lights"));
  const born = /event: born\ndata: (.*)\n/.exec(text)![1]!;
  expect(JSON.parse(born)).toHaveLength(120);
  text = "";
  stage.pay(42);
  await hear(() => /event: lights\ndata: .*\n/.test(text));
  const [row, ...others] = JSON.parse(/event: lights\ndata: (.*)\n/.exec(text)![1]!) as unknown[][];
  expect(others).toEqual([]);
  expect(row!.slice(0, 2)).toEqual([42, 4]);
  await reader.cancel();
});

test("a viewer who does not read costs a bounded backlog, catches up whole, and is dropped when it never reads", () => {
  const fleet = new Fleet({
    locations: new Map(),
    lightsMax: 10_000,
    tokens: TOKENS,
    now: () => 1_800_000_000,
  });
  const feed = new Feed(fleet);
  const sent: string[] = [];
  let backlog = 0;
  let isClosed = false;
  const viewer = {
    send(chunk: string) {
      sent.push(chunk);
      backlog += chunk.length;
    },
    backlogBytes: () => backlog,
    close() {
      isClosed = true;
    },
  };
  feed.join(viewer, { kind: "all" });
  const change = () => {
    for (let i = 0; i < 5_000; i++) fleet.observe({ type: "lost", device: deviceName(i) });
    feed.frame({ atSeconds: 0, device: deviceName(1), direction: "up", leaf: "state", fields: {} });
  };
  for (let tick = 0; tick < 50; tick++) {
    change();
    feed.tick();
  }
  // One chunk may pass the bound, no more: 2,000 rows.
  expect(backlog).toBeLessThan(256 * 1024 + 250_000);
  expect(isClosed).toBe(false);
  backlog = 0;
  sent.length = 0;
  while (sent.length === 0 || backlog > 256 * 1024) {
    backlog = 0;
    feed.tick();
  }
  backlog = 0;
  feed.tick();
  const indexes = new Set(
    sent
      .filter((chunk) => chunk.includes("event: lights"))
      .flatMap((chunk) => {
        const rows = [...chunk.matchAll(/event: lights\ndata: (.*)\n/g)].map(
          ([, data]) => JSON.parse(data!) as number[][],
        );
        return rows.flat().map(([index]) => index);
      }),
  );
  expect(indexes.size).toBe(5_000);
  expect(sent.join("")).toMatch(/"missed":[1-9]/);
  backlog = 1_000_000;
  for (let tick = 0; tick < 200; tick++) feed.tick();
  expect(isClosed).toBe(true);
  expect(feed.viewers).toBe(0);
});

test("viewers beyond the bound are turned away", () => {
  const feed = new Feed(
    new Fleet({ locations: new Map(), lightsMax: 10, tokens: TOKENS, now: () => 1_800_000_000 }),
  );
  const viewer = { send() {}, backlogBytes: () => 0, close() {} };
  const joins = Array.from({ length: VIEWERS_MAX + 1 }, () => feed.join(viewer, { kind: "none" }));
  expect(joins.filter((leave) => leave === null)).toHaveLength(1);
  expect(eventText("fleet", { text: "two\nlines" })).toBe('event: fleet\ndata: {"text":"two\\nlines"}\n\n');
});
