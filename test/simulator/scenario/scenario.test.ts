import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { generateCity } from "#simulator/city/generate";
import { EVERYONE, type Group, playStages, type Stage } from "#simulator/scenario/actions";
import { membersOf } from "#simulator/scenario/groups";
import { openScenario, shippedScenarios } from "#simulator/scenario/open-scenario";
import { readScenario } from "#simulator/scenario/scenario";
import { readTariff } from "#simulator/seller/run-seller";

const HEAD = 'title = "T"\nstory = "S"\n';
const read = (toml: string) => readScenario(HEAD + toml, "x.toml", "x");

describe("a scenario's file", () => {
  it("becomes run settings, groups, and stages in the order of their beginnings", () => {
    const scenario = read(`
      [run]
      lights = 10
      start = 2026-01-15T21:00:00+01:00
      [place]
      latitude = 69.65
      longitude = 18.96
      time_zone = "Europe/Oslo"
      [[group]]
      name = "few"
      share = 0.2
      daily_budget_atomic = 5
      [[stage]]
      name = "late"
      at_minute = 9
      do = "drop-connections"
      [[stage]]
      name = "early"
      at_minute = 0.5
      for_minutes = 2
      do = "cheat"
      cheat = "double-spend"
      group = "few"
    `);
    expect(scenario).toEqual({
      name: "x",
      title: "T",
      story: "S",
      run: { lights: 10, startSeconds: Date.UTC(2026, 0, 15, 20) / 1000 },
      surcharge: 0,
      place: { latitude: 69.65, longitude: 18.96, timeZone: "Europe/Oslo" },
      groups: [
        {
          name: "few",
          pick: { kind: "share", share: 0.2 },
          dailyBudgetAtomic: 5,
          profile: null,
          flexibility: null,
        },
      ],
      market: null,
      stages: [
        {
          name: "early",
          startMs: 30_000,
          durationMs: 120_000,
          action: { kind: "cheat", cheat: "double-spend", group: "few" },
        },
        {
          name: "late",
          startMs: 540_000,
          durationMs: 0,
          action: { kind: "drop-connections", group: EVERYONE },
        },
      ],
    });
  });

  const STAGE = '[[stage]]\nname = "s"\nat_minute = 1\n';
  it.each([
    ["[run]\nlights = 0", "x.toml: run lights: expected a whole number from 1 to 100000, found 0"],
    [
      "[run]\nstart = 2026-01-15T20:00:00",
      "x.toml: run start: expected a time with its zone, such as 2026-01-15T20:00:00Z",
    ],
    ["[run]\nlight = 5", 'x.toml: run: found the unknown key "light"; check its spelling'],
    [`${STAGE}do = "explode"`, "x.toml: stage 1 do: expected one of drop-connections, stop-gateway"],
    [`${STAGE}do = "price"`, "x.toml: stage 1: expected a factor for the price, found none"],
    [
      `${STAGE}do = "cheat"`,
      "x.toml: stage 1: expected cheat to be one of bypass-meter, replay-frames, double-spend, bad-signatures, found none",
    ],
    [
      `${STAGE}do = "stop-seller"\nfactor = 2`,
      'x.toml: stage 1: expected no factor with do = "stop-seller", found one',
    ],
    [
      `${STAGE}do = "drop-connections"\ngroup = "nobody"`,
      'x.toml: stage 1: expected a group of everyone, found "nobody"',
    ],
    [
      '[[group]]\nname = "a"\nshare = 0.5\ncount = 3',
      "x.toml: group 1: expected one of share, count and street, found 2",
    ],
    ['[[group]]\nname = "a"', "x.toml: group 1: expected one of share, count and street, found none"],
    [
      '[[group]]\nname = "everyone"\ncount = 3',
      'x.toml: expected groups of different names, none of them "everyone"',
    ],
    ['[[stage]]\nname = "s"\ndo = "price"', "x.toml: stage 1 at_minute: expected a number from 0 to 10080"],
    ["[run\n", /^x.toml: line 3, column /],
  ])("that is wrong is refused with its place: %j", (toml, complaint) => {
    expect(() => read(toml)).toThrow(complaint);
  });
});

