/** The scenarios that fleets play on real sockets, played in a world: the same stages, the same counters, the same outcome. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { pageOf } from "#simulator/report/page";
import { shippedScenarios } from "#simulator/scenario/open-scenario";
import type { FaultChoice } from "#simulator/world/engine/faults";
import { runFaults } from "#simulator/world/run/fault-run";
import { planWorldEvening } from "#simulator/world/run/scenario-plan";
import { type ObservedWorld, runObservedWorld } from "#simulator/world/run/scenario-run";
import { WorldScenarioRunner } from "#simulator/world/run/world-scenario-runner";
import { expectSound } from "../evening.ts";

const home = mkdtempSync(join(tmpdir(), "watt402-world-evening-"));
afterAll(() => rmSync(home, { recursive: true }));

function play(scenario: string, faults: FaultChoice = "none", seed = 1): Promise<ObservedWorld> {
  const options = { seed, lights: 0, nights: 1, faults, signing: "stand-in" } as const;
  return runObservedWorld(options, { flags: { scenario }, nights: 1 }, "again");
}

/** What each scenario is there to show. */
const SHOWN: Readonly<Record<string, (reported: ObservedWorld) => void>> = {
  "budget-exhaustion"({ result }) {
    expect(result.atEnd).toMatchObject({ lit: 30, starved: 10 });
  },
  cheaters({ result, model }) {
    const cheats = new Map(result.cheats.map((cheat) => [cheat.cheat, cheat]));
    for (const kind of ["replay-frames", "double-spend", "bad-signatures"] as const) {
      expect(cheats.get(kind)!.frames).toBeGreaterThan(0);
      expect(cheats.get(kind)!.gainedMilliwattHours).toBe(0);
    }
    const { gainedMilliwattHours: gained } = cheats.get("bypass-meter")!;
    expect(gained).toBeGreaterThan(10_000);
    expect(Math.abs(result.feeders.missingMilliwattHours - gained)).toBeLessThan(0.1 * gained);
    const thieves = model.lights.filter(({ group }) => group === "past-the-meter");
    expect(result.feeders.suspected.toSorted()).toEqual(
      [...new Set(thieves.map(({ feeder }) => feeder))].toSorted(),
    );
  },
  "gateway-restart"({ result, model }) {
    expect(Math.max(...model.samples.map(({ offline }) => offline))).toBe(30);
    expect(result.payments.resent).toBeGreaterThan(0);
    expect(result.atEnd).toMatchObject({ lit: 30, offline: 0 });
  },
  "price-spike"({ result, model }) {
    const prices = new Set(model.samples.map(({ pricePerMillionUnits }) => pricePerMillionUnits));
    expect(prices).toEqual(new Set([200_000, 1_000_000, 6_000_000]));
    const dark = model.samples.filter(({ minute, starved }) => minute >= 17 && minute <= 18 && starved > 0);
    expect(dark.length).toBeGreaterThan(0);
    expect(result.atEnd.lit).toBe(30);
  },
  "reconnect-storm"({ result }) {
    expect(result.stages.map(({ lights }) => lights)).toEqual([30, 60, 60, 60]);
    expect(result.atEnd).toMatchObject({ lit: 60, offline: 0 });
  },
  "seller-outage"({ result, model }) {
    const away = model.samples.filter(({ minute }) => minute > 8 && minute < 10);
    for (const { starved } of away) expect(starved).toBeGreaterThan(20);
    expect(result.payments.refused).toBeGreaterThan(0);
    expect(result.atEnd.lit).toBe(30);
  },
  "winter-night"({ result, model }) {
    expect(model.samples[0]!.lit).toBe(0);
    expect(Math.max(...model.samples.map(({ lit }) => lit))).toBe(40);
    const prices = model.samples.map(({ pricePerMillionUnits }) => pricePerMillionUnits!);
    expect(Math.min(...prices)).toBeLessThan(0.9 * Math.max(...prices));
    expect(result.starvedLightSeconds).toBe(0);
  },
};

describe("a shipped scenario in a world", () => {
  it.each(shippedScenarios().filter((name) => name in SHOWN))(
    "is conserved to the last atomic unit and shows what it is for: %s",
    {
      timeout: 180_000,
    },
    async (name) => {
      const reported = await play(name);
      const { outcome, result, model } = reported;
      expect(outcome.violation).toBeNull();
      const { city, scenario } = planWorldEvening({ flags: { scenario: name }, nights: 1 });
      expectSound(result, city.lights.length);
      expect(result.stages.map((stage) => stage.name)).toEqual(scenario.stages.map((stage) => stage.name));
      expect(outcome.money.charged).toBe(Number(result.amountAtomic!.charged));
      SHOWN[name]!(reported);
      const page = pageOf(model);
      expect(page).toContain("virtual time; the slowest hundredth");
      expect(page).not.toContain("✕");
    },
  );
});

it("machines of several units are refused by name: a world has one seller", () => {
  const request = { flags: { scenario: "machines" }, nights: 1 };
  expect(() => planWorldEvening(request)).toThrow(
    "expected streetlights, found ev-charger, compute, saas, road-data",
  );
});

