// Where a car of road data is, what its stream counted with each seller, and which maps are refused by what they lack.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it, test } from "vitest";
import { seededRandom } from "#simulator/city/random";
import { DataStream } from "#simulator/profiles/driving/data-stream";
import { Drive } from "#simulator/profiles/driving/drive";
import { mapGeoJson, readMap } from "#simulator/profiles/driving/map-geojson";
import { drawMap, SELLERS_MAX } from "#simulator/profiles/driving/sellers-map";
import { isClosed, stretchesOf } from "#simulator/profiles/driving/stretches";
import { ROAD_DATA, roadDataOn } from "#simulator/profiles/driving-car";
import { planRun } from "#simulator/run-plan";
import { area, line, SHORT_ROUTE, writeRoute } from "./driven.ts";

const folder = mkdtempSync(join(tmpdir(), "watt402-driving-"));
afterAll(() => rmSync(folder, { recursive: true }));

const short = readMap(JSON.stringify(SHORT_ROUTE), "short");
const MAPS = fc
  .tuple(fc.nat(), fc.integer({ min: 1, max: SELLERS_MAX }), fc.integer({ min: 0, max: 32 }))
  .map(([seed, sellers, tunnels]) => drawMap(seed, sellers, tunnels));

describe("a drawn map", () => {
  it("has the sellers and tunnels that were asked for, a gap, and its end where it begins", () => {
    const map = drawMap(1, 5, 10);
    const stretches = stretchesOf(map);
    expect(new Set(stretches.map(({ seller }) => seller))).toEqual(new Set([0, 1, 2, 3, 4, null]));
    expect(map.route.filter(({ isTunnel }) => isTunnel)).toHaveLength(10);
    expect(isClosed(map)).toBe(true);
    const metres = stretches.reduce((sum, one) => sum + one.metres, 0);
    expect(metres).toBeGreaterThan(15_000);
    expect(metres).toBeLessThan(30_000);
  });

  it("is read back as it was written", () => {
    fc.assert(
      fc.property(MAPS, (map) => {
        expect(readMap(mapGeoJson(map), "drawn")).toEqual(map);
      }),
      { numRuns: 20 },
    );
  });
});

describe("a drive", () => {
  it("begins where somebody sells, goes on for ever, and knows what is ahead of it", () => {
    fc.assert(
      fc.property(MAPS, fc.nat(), (map, seed) => {
        const drive = new Drive(map, seededRandom(seed), 1_000);
        expect(drive.at(1_000)).toMatchObject({ seller: expect.any(Number), isTunnel: false });
        let now = drive.at(1_000);
        for (let leg = 0; leg < 100; leg += 1) {
          const next = drive.at(now.untilMs + 1e-3);
          expect(next.untilMs).toBeGreaterThan(now.untilMs);
          // Another seller is ahead exactly where this one's time ends.
          if (next.seller !== now.seller) expect(drive.at(now.untilMs - 1).secondsAhead).toBeLessThan(0.01);
          now = next;
        }
      }),
      { numRuns: 30 },
    );
  });

  it("turns round where its route ends elsewhere, through the same regions and tunnels", () => {
    expect(stretchesOf(short).map(({ seller, isTunnel }) => [seller, isTunnel])).toEqual([
      [0, false],
      [0, true],
      [1, true],
      [1, false],
    ]);
    const drive = new Drive(short, seededRandom(3), 0);
    const legs: string[] = [];
    drive.between(0, 1_000_000, ({ seller, isTunnel }) =>
      legs.push(`${seller}${isTunnel ? " in a tunnel" : ""}`),
    );
    const round = ["0", "0 in a tunnel", "1 in a tunnel", "1", "1", "1 in a tunnel", "0 in a tunnel", "0"];
    const at = legs.findIndex((leg, index) => leg === "1" && legs[index + 1] === "1");
    expect(legs.slice(at - 3, at + 5)).toEqual(round);
  });

  it("counts what was used with each seller, and nothing in tunnels and where nobody sells", () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.array(fc.integer({ min: 1, max: 100_000 }), { maxLength: 30 }),
        (seed, steps) => {
          let nowMs = 0;
          const map = drawMap(1, 5, 10);
          const draw = seededRandom(seed);
          const stream = new DataStream(map, roadDataOn(map).equip(null as never, draw), draw, () => nowMs);
          const truth = new Map<number, number>();
          stream.set(100);
          for (const ms of steps) {
            stream.drive.between(nowMs, nowMs + ms, ({ seller, isTunnel }, passed) => {
              if (seller !== null && !isTunnel) truth.set(seller, (truth.get(seller) ?? 0) + passed / 1_000);
            });
            nowMs += ms;
          }
          for (let seller = 0; seller < 5; seller += 1) {
            expect(stream.usedAt(seller)).toBeCloseTo(truth.get(seller) ?? 0, 6);
          }
        },
      ),
      { numRuns: 30 },
    );
  });
});

const collection = (...features: unknown[]) => ({ type: "FeatureCollection", features });

test.each([
  ["no JSON", "{", "expected GeoJSON, found"],
  ["another document", { type: "Topology" }, 'member "type"'],
  ["no route", collection(area(1, 13, 14)), "expected a route of at least one LineString, found none"],
  [
    "no regions",
    collection(line([13, 52], [13.1, 52])),
    'expected areas with the property "seller", found none',
  ],
  [
    "a route outside all sellers",
    collection(line([13, 52.5], [13.1, 52.5]), area(1, 14, 15)),
    "expected a route through the region of a seller, in the open, found all of it outside",
  ],
  [
    "a route with a hole",
    collection(line([13, 52.5], [13.1, 52.5]), line([13.2, 52.5], [13.3, 52.5]), area(1, 13, 14)),
    "feature 2: expected it to begin within 50 m of where the line before ends, found 6777 m",
  ],
  [
    "degrees that are none",
    collection(line([13, 52.5], [513, 52.5])),
    'feature 1: member "geometry.coordinates.1"',
  ],
  [
    "a point",
    collection({ type: "Feature", geometry: { type: "Point", coordinates: [13, 52] } }),
    "feature 1: member",
  ],
  [
    "an area of nobody",
    collection(line([13, 52.5], [13.1, 52.5]), { ...area(1, 13, 14), properties: {} }),
    'feature 2: expected the property "seller", 1 to 8, of an area, found none',
  ],
  [
    "too many sellers",
    collection(line([13, 52.5], [13.1, 52.5]), area(9, 13, 14)),
    'feature 2: member "properties.seller"',
  ],
  [
    "a route around the world",
    collection(line([-170, 52.5], [170, 52.5]), area(1, 13, 14)),
    "expected a route of 1 m to 2000 km, found",
  ],
  [
    "a route that stands",
    collection(line([13.5, 52.5], [13.5, 52.5]), area(1, 13, 14)),
    "expected a route of 1 m",
  ],
] as const)("a route file of %s is refused before anything is started", (_what, document, expected) => {
  const flags = {
    scheme: "batch-settlement",
    profile: "road-data",
    route: writeRoute(folder, document),
  } as const;
  expect(() => planRun(flags)).toThrow(expected);
  expect(() => planRun(flags)).toThrow(/^[^\n]{1,600}$/);
});

test("a route is for cars alone, and a run's cars drive along it", () => {
  const route = writeRoute(folder);
  const flags = { scheme: "batch-settlement", route } as const;
  expect(() => planRun(flags)).toThrow("--route: expected devices of road-data, found streetlight");
  const [profile] = planRun({ ...flags, profile: "road-data" }).profiles;
  expect([profile!.sellers, ROAD_DATA.sellers]).toEqual([2, 5]);
});
