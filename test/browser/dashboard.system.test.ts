// The dashboard in a real browser: clicks, keys, a phone's window, ten thousand lights; pictures under artifacts/.

import { mkdirSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Location } from "#gateway/telemetry/locations";
import { deviceName, openStage, type Stage } from "../gateway/http/fixtures.ts";

const PICTURES = "artifacts";
const WIDE = { width: 1440, height: 900 };
const PHONE = { width: 390, height: 844 };

let browser: Browser;
const stages: Stage[] = [];

beforeAll(async () => {
  mkdirSync(PICTURES, { recursive: true });
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
});
afterAll(async () => {
  await browser.close();
  await Promise.all(stages.map((stage) => stage.close()));
});

/** Streets of a town that is nowhere: rows along a bent river. */
function town(lights: number): ReadonlyMap<string, Location> {
  const streets = Math.max(4, Math.round(Math.sqrt(lights) / 2));
  const places = new Map<string, Location>();
  for (let i = 0; i < lights; i++) {
    const street = i % streets;
    const along = Math.floor(i / streets) / Math.ceil(lights / streets);
    const bend = Math.sin(along * 5 + street * 0.21) * 0.0025;
    places.set(deviceName(i), {
      name: `Street ${street + 1}, lamp ${Math.floor(i / streets) + 1}`,
      latitude: 52.5 + (street / streets) * 0.03 + bend,
      longitude: 13.4 + along * 0.07 + Math.cos(street * 0.5) * 0.003,
    });
  }
  return places;
}

async function evening(lights: number, places = town(lights)): Promise<Stage> {
  const stage = await openStage({ locations: places });
  stages.push(stage);
  for (let i = 0; i < lights; i++) stage.hello(i);
  for (let second = 0; second < 240; second++) {
    stage.pass(1);
    const share = Math.min(1, second / 150);
    for (let i = second % 24; i < lights; i += 24) {
      const isOn = (i * 7919) % 1000 < share * 1000;
      const watts = 30 + ((i * 37) % 9) * 15;
      stage.state(i, { levelPercent: isOn ? 100 : 0, powerMilliwatts: isOn ? watts * 1000 : 400 });
      if (isOn) stage.pay(i, 20_000 + ((i * 131) % 400) * 1000);
    }
    stage.fleet.sample();
  }
  for (let i = 3; i < lights; i += 211) {
    stage.state(i, { starved: true, levelPercent: 0, powerMilliwatts: 0, refusal: "deposit-exhausted" });
  }
  for (let i = 8; i < lights; i += 97) stage.tell({ type: "lost", device: deviceName(i) });
  return stage;
}

async function open(stage: Stage, viewport: typeof WIDE, colorScheme: "light" | "dark"): Promise<Page> {
  const page = await browser.newPage({ viewport, colorScheme, hasTouch: viewport === PHONE });
  const troubles: string[] = [];
  page.on("pageerror", (error) => troubles.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") troubles.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(stage.url) && !request.url().startsWith("data:")) {
      troubles.push(`asked for ${request.url()}`);
    }
  });
  await page.goto(stage.url);
  await page.getByText("live", { exact: true }).waitFor();
  await expect.poll(() => listed(page), { timeout: 20_000 }).toBeGreaterThan(0);
  await page.waitForTimeout(1_200);
  expect(troubles).toEqual([]);
  return page;
}

const listed = async (page: Page) => Number(await page.locator("#list").getAttribute("data-count"));

test.each([
  [25, WIDE, "dark", "wide"],
  [25, PHONE, "light", "phone"],
  [5_000, WIDE, "light", "wide"],
  [5_000, WIDE, "dark", "wide"],
  [5_000, PHONE, "dark", "phone"],
] as const)(
  "%i lights are drawn and nothing is fetched from elsewhere",
  async (lights, viewport, scheme, name) => {
    const stage = stages.find(({ fleet }) => fleet.lights.length === lights) ?? (await evening(lights));
    const page = await open(stage, viewport, scheme);
    stage.feed.tick();
    await page.screenshot({
      path: `${PICTURES}/dashboard-${lights}-${name}-${scheme}.png`,
      fullPage: name === "phone",
    });
    expect(await listed(page)).toBe(lights);
    const cluster = await page.locator("#cluster").textContent();
    expect(cluster).toBe("north (this one): 52 % of the fleet · south: 48 % of the fleet");
    // As many elements as fit, however many lights.
    expect(await page.locator(".row").count()).toBeLessThan(60);
    const overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
    expect(overflow).toBeLessThanOrEqual(0);
    await page.close();
  },
);

