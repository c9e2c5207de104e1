// Facilitators elsewhere fail, refuse and change their credentials: the next one is asked, and never for what may be sent.

import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { PaymentPayload, PaymentRequirements } from "@x402/core/types";
import { type FastifyReply, fastify } from "fastify";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  type FacilitatorOptions,
  FacilitatorsElsewhere,
} from "#simulator/seller/claims/facilitators-elsewhere";

const LAUNCHER = fileURLToPath(new URL("../../../simulator/watt402-simulate.mjs", import.meta.url));
const PAYMENT = { x402Version: 2 } as PaymentPayload;
const REQUIREMENTS = {} as PaymentRequirements;
const SETTLED = { success: true, transaction: "0x1", network: "eip155:31337" };

type Asked = "verify" | "settle" | "supported";
const closers: (() => Promise<unknown>)[] = [];
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "watt402-facilitators-"));
});
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  rmSync(folder, { recursive: true });
});

/** A facilitator whose answers a test may change; what it was asked, with the Authorization that came along. */
async function newFacilitator() {
  const asked: string[] = [];
  const facilitator = { asked, url: "", status: 200, hangsUp: false };
  const server = fastify();
  const answer = (what: Asked, body: object) => async (request: { headers: object }, reply: FastifyReply) => {
    asked.push(`${what} ${(request.headers as { authorization?: string }).authorization ?? "-"}`);
    if (facilitator.hangsUp) return reply.raw.destroy();
    return reply.code(facilitator.status).send(facilitator.status === 200 ? body : { error: "no" });
  };
  server.get("/supported", answer("supported", { kinds: [], extensions: [], signers: {} }));
  server.post("/verify", answer("verify", { isValid: true }));
  server.post("/settle", answer("settle", SETTLED));
  facilitator.url = await server.listen({ port: 0, host: "127.0.0.1" });
  closers.push(() => server.close());
  return Object.assign(facilitator, { close: () => server.close() });
}

function clientOf(...options: readonly FacilitatorOptions[]) {
  const lines: string[] = [];
  const clock = { nowMs: 0 };
  const client = new FacilitatorsElsewhere(
    options,
    (line) => lines.push(line),
    () => clock.nowMs,
  );
  return { client, lines, clock };
}

test.each([401, 403, 429, 500, 503])(
  "one that answers %i to a verification is left out for half a minute, and the next one is asked",
  async (status) => {
    const [first, second] = [await newFacilitator(), await newFacilitator()];
    first.status = status;
    const { client, lines, clock } = clientOf(first, second);
    for (let count = 0; count < 3; count += 1)
      expect(await client.verify(PAYMENT, REQUIREMENTS)).toMatchObject({ isValid: true });
    expect([first.asked.length, second.asked.length, lines.length]).toEqual([1, 3, 1]);
    expect(lines[0]).toMatch(
      new RegExp(`^facilitator http://127.0.0.1:\\d+: .*\\(${status}\\).*left out for 30 s$`),
    );
    clock.nowMs = 30_000;
    first.status = 200;
    await client.verify(PAYMENT, REQUIREMENTS);
    expect([first.asked.length, second.asked.length]).toEqual([2, 3]);
  },
);

test("a settlement goes on to the next one only where it cannot have been sent", async () => {
  const [first, second] = [await newFacilitator(), await newFacilitator()];
  const { client } = clientOf(first, second);
  first.status = 401;
  expect(await client.settle(PAYMENT, REQUIREMENTS)).toMatchObject(SETTLED);
  for (const fault of [{ status: 500 }, { status: 502 }, { hangsUp: true }]) {
    Object.assign(first, { status: 200, hangsUp: false }, fault);
    const other = clientOf(first, second).client;
    await expect(other.settle(PAYMENT, REQUIREMENTS)).rejects.toThrow();
  }
  expect(second.asked).toEqual(["settle -"]);
  await first.close();
  expect(await clientOf(first, second).client.settle(PAYMENT, REQUIREMENTS)).toMatchObject(SETTLED);
});

test("a redirect is named and not followed: payment and credentials stay with the URL that was configured", async () => {
  const [second, target] = [await newFacilitator(), await newFacilitator()];
  const file = join(folder, "headers");
  writeFileSync(file, "X-Api-Key: secret\n");
  const server = fastify();
  server.all("/*", ({ url }, reply) => reply.redirect(`${target.url}${url}`, 308));
  const url = await server.listen({ port: 0, host: "127.0.0.1" });
  closers.push(() => server.close());
  const { client, lines } = clientOf({ url, headers: { kind: "file", file } }, second);
  expect(await client.settle(PAYMENT, REQUIREMENTS)).toMatchObject(SETTLED);
  expect([target.asked, second.asked]).toEqual([[], ["settle -"]]);
  expect(lines).toEqual([
    `facilitator ${url}: settle failed (308): expected an answer, found a redirect to ${target.url}; name the URL that answers; left out for 30 s`,
  ]);
});

test("a page of HTML, an empty answer and one without end are no verification, and no settlement that another may make", async () => {
  const second = await newFacilitator();
  const server = fastify({ forceCloseConnections: true });
  let body = "";
  server.all("/*", (_request, reply) => reply.header("content-type", "text/html").send(body));
  const url = await server.listen({ port: 0, host: "127.0.0.1" });
  closers.push(() => server.close());
  for (const [found, shown] of [
    ["<!doctype html>\n<title>Sign in</title>", "found <!doctype html> <title>Sign in</title>"],
    ["", "found an empty answer"],
    ['{"isValid":"yes","success":"yes"}', 'found {"isValid":"yes"'],
    ["x".repeat(2_000_000), "expected an answer of at most 1048576 bytes, found more"],
  ] as const) {
    body = found;
    const { client, lines } = clientOf({ url }, second);
    expect(await client.verify(PAYMENT, REQUIREMENTS)).toMatchObject({ isValid: true });
    expect(lines[0]).toContain(shown);
    await expect(clientOf({ url }, second).client.settle(PAYMENT, REQUIREMENTS)).rejects.toThrow(shown);
  }
  expect(second.asked.filter((line) => line.startsWith("settle"))).toEqual([]);
});

