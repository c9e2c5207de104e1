/** Reports of worlds, in a real browser: an evening by scenario, a night of faults, a city; light, dark and on a phone. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ReportModel } from "#simulator/report/report-model";
import { writeReport } from "#simulator/report/write-report";
import { drawnTown } from "#simulator/world/fast/drawn-town";
import { runFastCity } from "#simulator/world/fast/fast-city";
import { CitySampler } from "#simulator/world/fast/fast-samples";
import { buildCityReport } from "#simulator/world/run/city-report";
import { runObservedWorld } from "#simulator/world/run/scenario-run";

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);
const ARTIFACTS = fileURLToPath(new URL("../../../artifacts/", import.meta.url));
const CONTRAST = readFileSync(new URL("contrast.js", import.meta.url), "utf8").replace(/^\/\/.*$/m, "");
/** WCAG 2.2, 1.4.3. */
const LEAST_CONTRAST = 4.5;
const CITY_LIGHTS = 5_000;
const LOOKS_OVER_CITY = 140;

const LOOKS = [
  { name: "light", colorScheme: "light", viewport: { width: 1280, height: 900 } },
  { name: "dark", colorScheme: "dark", viewport: { width: 1280, height: 900 } },
  { name: "phone", colorScheme: "dark", viewport: { width: 360, height: 780 } },
] as const;
const PAGES = ["scenario", "misfortune", "city"] as const;

const OPTIONS = { seed: 5, lights: 8, nights: 1, signing: "stand-in" } as const;

function cityOf(): ReportModel {
  const town = drawnTown(1, 1);
  const look = new CitySampler(LOOKS_OVER_CITY, town.endMs);
  const { sums, lights } = runFastCity(town, 0, CITY_LIGHTS, look);
  const run = { seed: 1, nights: 1, lights: CITY_LIGHTS, request: null, wallMs: 1, command: "again" };
  const observed = { lights, looks: look.looks };
  return buildCityReport(run, [{ kind: "city", from: 0, to: CITY_LIGHTS, sums, observed }], LOOKS_OVER_CITY)!;
}

describe("what worlds tell, in a browser", () => {
  const home = mkdtempSync(join(tmpdir(), "watt402-world-page-"));
  let browser: Browser;

  beforeAll(async () => {
    mkdirSync(ARTIFACTS, { recursive: true });
    const request = { flags: { scenario: "cheaters" }, nights: 1 };
    const scenario = await runObservedWorld({ ...OPTIONS, faults: "none" }, request, "again");
    const misfortune = await runObservedWorld({ ...OPTIONS, faults: "all" }, null, "again");
    const stories = { scenario: scenario.model, misfortune: misfortune.model, city: cityOf() };
    for (const page of PAGES) writeReport(join(home, `${page}.html`), stories[page]);
    // The container's root may not make namespaces; the page is our own.
    browser = await chromium.launch({ executablePath: CHROMIUM ?? "chromium", args: ["--no-sandbox"] });
  }, 240_000);
  afterAll(async () => {
    await browser?.close();
    rmSync(home, { recursive: true });
  });

  it.each(PAGES.flatMap((page) => LOOKS.map((look) => ({ page, look, name: look.name }))))(
    "asks for nothing, complains of nothing, fits and can be read: $page, $name",
    async ({ page: name, look }) => {
      const url = pathToFileURL(join(home, `${name}.html`)).href;
      const complaints: string[] = [];
      const page = await browser.newPage({ colorScheme: look.colorScheme, viewport: look.viewport });
      page.on("console", (message) => complaints.push(message.text()));
      page.on("pageerror", (error) => complaints.push(error.message));
      page.on("request", (request) => {
        if (request.url() !== url) complaints.push(`asks for ${request.url()}`);
      });
      await page.goto(url);
      await page.screenshot({ path: join(ARTIFACTS, `world-${name}-${look.name}.png`), fullPage: true });
      const width = await page.evaluate<number>("document.documentElement.scrollWidth");
      await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true");
      const faint = await page.evaluate<string[]>(`(${CONTRAST.replace(/;\s*$/, "")})(${LEAST_CONTRAST})`);
      expect(complaints).toEqual([]);
      expect(width).toBeLessThanOrEqual(look.viewport.width);
      expect(faint).toEqual([]);
      await page.close();
    },
    60_000,
  );

  it("shows the faults that struck and, unfolded, those that never did", async () => {
    const page = await browser.newPage();
    await page.goto(pathToFileURL(join(home, "misfortune.html")).href);
    const faults = page.locator("section[aria-labelledby=h-faults]");
    expect(await faults.locator("tbody tr").count()).toBeGreaterThan(10);
    const never = faults.locator("ul.never li");
    expect(await never.first().isVisible()).toBe(false);
    await faults.locator("summary").nth(1).click();
    expect(await never.first().isVisible()).toBe(true);
    await page.close();
  });
});
