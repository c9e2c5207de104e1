/** The report in a real browser: readable light, dark and on a phone, by keyboard, without a network. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeReport } from "#simulator/report/write-report";
import { evening } from "./evening.ts";

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);
const ARTIFACTS = fileURLToPath(new URL("../../../artifacts/", import.meta.url));
/** An expression of the page's own language. */
const CONTRAST = readFileSync(new URL("contrast.js", import.meta.url), "utf8").replace(/^\/\/.*$/m, "");
/** WCAG 2.2, 1.4.3. */
const LEAST_CONTRAST = 4.5;

const LOOKS = [
  { name: "light", colorScheme: "light", viewport: { width: 1280, height: 900 } },
  { name: "dark", colorScheme: "dark", viewport: { width: 1280, height: 900 } },
  { name: "phone", colorScheme: "dark", viewport: { width: 360, height: 780 } },
] as const;

describe("a report in a browser", () => {
  const home = mkdtempSync(join(tmpdir(), "watt402-page-"));
  const url = pathToFileURL(join(home, "evening.html")).href;
  let browser: Browser;

  beforeAll(async () => {
    mkdirSync(ARTIFACTS, { recursive: true });
    const long = "A street whose name is much longer than anybody would like to read on a telephone";
    const story = evening();
    writeReport(join(home, "evening.html"), {
      ...story,
      feeders: story.feeders.map((feeder) => ({ ...feeder, name: `${feeder.name}, ${long}` })),
    });
    // The container's root may not make namespaces; the page is our own.
    browser = await chromium.launch({ executablePath: CHROMIUM ?? "chromium", args: ["--no-sandbox"] });
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(home, { recursive: true });
  });

  async function open(look: (typeof LOOKS)[number], complaints: string[] = []): Promise<Page> {
    const page = await browser.newPage({ colorScheme: look.colorScheme, viewport: look.viewport });
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("request", (request) => {
      if (request.url() !== url) complaints.push(`asks for ${request.url()}`);
    });
    await page.goto(url);
    return page;
  }

  it.each(LOOKS)("asks for nothing, complains of nothing and fits its window: $name", async (look) => {
    const complaints: string[] = [];
    const page = await open(look, complaints);
    await page.screenshot({ path: join(ARTIFACTS, `report-${look.name}.png`), fullPage: true });
    const width = await page.evaluate<number>("document.documentElement.scrollWidth");
    expect(complaints).toEqual([]);
    expect(width).toBeLessThanOrEqual(look.viewport.width);
    await page.close();
  });

  it.each(LOOKS)("keeps every text readable against what is behind it: $name", async (look) => {
    const page = await open(look);
    await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true");
    const faint = await page.evaluate<string[]>(`(${CONTRAST.replace(/;\s*$/, "")})(${LEAST_CONTRAST})`);
    expect(faint).toEqual([]);
    await page.close();
  });

  it("is read by keyboard: skip link, then chart by chart, value by value", async () => {
    const page = await open(LOOKS[0]);
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to the evening");
    const power = page.locator(".power .plot");
    await power.focus();
    await page.keyboard.press("End");
    const readout = page.locator(".power .readout");
    expect(await readout.textContent()).toBe("22:00  power 400\u00a0W");
    await page.keyboard.press("Home");
    for (let step = 0; step < 25; step++) await page.keyboard.press("ArrowRight");
    expect(await readout.textContent()).toBe("21:25  power 0\u00a0W");
    expect(await power.getAttribute("aria-valuetext")).toBe("21:25: power 0\u00a0W");
    expect(await page.locator(".trouble .readout").textContent()).toBe(
      "21:25  starved 10 lights, without connection 3 lights",
    );
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.closest('figure').dataset.chart")).toBe("price");
    await page.close();
  });

  it("is read by pointer, and quiet when it leaves", async () => {
    const page = await open(LOOKS[0]);
    const plot = page.locator(".price .plot");
    await plot.scrollIntoViewIfNeeded();
    const box = (await plot.boundingBox())!;
    await page.mouse.move(box.x + box.width * 0.75, box.y + 20);
    expect(await page.locator(".price .readout").textContent()).toBe("21:45  price $1.00");
    await page.screenshot({ path: join(ARTIFACTS, "report-pointer.png") });
    await page.mouse.move(2, 2);
    expect(await page.locator(".price .readout").textContent()).toBe("");
    await page.close();
  });

  it("keeps all its numbers without a script", async () => {
    const page = await browser.newPage({ javaScriptEnabled: false });
    await page.goto(url);
    expect(await page.locator(".tiles strong").first().textContent()).toBe("$0.060000");
    expect(await page.locator("figure.chart svg path").count()).toBeGreaterThan(5);
    expect(await page.locator("svg.map circle, svg.map .cheated").count()).toBe(10);
    await page.close();
  });
});