test("what a facilitator decides is final: no other is asked for a better answer", async () => {
  const [first, second] = [await newFacilitator(), await newFacilitator()];
  const server = fastify();
  server.post("/verify", (_request, reply) =>
    reply.code(400).send({ isValid: false, invalidReason: "no_money" }),
  );
  const url = await server.listen({ port: 0, host: "127.0.0.1" });
  closers.push(() => server.close());
  await expect(clientOf({ url }, second).client.verify(PAYMENT, REQUIREMENTS)).rejects.toThrow("no_money");
  expect([first.asked, second.asked]).toEqual([[], []]);
});

test("when all of them are away the error is the last one's, and the first that is back is used", async () => {
  const [first, second] = [await newFacilitator(), await newFacilitator()];
  Object.assign(first, { status: 503 });
  Object.assign(second, { status: 500 });
  const { client } = clientOf(first, second);
  await expect(client.getSupported()).rejects.toThrow("(500)");
  second.status = 200;
  expect(await client.verify(PAYMENT, REQUIREMENTS)).toMatchObject({ isValid: true });
});

test("each has its own headers: a file's are read again when it changed, a command's made anew when they were refused", async () => {
  const [first, second] = [await newFacilitator(), await newFacilitator()];
  const file = join(folder, "headers");
  writeFileSync(file, "Authorization: Bearer one\n[settle]\nAuthorization: Bearer settles\n");
  const count = join(folder, "count");
  const command = `printf x >> ${count}; echo "Authorization: $(wc -c < ${count} | tr -d ' ')"`;
  const { client, clock } = clientOf(
    { url: first.url, headers: { kind: "file", file } },
    { url: second.url, headers: { kind: "command", command } },
  );
  await client.verify(PAYMENT, REQUIREMENTS);
  await client.settle(PAYMENT, REQUIREMENTS);
  writeFileSync(file, "Authorization: Bearer two\n");
  utimesSync(file, 1, 1);
  await client.verify(PAYMENT, REQUIREMENTS);
  expect(first.asked).toEqual(["verify Bearer one", "settle Bearer settles", "verify Bearer two"]);
  first.status = 503;
  await client.verify(PAYMENT, REQUIREMENTS);
  second.status = 401;
  await expect(client.verify(PAYMENT, REQUIREMENTS)).rejects.toThrow("(401)");
  second.status = 200;
  clock.nowMs = 0;
  await client.verify(PAYMENT, REQUIREMENTS);
  expect(second.asked.filter((line) => line.startsWith("verify"))).toEqual([
    "verify 1",
    "verify 1",
    "verify 2",
  ]);
});

test("a settlement whose own headers cannot be made was not sent: the next one is asked", async () => {
  const [first, second] = [await newFacilitator(), await newFacilitator()];
  const file = join(folder, "headers");
  writeFileSync(file, "Authorization: Bearer one\n");
  const { client, lines } = clientOf({ url: first.url, headers: { kind: "file", file } }, second);
  writeFileSync(file, "half a li");
  utimesSync(file, 1, 1);
  expect(await client.settle(PAYMENT, REQUIREMENTS)).toMatchObject(SETTLED);
  expect([first.asked, second.asked]).toEqual([[], ["settle -"]]);
  expect(lines[0]).toContain(`${file}: line 1: expected "Name: value"`);
});

test("headers that are none are named by their line, never by their value", () => {
  const file = join(folder, "headers");
  writeFileSync(file, "# of the seller\nAuthorization Bearer secret\n");
  const open = () => clientOf({ url: "http://127.0.0.1:1", headers: { kind: "file", file } });
  expect(open).toThrow(
    `${file}: line 2: expected "Name: value" or [verify], [settle], [supported], found 27 other characters`,
  );
  chmodSync(file, 0o600);
  writeFileSync(file, "X-Key: a\u0000b");
  expect(open).toThrow("NUL");
});

test("facilitators and headers that cannot be meant are refused in one line each", async () => {
  const refused: [string[], string][] = [
    [["--facilitator", "ftp://x"], "expected an http or https URL without a user"],
    [
      ["--facilitator-headers", "https://x.example"],
      "expected https://facilitator.example=FILE, or =!COMMAND",
    ],
    [
      ["--facilitator", "https://x.example/v2", "--facilitator-headers", "https://y.example=f"],
      "--facilitator-headers: expected the origin of a --facilitator, found https://y.example",
    ],
  ];
  const needed = [
    "seller",
    "--rpc",
    "http://127.0.0.1:1",
    "--data",
    folder,
    "--token",
    `0x${"11".repeat(20)}`,
  ];
  const env = { ...process.env, WATT402_RECEIVER_KEY: `0x${"11".repeat(32)}` };
  const found = await Promise.all(
    refused.map(([flags]) =>
      promisify(execFile)(process.execPath, [LAUNCHER, ...needed, ...flags], { env }).catch(
        ({ code, stderr }: { code: number; stderr: string }) => `${code} ${stderr}`,
      ),
    ),
  );
  for (const [index, [, line]] of refused.entries()) expect(found[index]).toContain(line);
});