describe("the scenarios that are shipped", () => {
  it("can be opened, stand within their own evening, and name tariffs that can be read", () => {
    expect(shippedScenarios()).toEqual([
      ...["budget-exhaustion", "cheaters", "gateway-restart", "machines", "price-response"],
      ...["price-spike", "reconnect-storm", "seller-outage", "winter-night"],
    ]);
    for (const name of shippedScenarios()) {
      const { run, stages, groups, place } = openScenario(name);
      for (const { startMs, durationMs } of stages) {
        expect(startMs + durationMs).toBeLessThan(run.minutes! * 60_000);
      }
      if (run.tariff !== undefined)
        expect(readTariff(run.tariff, 1).priceAt(run.startSeconds!)).toBeGreaterThan(1);
      const city = generateCity({ lights: run.lights!, seed: 1, ...(place === null ? {} : { place }) });
      expect(membersOf(groups, city).size).toBe(
        groups.reduce(
          (sum, { pick }) => sum + (pick.kind === "share" ? Math.round(pick.share * run.lights!) : 0),
          0,
        ),
      );
    }
  });

  it("have a quarter of the fleet cheat, in all four ways", () => {
    const { groups, stages } = openScenario("cheaters");
    const shares = groups.map(({ pick }) => (pick.kind === "share" ? pick.share : 0));
    expect(shares.reduce((sum, share) => sum + share)).toBe(0.25);
    const cheats = stages.map(({ action }) => (action.kind === "cheat" ? action.cheat : "none"));
    expect(new Set(cheats)).toEqual(
      new Set(["bypass-meter", "replay-frames", "double-spend", "bad-signatures"]),
    );
  });

  it("ship a week of exchange prices with its source and licence, hour by hour, negative ones at the floor", () => {
    const { run } = openScenario("winter-night");
    const tariff = readTariff(run.tariff!, 1);
    const start = Date.UTC(2018, 11, 2, 23) / 1000;
    for (let hour = 0; hour < 167; hour++) {
      expect(tariff.validUntilSeconds(start + hour * 3600)).toBe(start + (hour + 1) * 3600);
    }
    // 21.56 EUR/MWh, and -9 EUR/MWh on the Sunday.
    expect(tariff.priceAt(start)).toBe(21_560);
    expect(tariff.priceAt(Date.UTC(2018, 11, 9, 3) / 1000)).toBe(1);
  });
});

describe("--scenario", () => {
  const home = mkdtempSync(join(tmpdir(), "watt402-scenario-"));
  afterAll(() => rmSync(home, { recursive: true }));

  it("takes a file, whose tariff is found beside it", () => {
    const file = join(home, "mine.toml");
    writeFileSync(file, `${HEAD}[run]\ntariff = "csv:prices.csv"\n`);
    const { name, run } = openScenario(file);
    expect([name, run.tariff]).toEqual(["mine", `csv:${join(home, "prices.csv")}`]);
  });

  it("lists the names there are when there is neither", () => {
    expect(() => openScenario("storm")).toThrow(
      /^scenario: expected a file or one of budget-exhaustion, .*, found "storm"$/,
    );
  });
});

describe("groups", () => {
  const share = fc.double({ min: 0.01, max: 0.2, noNaN: true });
  it("have the lights they ask for, none of them twice, and the same ones every time", () => {
    fc.assert(
      fc.property(fc.array(share, { maxLength: 4 }), fc.integer({ min: 20, max: 200 }), (shares, lights) => {
        const city = generateCity({ lights, seed: lights });
        const groups = shares.map(
          (one, index): Group => ({
            name: `g${index}`,
            pick: { kind: "share", share: one },
            dailyBudgetAtomic: null,
            profile: null,
            flexibility: null,
          }),
        );
        const members = membersOf(groups, city);
        expect(membersOf(groups, city)).toEqual(members);
        groups.forEach(({ name }, index) => {
          const size = [...members.values()].filter((group) => group === name).length;
          expect(size).toBe(Math.max(1, Math.round(shares[index]! * lights)));
        });
      }),
      { numRuns: 50 },
    );
  });

  it("can be a street, and say when there are too few lights", () => {
    const city = generateCity({ lights: 100, seed: 1 });
    const { street } = city.lights[0]!;
    const group = (pick: Group["pick"]): Group[] => [
      { name: "g", pick, dailyBudgetAtomic: null, profile: null, flexibility: null },
    ];
    const members = membersOf(group({ kind: "street", street }), city);
    expect([...members.keys()].toSorted()).toEqual(
      city.lights
        .filter((light) => light.street === street)
        .map(({ name }) => name)
        .toSorted(),
    );
    expect(() => membersOf(group({ kind: "count", count: 101 }), city)).toThrow(
      'group "g": expected 101 lights, found 100 of 100 not in a group before; use more lights or smaller groups',
    );
    expect(() => membersOf(group({ kind: "street", street: "Nowhere" }), city)).toThrow(
      /expected 1 lights on Nowhere, found 0/,
    );
  });
});

describe("stages", () => {
  it("begin and end in the order of their instants, each once", () => {
    const stage = fc.record({ startMs: fc.nat(1000), durationMs: fc.nat(500) });
    fc.assert(
      fc.property(fc.array(stage, { maxLength: 8 }), (spans) => {
        const stages = spans.map(
          (span, index): Stage => ({ ...span, name: String(index), action: { kind: "stop-seller" } }),
        );
        const reported: string[] = [];
        const timers: { atMs: number; wake: () => void }[] = [];
        let nowMs = 0;
        const clock = {
          at(atMs: number, wake: () => void) {
            timers.push({ atMs, wake });
            return () => {};
          },
        };
        playStages(stages, clock, 5_000, {
          begin: ({ name, startMs }) => {
            expect(nowMs).toBe(5_000 + startMs);
            reported.push(`begin ${name}`);
          },
          end: ({ name, startMs, durationMs }) => {
            expect(nowMs).toBe(5_000 + startMs + durationMs);
            expect(reported).toContain(`begin ${name}`);
            reported.push(`end ${name}`);
          },
        });
        while (timers.length > 0) {
          const next = timers.reduce((first, timer) => (timer.atMs < first.atMs ? timer : first));
          timers.splice(timers.indexOf(next), 1);
          nowMs = next.atMs;
          next.wake();
        }
        expect(new Set(reported).size).toBe(2 * stages.length);
      }),
    );
  });
});
