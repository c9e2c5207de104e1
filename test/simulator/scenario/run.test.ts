/** What a scenario makes of a run, and what keeps one from beginning. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { planRun } from "#simulator/run-plan";
import { endRuns } from "../evening.ts";

const home = mkdtempSync(join(tmpdir(), "watt402-scenario-run-"));
afterAll(() => rmSync(home, { recursive: true }));
afterEach(endRuns);

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