test("starved lights come first, and a click opens a light's life of payments", async () => {
  const stage = stages.find(({ fleet }) => fleet.lights.length === 25) ?? (await evening(25));
  const page = await open(stage, WIDE, "dark");
  const first = page.locator(".row").first();
  await expect.poll(() => first.textContent()).toContain("starved");
  await page.getByRole("option").nth(4).click();
  await page.locator("#light table tbody tr").first().waitFor();
  expect(page.url()).toMatch(/#\/light\/[0-9a-f]{40}$/);
  const device = page.url().slice(-40);
  const index = stage.fleet.light(device)!.index;
  stage.pay(index);
  await page.waitForTimeout(300);
  stage.pay(index);
  stage.feed.tick();
  await page.locator("#light .frames b", { hasText: "grant" }).first().waitFor();
  await page.waitForTimeout(300);
  await page.screenshot({ path: `${PICTURES}/light-wide-dark.png` });
  await page.keyboard.press("Escape");
  await page.locator("#light").waitFor({ state: "hidden" });
  await page.close();
});

test("a seller that does not sell is shown with its reason, and a light says whom it buys from", async () => {
  const stage = stages.find(({ fleet }) => fleet.lights.length === 25) ?? (await evening(25));
  const [grid] = stage.sellers;
  const reason = "ECONNREFUSED 10.0.0.7:443";
  stage.sellers.push({ ...grid!, name: "reserve", standing: "away", reason, pricePerMillionUnits: null });
  const page = await open(stage, WIDE, "dark");
  const rows = page.locator("#sellers li");
  await expect.poll(() => rows.count()).toBe(2);
  expect(await rows.first().textContent()).toContain("grid $0.20/kWh · 25 lights");
  expect(await rows.last().textContent()).toContain(`reserve no price yet · 0 lights · away: ${reason}`);
  await page.locator(".row").first().click();
  await page.locator("#light dl").first().waitFor();
  expect(await page.locator("#light dl").first().textContent()).toContain("Sellergrid");
  await page.screenshot({ path: `${PICTURES}/sellers-wide-dark.png` });
  stage.sellers.pop();
  await page.close();
});

test("everything is reached by keyboard: search, list, light, and back", async () => {
  const stage = stages.find(({ fleet }) => fleet.lights.length === 5_000) ?? (await evening(5_000));
  const page = await open(stage, PHONE, "light");
  await page.keyboard.press("/");
  await page.keyboard.type("street 7,");
  await expect.poll(() => listed(page)).toBeLessThan(200);
  expect(await listed(page)).toBeGreaterThan(20);
  await page.locator("#list").focus();
  await page.keyboard.press("End");
  await page.keyboard.press("ArrowUp");
  await expect.poll(() => page.locator(".row[aria-selected=true]").count()).toBe(1);
  await page.keyboard.press("Enter");
  await page.locator("#light h1").waitFor();
  await page.screenshot({ path: `${PICTURES}/light-phone-light.png` });
  await page.keyboard.press("Escape");
  await page.locator("#light").waitFor({ state: "hidden" });
  await page.close();
});

test("a change is seen within a second, without a reload", async () => {
  const stage = stages.find(({ fleet }) => fleet.lights.length === 25) ?? (await evening(25));
  const page = await open(stage, WIDE, "light");
  const before = stage.fleet.summary().lights.lost;
  const lit = stage.fleet.lights.find(({ condition }) => condition === "lit")!;
  stage.tell({ type: "lost", device: lit.device });
  stage.feed.tick();
  const lost = page.locator(".figure", { hasText: "Lost" }).locator("dd");
  await expect.poll(() => lost.textContent(), { timeout: 1_000 }).toContain(String(before + 1));
  await page.getByRole("button", { name: /^lost/ }).click();
  await expect.poll(() => listed(page)).toBe(before + 1);
  await page.close();
});

test("ten thousand lights scroll and live on a grid, and a frame stays short", async () => {
  const stage = await evening(10_000, new Map());
  const page = await open(stage, WIDE, "dark");
  const longest = await page.evaluate(`(async () => {
    const list = document.querySelector("#list");
    let [longestMs, before] = [0, performance.now()];
    for (let i = 0; i < 60; i++) {
      list.scrollTop += 4000;
      await new Promise((resolve) => requestAnimationFrame(resolve));
      longestMs = Math.max(longestMs, performance.now() - before);
      before = performance.now();
    }
    return longestMs;
  })()`);
  await page.screenshot({ path: `${PICTURES}/dashboard-10000-grid.png` });
  expect(longest).toBeLessThan(1_000);
  expect(await page.locator(".row").count()).toBeLessThan(60);
  await page.close();
});
