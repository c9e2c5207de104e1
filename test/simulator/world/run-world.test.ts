/** The sub-command, as a user meets it. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it, vi } from "vitest";
import { runWorld } from "#simulator/world/run/run-world";
import { worldLines } from "#simulator/world/run/world-report";
import { expectSound } from "../evening.ts";

const PROGRAM = fileURLToPath(new URL("../../../simulator/watt402-simulate.mjs", import.meta.url));

const home = mkdtempSync(join(tmpdir(), "watt402-run-world-"));
afterAll(() => rmSync(home, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function run(args: readonly string[], begun?: (child: ChildProcess) => void): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [PROGRAM, "world", ...args]);
    let [out, err] = ["", ""];
    child.stdout.on("data", (bytes) => {
      out += bytes;
    });
    child.stderr.on("data", (bytes) => {
      err += bytes;
    });
    child.on("close", (code) => resolve({ code, out, err }));
    begun?.(child);
  });
}

/** The same without a process of its own, which takes longest to start. */
async function runHere(args: readonly string[]): Promise<Ended> {
  let [out, err] = ["", ""];
  const stdout = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += String(text);
    return true;
  });
  const stderr = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    err += String(text);
    return true;
  });
  try {
    return { code: await runWorld([...args, "--workers", "1"]), out, err };
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
  }
}

describe("watt402-simulate world", () => {
  it("prints one JSON document, the same for any number of workers", async () => {
    const args = ["--seeds", "3", "--lights", "1", "--json", "--workers"];
    const [alone, together] = await Promise.all([run([...args, "1"]), run([...args, "2"])]);
    const [first, second] = [JSON.parse(alone.out), JSON.parse(together.out)];
    expect(alone.code).toBe(0);
    expect(first).toMatchObject({ seeds: 3, lights: 1, violations: [], conserved: true });
    expect(first.faultKinds.neverFired.length + Object.keys(first.faultKinds.fired).length).toBeGreaterThan(
      50,
    );
    expect(first.events).toBeGreaterThan(1000);
    expect(second.traceHash).toBe(first.traceHash);
    for (const member of ["wallMs", "peakMiB"]) expect(first[member]).toBeGreaterThan(0);
  });

  it("conserves a city without faults exactly", async () => {
    const { code, out } = await run(["--lights", "1500", "--faults", "none", "--json"]);
    expect(code).toBe(0);
    const report = JSON.parse(out);
    expect(report).toMatchObject({ lights: 1500, conserved: true, violations: [] });
    expect(report.purchases).toBeGreaterThan(50_000);
  });

  it("plays a scenario: its counters as a fleet reports them, and a page that can be read", async () => {
    const page = join(home, "outage.html");
    const args = ["--scenario", "seller-outage", "--lights", "8", "--json", "--report", page];
    const { code, out } = await runHere(args);
    expect(code).toBe(0);
    const report = JSON.parse(out);
    expect(report).toMatchObject({ seeds: 1, lights: 8, violations: [], conserved: true });
    const [evening] = report.evenings;
    expectSound(evening, 8);
    expect(evening.stages).toEqual([{ minute: 6, name: "no seller", lights: 0 }]);
    const lines = worldLines(report).join("\n");
    expect(lines).toMatch(/^1 world of 8 lights: /);
    expect(lines).toContain("Conserved: every counter agrees to the last atomic unit.");
    expect(lines).toContain("no fault struck");
    const html = readFileSync(page, "utf8");
    expect(html).toContain("<h1>Seller outage</h1>");
    expect(html).toContain(
      "npx watt402-simulate world --seed 1 --scenario seller-outage --lights 8 --faults none",
    );
  });

  it("reports a drawn night with its faults, and the violations and faults of all worlds", async () => {
    const page = join(home, "night.html");
    const { code, out } = await runHere(["--seeds", "2", "--lights", "2", "--json", "--report", page]);
    expect(code).toBe(0);
    const html = readFileSync(page, "utf8");
    const { fired, neverFired } = JSON.parse(out).faultKinds;
    expect(html).toContain("The first of 2 worlds");
    expect(html).toContain(`${Object.keys(fired).length} kinds of faults struck`);
    for (const kind of neverFired) expect(html).toContain(`<li>${kind.replaceAll("-", " ")}</li>`);
  });

  it("takes a city by its inventory through a night at once, all of its lights, and shows where they stand", async () => {
    const file = join(home, "lights.csv");
    const page = join(home, "city.html");
    const rows = Array.from({ length: 400 }, (_, at) => `l${at},${47 + at / 1e5},${8 + (at % 20) / 1e4},60`);
    writeFileSync(file, ["nr,b,l,p", ...rows].join("\n"));
    const columns = ["--columns", "name=nr,latitude=b,longitude=l,watts=p"];
    const args = ["--city", file, ...columns, "--faults", "none", "--tariff", "flat:310000"];
    const { code, out } = await runHere([...args, "--json", "--report", page]);
    expect(code).toBe(0);
    const report = JSON.parse(out);
    expect(report).toMatchObject({ lights: 400, conserved: true, violations: [] });
    expect(report.purchases).toBeGreaterThan(400 * 20);
    const html = readFileSync(page, "utf8");
    expect(html).toContain("400 lights, lights.csv");
    expect(html).toContain('"price $0.31"');
    expect(html).not.toMatch(/NaN|Infinity|undefined/);
  });

  it("says in one line what is wrong with its flags", async () => {
    const cases: readonly [string[], RegExp][] = [
      [["--faults", "gremlins"], /expected all, none or kinds of loss, .*found "gremlins"/],
      [["--lights", "0"], /expected a whole number from 1 to/],
      [["--seed", "1", "--seeds", "2"], /expected --seed or --seeds, found both/],
      [
        ["--lights", "4", "--boards", "5"],
        /^world: --boards: expected at most the world.s 4 lights, found 5$/,
      ],
      [["--scenario", "tsunami"], /^world: scenario: expected a file or one of .*, found "tsunami"$/],
      [["--scenario", "cheaters", "--nights", "2"], /expected --minutes .*, found --nights/],
      [["--tariff", "flat:1"], /--tariff: expected --scenario or --city too, found neither/],
      [["--city", "none.csv"], /^world: city none.csv: expected a seed or a .csv or .geojson file/],
      [["--report", "/nowhere/at/all.html"], /^world: report .*: expected a folder that can be written to/],
    ];
    for (const [args, reported] of cases) {
      const { code, out, err } = await runHere(args);
      expect(code).toBe(1);
      expect(out).toBe("");
      expect(err.trim().split("\n")[0]).toMatch(reported);
    }
  });

  it("reports what was done so far when it is interrupted", async () => {
    const ended = await run(["--seeds", "5000", "--lights", "1", "--json"], (child) => {
      child.stderr!.once("data", () => child.kill("SIGINT"));
    });
    expect(ended.code).toBe(1);
    const report = JSON.parse(ended.out);
    expect(report.seeds).toBeGreaterThan(0);
    expect(report.seeds).toBeLessThan(5000);
    expect(report.violations).toEqual([]);
  });
});