describe("an evening in a world", () => {
  const file = join(home, "short.toml");
  writeFileSync(
    file,
    `title = "T"
story = "S"
[run]
lights = 6
minutes = 18
interval_seconds = 60
[[group]]
name = "some"
share = 0.5
[[stage]]
name = "storm"
at_minute = 2
do = "drop-connections"
group = "some"
[[stage]]
name = "no seller"
at_minute = 5
for_minutes = 3
do = "stop-seller"
`,
  );

  it("is the same from the same seed, and another from another", async () => {
    const [first, second, other] = [await play(file), await play(file), await play(file, "none", 2)];
    expect(second.outcome.traceHash).toBe(first.outcome.traceHash);
    expect({ ...second.result, wallMs: 0 }).toEqual({ ...first.result, wallMs: 0 });
    expect(other.outcome.traceHash).not.toBe(first.outcome.traceHash);
  });

  it("may have faults on top of its stages, and peace behind them", async () => {
    const { outcome, result, model } = await play(file, ["loss", "answer-lost", "gateway-killed"], 3);
    expect(outcome.violation).toBeNull();
    expect(result.conserved).toBe(true);
    expect([...outcome.fired.keys()]).toEqual(expect.arrayContaining(["loss", "answer-lost"]));
    expect(model.faults!.fired.length).toBeGreaterThanOrEqual(2);
    expect(model.faults!.neverFired).toContain("bit-flip");
  });

  it("has one seller and one gateway at a time, when outages overlap", async () => {
    const overlapping = join(home, "overlapping.toml");
    const stage = (kind: string, minute: number, minutes: number) =>
      `[[stage]]\nname = "${kind} ${minute}"\nat_minute = ${minute}\nfor_minutes = ${minutes}\ndo = "${kind}"\n`;
    const stages = ["stop-seller", "stop-gateway"].flatMap((kind) => [stage(kind, 3, 4), stage(kind, 5, 1)]);
    writeFileSync(
      overlapping,
      `title = "T"\nstory = "S"\n[run]\nlights = 4\nminutes = 14\n${stages.join("")}`,
    );
    const { outcome, result } = await play(overlapping);
    expect(outcome.violation).toBeNull();
    expectSound(result, 4);
    expect(result.atEnd).toMatchObject({ lit: 4, offline: 0 });
  });

  it("breaks L1, and reports it, when lights stay dark after the last stage", async () => {
    const end = vi.spyOn(WorldScenarioRunner.prototype, "end").mockImplementation(() => {});
    const { outcome, result, model } = await play(file).finally(() => end.mockRestore());
    expect(outcome.violation).toMatchObject({ invariant: "L1" });
    expect(result.conserved).toBe(false);
    expect(result.violations[0]).toMatchObject({ invariant: "L1", light: "world" });
    expect(pageOf(model)).toContain("Not conserved: 1 broken promises");
  });

  it("ends what its last stage left broken, and is checked over the evening alone", async () => {
    const broken = join(home, "broken.toml");
    writeFileSync(
      broken,
      'title = "T"\nstory = "S"\n[run]\nlights = 3\nminutes = 12\n[[stage]]\nname = "gone"\nat_minute = 4\nfor_minutes = 60\ndo = "stop-seller"\n',
    );
    const { outcome, result } = await play(broken);
    expect(outcome.violation).toBeNull();
    expectSound(result, 3);
    expect(result.atEnd.starved).toBe(3);
    // Eight minutes without a seller, less what had been bought: not the hours until all is claimed.
    expect(result.longestStarvedSeconds).toBeLessThan(480);
  });
});

describe("a city in a world", () => {
  it("may have everything go wrong, for a night by its own sun", async () => {
    const options = { seed: 2, lights: 4, nights: 1, faults: "all", signing: "stand-in" } as const;
    const request = { flags: { city: "3", lights: 4 }, nights: 1 };
    const { outcome, result, model } = await runObservedWorld(options, request, "again");
    expect(outcome.violation).toBeNull();
    expect(outcome.fired.size).toBeGreaterThan(5);
    expect(result.simulatedMinutes).toBe(840);
    // Sixteen o'clock by the sun, in Berlin a few minutes after sixteen by the clock.
    expect(model.startSeconds).toBe(Date.UTC(2026, 10, 20, 15, 6, 23) / 1000);
    expect(model.samples[0]!.lit + model.samples[0]!.dark).toBe(4);
  });
});

describe("a drawn night that is observed", () => {
  it("is the same world as one that is not observed", async () => {
    const options = { seed: 4, lights: 4, nights: 1, faults: "all", signing: "stand-in" } as const;
    const [reported, untold] = [await runObservedWorld(options, null, "again"), await runFaults(options)];
    expect(reported.outcome.traceHash).toBe(untold.traceHash);
    expect(reported.model.faults!.fired.map(({ kind, count }) => [kind, count])).toEqual([...untold.fired]);
    expect(reported.model.lights).toHaveLength(4);
    expect(pageOf(reported.model)).toContain("What went wrong");
  });
});
