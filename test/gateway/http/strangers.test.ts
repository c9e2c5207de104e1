// Pages of other sites, guesses and greedy viewers: none of them reaches what an operator needs.

import { request } from "node:http";
import { afterEach, expect, test } from "vitest";
import { VIEWERS_MAX } from "#gateway/http/feed";
import { openStage, type Stage } from "./fixtures.ts";

const TOKEN = "a-token-that-is-long-enough";
const stages: Stage[] = [];
const leaving: (() => void)[] = [];
afterEach(async () => {
  for (const leave of leaving.splice(0)) leave();
  await Promise.all(stages.splice(0).map((stage) => stage.close()));
});

async function staged(token: string | null = null): Promise<Stage> {
  const stage = await openStage({ token });
  stages.push(stage);
  return stage;
}

/** The status, and the header lines, of a request with whatever headers; the live feed's stays open. */
function ask(url: string, headers: Record<string, string>, method = "GET", body = "") {
  return new Promise<{ status: number; cookie: string; first: string }>((resolve, reject) => {
    const asked = request(url, { method, headers, setHost: false }, (response) => {
      leaving.push(() => response.destroy());
      const answer = (first: string) => {
        const cookie = String(response.headers["set-cookie"] ?? "");
        resolve({ status: response.statusCode!, cookie, first });
      };
      response.once("data", (chunk: Buffer) => answer(chunk.toString().split("\n")[0]!));
      response.once("end", () => answer(""));
    });
    asked.once("error", reject);
    asked.end(body);
  });
}

const hostOf = ({ url }: Stage) => new URL(url).host;

test("a page of another site gets no place of the live feed, and nothing else: by its origin, or by what the browser says of it", async () => {
  const stage = await staged();
  const host = hostOf(stage);
  const foreign: Record<string, string>[] = [
    { host, origin: "https://evil.example" },
    { host, origin: "null" },
    { host, origin: "http://localhost:1" },
    { host, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image" },
    { host, "sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty" },
    { host, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe" },
  ];
  for (let count = 0; count < VIEWERS_MAX + 6; count += 1) {
    const { status } = await ask(`${stage.url}/api/v1/events`, foreign[count % foreign.length]!);
    expect(status, JSON.stringify(foreign[count % foreign.length])).toBe(403);
  }
  expect(stage.feed.viewers).toBe(0);
  const own = { host, origin: stage.url, "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors" };
  expect((await ask(`${stage.url}/api/v1/events`, own)).first).toBe("event: fleet");
  const link = {
    host,
    "sec-fetch-site": "cross-site",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
  };
  expect((await ask(`${stage.url}/`, link)).status).toBe(200);
});

test.each([null, TOKEN])(
  "a request whose Host is empty is refused, with a token (%s) or without",
  async (token) => {
    const stage = await staged(token);
    const authorization = `Bearer ${TOKEN}`;
    for (const host of ["", " ", ":80"]) {
      expect((await ask(`${stage.url}/api/v1/fleet`, { host, authorization })).status, host).toBe(403);
    }
    expect((await ask(`${stage.url}/livez`, { host: "anything.example" })).status).toBe(200);
  },
);

test("tokens are guessed ten at a time, then one in five seconds", async () => {
  const stage = await staged(TOKEN);
  const headers = { host: hostOf(stage), "content-type": "application/x-www-form-urlencoded" };
  const statuses: number[] = [];
  for (let guess = 0; guess < 12; guess += 1) {
    statuses.push((await ask(`${stage.url}/login`, headers, "POST", `token=guess-${guess}`)).status);
  }
  expect(statuses.slice(0, 10)).toEqual(Array(10).fill(401));
  expect(statuses.at(-1)).toBe(429);
});

test("the cookie is for TLS alone where the browser speaks TLS to a proxy", async () => {
  const stage = await staged(TOKEN);
  const host = hostOf(stage);
  const form = { host, "content-type": "application/x-www-form-urlencoded" };
  const logIn = async (headers: Record<string, string>) =>
    (await ask(`${stage.url}/login`, { ...form, ...headers }, "POST", `token=${TOKEN}`)).cookie;
  expect(await logIn({})).toMatch(/; HttpOnly; SameSite=Strict$/);
  expect(await logIn({ origin: `https://${host}` })).toMatch(/; HttpOnly; SameSite=Strict; Secure$/);
  expect(await logIn({ "x-forwarded-proto": "https" })).toMatch(/; Secure$/);
});

test("one address takes half of the live feed's places at most, and gives them back", async () => {
  const stage = await staged();
  const headers = { host: hostOf(stage) };
  const firsts: string[] = [];
  for (let count = 0; count < VIEWERS_MAX; count += 1) {
    firsts.push((await ask(`${stage.url}/api/v1/events`, headers)).first);
  }
  expect(firsts.filter((first) => first === "event: fleet")).toHaveLength(VIEWERS_MAX / 2);
  expect(firsts.at(-1)).toBe("event: full");
});
