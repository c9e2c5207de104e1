// Webhooks on a real receiver that fails, is slow to come back, and checks signatures.

import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { AlarmKind } from "#gateway/config/monitoring-section";
import type { Alarm } from "#gateway/telemetry/alarms";
import { openWebhooks, QUEUE_MAX, signatureOf, type Webhooks } from "#gateway/telemetry/webhooks";
import { until } from "../fixtures.ts";

const SECRET = "a-secret-of-the-operator";
const PACE = { firstDelayMs: 10, maxDelayMs: 40 };

interface Heard {
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function receiver(answer: (count: number) => number): Promise<{ url: string; heard: Heard[] }> {
  const heard: Heard[] = [];
  const server: Server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      heard.push({ headers: request.headers, body });
      response.writeHead(answer(heard.length)).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, heard };
}

function hook(url: string, events: readonly AlarmKind[], notes: string[] = []): Webhooks {
  const hooks = openWebhooks([{ url, events, secret: SECRET }], (_level, text) => notes.push(text), PACE);
  closing.push(() => hooks.close());
  return hooks;
}

const alarm = (kind: AlarmKind, count = 1): Alarm => ({
  kind,
  phase: "begins",
  atSeconds: 1_800_000_000,
  text: `${count} lights`,
  count,
  devices: [],
});

test("an alarm arrives signed, and one that is not wanted does not leave", async () => {
  const { url, heard } = await receiver(() => 204);
  const hooks = hook(url, ["starved"]);
  hooks.send(alarm("seller-down"));
  hooks.send(alarm("starved"));
  await until(
    () => heard.length === 1 && hooks.queued === 0,
    5_000,
    () => `one delivery, found ${heard.length}`,
  );
  const [{ headers, body }] = heard as [Heard];
  const timestamp = Number(headers["watt402-timestamp"]);
  expect(headers["watt402-signature"]).toBe(signatureOf(SECRET, timestamp, body));
  expect(headers["watt402-signature"]).not.toBe(signatureOf("another-secret", timestamp, body));
  expect(Math.abs(timestamp - Date.now() / 1000)).toBeLessThan(10);
  expect(JSON.parse(body)).toMatchObject({ kind: "starved", phase: "begins", id: expect.any(String) });
});

test("an alarm is delivered again with the same id, in order, until its receiver accepts it", async () => {
  const { url, heard } = await receiver((count) => (count <= 3 ? 503 : 200));
  const notes: string[] = [];
  const hooks = hook(url, ["starved", "low-balance"], notes);
  hooks.send(alarm("starved"));
  hooks.send(alarm("low-balance"));
  await until(
    () => hooks.queued === 0,
    5_000,
    () => `an empty queue, found ${hooks.queued}`,
  );
  const reported = heard.map(({ body }) => JSON.parse(body) as { id: string; kind: string });
  expect(reported.map(({ kind }) => kind)).toEqual([
    "starved",
    "starved",
    "starved",
    "starved",
    "low-balance",
  ]);
  expect(new Set(reported.map(({ id }) => id)).size).toBe(2);
  expect(notes).toContain("a webhook did not arrive; it is sent again");
});

test("an unreachable receiver costs a bounded queue, and lost alarms are reported", async () => {
  const notes: string[] = [];
  const hooks = hook("http://127.0.0.1:9/none", ["starved"], notes);
  for (let i = 0; i < QUEUE_MAX + 50; i++) hooks.send(alarm("starved", i));
  expect(hooks.queued).toBe(QUEUE_MAX);
  expect(notes.filter((note) => note.includes("queue is full"))).toHaveLength(50);
  await until(
    () => notes.includes("a webhook was given up"),
    5_000,
    () => "the oldest to be given up",
  );
});
