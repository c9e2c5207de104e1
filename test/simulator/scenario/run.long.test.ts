/** A scenario with everything in it, on real sockets and processes. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { planRun } from "#simulator/run-plan";
import { endRuns, evening, expectSound, RUN_MS, run } from "../evening.ts";
import { documentOf } from "../process.ts";

const home = mkdtempSync(join(tmpdir(), "watt402-scenario-run-"));
afterAll(() => rmSync(home, { recursive: true }));
afterEach(endRuns);

const EVERYTHING = `
title = "Everything at once"
story = "For a test."

[run]
lights = 7
minutes = 8
speed = 60
interval_seconds = 60

[[group]]
name = "thief"
count = 1

[[group]]
name = "replayer"
count = 1

[[group]]
name = "spender"
count = 1

[[group]]
name = "forger"
count = 1

[[group]]
name = "poor"
count = 1
daily_budget_atomic = 400

[[stage]]
name = "past the meter"
at_minute = 0
for_minutes = 7
do = "cheat"
cheat = "bypass-meter"
group = "thief"

[[stage]]
name = "again"
at_minute = 0
for_minutes = 7
do = "cheat"
cheat = "replay-frames"
group = "replayer"

[[stage]]
name = "twice"
at_minute = 0
for_minutes = 7
do = "cheat"
cheat = "double-spend"
group = "spender"

[[stage]]
name = "badly"
at_minute = 0
for_minutes = 3
do = "cheat"
cheat = "bad-signatures"
group = "forger"

[[stage]]
name = "storm"
at_minute = 1
do = "drop-connections"

[[stage]]
name = "dear"
at_minute = 1.5
for_minutes = 2
do = "price"
factor = 4

[[stage]]
name = "no seller"
at_minute = 4
for_minutes = 1
do = "stop-seller"

[[stage]]
name = "no gateway"
at_minute = 6
for_minutes = 0.5
do = "stop-gateway"
`;

test(
  "an evening of storms, outages, dear power and cheaters is conserved, and reported in the result and on a page",
  async () => {
    const file = join(home, "everything.toml");
    const page = join(home, "everything.html");
    writeFileSync(file, EVERYTHING);
    const started = run("--scenario", file, "--report", page);
    await evening(started);
    const result = await documentOf(started);
    expect(await started.ended).toBe(0);
    expectSound(result, 7);
    expect(result.scenario).toBe("everything");
    expect(result.stages.map(({ minute, name, lights }) => [minute, name, lights])).toEqual([
      [0, "past the meter", 1],
      [0, "again", 1],
      [0, "twice", 1],
      [0, "badly", 1],
      [1, "storm", 7],
      [1.5, "dear", 0],
      [4, "no seller", 0],
      [6, "no gateway", 0],
    ]);
    const cheats = new Map(result.cheats.map((cheat) => [cheat.cheat, cheat]));
    for (const kind of ["replay-frames", "double-spend", "bad-signatures"] as const) {
      expect(cheats.get(kind)!.frames).toBeGreaterThan(0);
      expect(cheats.get(kind)!.gainedMilliwattHours).toBe(0);
    }
    // Seven tenths of a lamp of 30 W or more for some of seven minutes, and the one feeder it hangs on.
    const gained = cheats.get("bypass-meter")!.gainedMilliwattHours;
    expect(gained).toBeGreaterThan(700);
    const { lights } = planRun({ scenario: file, scheme: "batch-settlement" }).city;
    const { groups } = planRun({ scenario: file, scheme: "batch-settlement" });
    const thief = lights.find(({ name }) => groups.get(name) === "thief")!;
    for (const feeder of result.feeders.suspected) expect(feeder).toBe(thief.feeder);
    expect(result.feeders.missingMilliwattHours).toBeGreaterThan(gained - 7 * 1_000);
    // The poor light is dark at the end; the others have recovered.
    expect(result.atEnd.starved).toBe(1);
    expect(result.atEnd.offline).toBe(0);
    const html = readFileSync(page, "utf8");
    expect(html).toContain("<h1>Everything at once</h1>");
    expect(html).toContain("Conserved: every counter agrees to the last atomic unit.");
    // Four times $0.20, as the seller asked it in the lights' own time.
    expect(html).toContain('"price $0.80"');
    expect(html).toContain("bypass meter");
  },
  RUN_MS,
);
