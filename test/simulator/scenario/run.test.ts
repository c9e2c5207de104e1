/** A scenario with everything in it, on real sockets and processes; and what keeps one from beginning. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, test } from "vitest";
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

describe("a run is planned", () => {
  const plan = (flags: Record<string, unknown>) => {
    const planned = planRun({ scheme: "batch-settlement", ...flags });
    planned.release();
    return planned;
  };

  it("by the command line before the scenario before the defaults", () => {
    const file = join(home, "few.toml");
    writeFileSync(file, 'title = "T"\nstory = "S"\n[run]\nlights = 7\nminutes = 3\n');
    const { city, minutes, speed } = plan({ scenario: file, lights: 4 });
    expect([city.lights.length, minutes, speed]).toEqual([4, 3, 60]);
    expect(plan({}).city.lights).toHaveLength(25);
  });

  it("with the scenario's prices in the seller's tariff", () => {
    const { prices, tariff, epochSeconds } = plan({ scenario: "price-spike" });
    expect(tariff).toMatch(/^csv:/);
    expect([0, 4, 9.9, 10, 16].map((minute) => prices!.priceAt(epochSeconds + 60 * minute))).toEqual([
      200_000, 1_000_000, 1_000_000, 200_000, 6_000_000,
    ]);
  });

  it("from an inventory with the columns given, nearest to its middle", () => {
    const file = join(home, "lights.csv");
    writeFileSync(file, "nr;b;l;p\na;52.5;13.4;70\nb;52.6;13.4;70\nc;52.51;13.4;70\n");
    const columns = { name: "nr", latitude: "b", longitude: "l", watts: "p" };
    const { city } = plan({ city: file, columns, lights: 2 });
    expect(city.lights.map(({ name }) => name)).toEqual(["c", "a"]);
    expect(city.lights[0]!.lamp.ratedMilliwatts).toBe(70_000);
  });

  it.each([
    [{ scenario: "tsunami" }, /^scenario: expected a file or one of budget-exhaustion, .*, found "tsunami"$/],
    [
      { scenario: "seller-outage", seller: "http://127.0.0.1:1" },
      'scenario seller-outage: stage "no seller" needs a seller started here; leave out --seller',
    ],
    [
      { scenario: "seller-outage", minutes: 5 },
      'scenario seller-outage: stage "no seller" begins at minute 6, found an evening of 5; use more --minutes',
    ],
    [
      { scenario: "cheaters", lights: 3 },
      'group "bad-signers": expected 1 lights, found 0 of 3 not in a group before; use more lights or smaller groups',
    ],
    [{ city: "nowhere.csv" }, "city nowhere.csv: expected a seed or a .csv or .geojson file, found no file"],
  ])("and refused in one line: %j", (flags, complaint) => {
    expect(() => plan(flags)).toThrow(complaint);
  });
});
