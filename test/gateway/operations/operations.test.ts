// The files for operators speak of metrics that there are.

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStage, type Stage } from "../http/fixtures.ts";

const FOLDER = "gateway/operations";

let stage: Stage;
let names: ReadonlySet<string>;
beforeAll(async () => {
  stage = await openStage();
  const text = await (await fetch(`${stage.url}/metrics`)).text();
  const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
  names = new Set(
    types.flatMap(([, name, type]) => (type === "histogram" ? [name!, `${name}_bucket`] : [name!])),
  );
});
afterAll(() => stage.close());

const metricsIn = (text: string) =>
  new Set([...text.matchAll(/\bwatt402_[a-z0-9_]+/g)].map(([name]) => name));

test.each([
  ["prometheus-alerts.yml", 8],
  ["prometheus-alerts.test.yml", 7],
  ["grafana-dashboard.json", 12],
])("every metric that %s asks for is exported by the gateway", (file, atLeast) => {
  const asked = metricsIn(readFileSync(`${FOLDER}/${file}`, "utf8"));
  expect([...asked].filter((name) => !names.has(name))).toEqual([]);
  expect(asked.size).toBeGreaterThanOrEqual(atLeast);
});

test("the Grafana dashboard has panels that do not overlap, each with a query", () => {
  const { panels } = JSON.parse(readFileSync(`${FOLDER}/grafana-dashboard.json`, "utf8")) as {
    panels: {
      id: number;
      gridPos: { x: number; y: number; w: number; h: number };
      targets: { expr: string }[];
    }[];
  };
  const cells = new Set<string>();
  for (const { gridPos, targets } of panels) {
    expect(targets.every(({ expr }) => expr.includes("watt402_"))).toBe(true);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect(cells.has(`${x},${y}`)).toBe(false);
        cells.add(`${x},${y}`);
      }
    }
  }
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
});

test("metrics end in their unit, and no label grows with the fleet", async () => {
  for (let index = 0; index < 50; index++) {
    stage.hello(index);
    stage.pay(index);
  }
  const text = await (await fetch(`${stage.url}/metrics`)).text();
  expect(text).not.toMatch(/watt402_[a-z_]+\{[^}]*(device|channel)/);
  const ours = [...text.matchAll(/^# TYPE (watt402_\S+) (\S+)$/gm)];
  const counters = ours.filter(([, , type]) => type === "counter").map(([, name]) => name!);
  expect(counters.filter((name) => !name.endsWith("_total"))).toEqual([]);
});

test("payments that are in the journal alone are reported with their bytes and their age", async () => {
  const text = await (await fetch(`${stage.url}/metrics`)).text();
  expect(text).toMatch(/^watt402_journal_payments 3$/m);
  expect(text).toMatch(/^watt402_journal_bytes 900$/m);
  expect(text).toMatch(/^watt402_journal_oldest_seconds 7$/m);
});
